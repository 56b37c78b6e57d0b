"""What is there for Prometheus, as Prometheus' own tool sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
import yaml

from tailmetrics.status import SourceWarning
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import at, batch_of, source_of
from tests.paths import ROOT
from tests.telemetry.test_metrics import STATUS

FOLDER = ROOT / "deploy" / "prometheus"

pytestmark = pytest.mark.servers


def promtool(*arguments: str, given: bytes = b"") -> str:
    """What it says; fails where it refuses something."""
    program = shutil.which("promtool")
    assert program is not None, "Found no promtool. On Debian and Ubuntu: sudo apt-get install prometheus"
    done = subprocess.run(
        [program, *arguments], cwd=FOLDER, input=given, capture_output=True, check=False, timeout=60
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@pytest.fixture
def metrics() -> Metrics:
    """With something of everything."""
    metrics = Metrics(2)
    records = [(at("2024-10-10 08:00:00"), each, "/", 200, 0.1) for each in ("a", "b", "b", 'c"\\')]
    batch = batch_of(source_of(), records, rejects=[("path: x", "x")], blanks=1)
    metrics.committed([batch], 0.01)
    metrics.observe_query("/stats", 200, 0.01)
    warned = replace(STATUS, warnings=(SourceWarning("rejects", "most lines"),))
    metrics.watch_sources(lambda: [warned])
    return metrics


def test_metrics_are_as_prometheus_wants_them(metrics: Metrics) -> None:
    assert promtool("check", "metrics", given=metrics.render()) == ""


def test_metrics_by_customer_are_as_prometheus_wants_them(metrics: Metrics) -> None:
    assert promtool("check", "metrics", given=metrics.render_customers()) == ""


def test_the_configuration_and_its_rules_are_valid() -> None:
    assert "2 rule files found" in promtool("check", "config", "prometheus.yml")


def test_an_incident_fires_what_it_should_when_it_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")


def test_rules_ask_for_metrics_that_there_are(metrics: Metrics) -> None:
    shown = (metrics.render() + metrics.render_customers()).decode()
    there = set(re.findall(r"^(\w+)[{ ]", shown, re.MULTILINE)) | {"up"}
    files = [yaml.safe_load((FOLDER / name).read_text()) for name in ("rules.yml", "alerts.yml")]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"(?<![:\w])tailmetrics_\w+", rule["expr"])}
    recorded = {rule["record"] for rule in rules if "record" in rule}
    derived = {name for rule in rules for name in re.findall(r"customer:[\w:]+", rule["expr"])}
    assert asked <= there
    assert derived <= recorded
