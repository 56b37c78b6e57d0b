"""What stats, customers and status answer."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.running import LOG, Run, as_json
from tests.integration.running import Service
from tests.paths import DATA


def test_stats_are_the_expected_figures(run: Run, stored: str) -> None:
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]["cust_9"]["totals"]
    answer = as_json(run("stats", "cust_9", "--json", "--store-url", stored))
    assert {name: answer[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_stats_without_a_customer_are_of_all_together(run: Run, stored: str) -> None:
    answer = as_json(run("stats", "--json", "--store-url", stored))
    assert (answer["customer_id"], answer["total_requests"]) == (None, 10_000)


def test_customers_say_how_to_get_the_next_page(run: Run, stored: str) -> None:
    first = run("customers", "--limit", 30, "--store-url", stored).stdout
    cursor = re.search(r"--cursor (\S+)", first)
    assert cursor is not None
    second = run("customers", "--limit", 30, "--cursor", cursor[1], "--store-url", stored).stdout
    assert second.count("cust_") == 20 and "--cursor" not in second


def test_an_unknown_customer_is_a_failure(run: Run, stored: str) -> None:
    result = run("stats", "nobody", "--store-url", stored)
    assert (result.exit_code, "nobody" in result.stderr, result.stdout) == (1, True, "")


def test_status_without_a_service_tells_how_far_each_log_is_stored(run: Run, stored: str) -> None:
    [source] = as_json(run("status", "--json", "--store-url", stored))["sources"]
    size = LOG.stat().st_size
    assert (source["path"], source["state"], source["position"]) == (str(LOG), "stored", size)


def test_status_of_a_service_tells_what_its_dataflow_does(run: Run, service: Service) -> None:
    document = as_json(run("status", "--json", "--port", str(service.port)))
    assert (document["ready"], document["ingestion"]["state"]) == (True, "running")


def test_status_without_a_store_says_how_to_make_one(run: Run) -> None:
    result = run("status")
    assert (result.exit_code, "`tailmetrics up`" in result.stderr) == (69, True)
