"""The units of systemd: hardened, without mistakes, and with settings that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from dotenv import dotenv_values

from tailmetrics.cli.commands import main
from tailmetrics.cli.options import Exit
from tailmetrics.settings import Settings
from tests.paths import ROOT

FOLDER = ROOT / "deploy/systemd"
UNITS = sorted(FOLDER.glob("*.service"))
MOST_EXPOSED = 20  # tenths; systemd calls what is below 2.0 safe

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def _values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_a_unit_for_each_command_that_runs_until_a_signal() -> None:
    commands = {"up", "ingest", "ship", "serve"}
    assert {unit.stem for unit in UNITS} == {f"tailmetrics-{command}" for command in commands}


@with_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_hardened(unit: Path) -> None:
    done = _analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    assert done.returncode == 0, done.stdout + done.stderr


@with_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_has_no_mistake(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/tailmetrics/bin/tailmetrics", sys.executable))
    done = _analyze("verify", "--man=no", str(copy))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_that_says_when_it_is_ready(unit: Path) -> None:
    program, name, *arguments = _values(unit, "ExecStart")[0].split()
    assert (program, unit.stem) == ("/opt/tailmetrics/bin/tailmetrics", f"tailmetrics-{name}")
    assert main.commands[name].make_context(name, arguments, parent=click.Context(main)).params
    assert _values(unit, "Type") == ["notify"]
    assert _values(unit, "WatchdogSec") == ["5min"]
    assert _values(unit, "Documentation") == [f"man:{unit.stem}(1)"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_start_that_would_find_the_same_mistake_is_not_made(unit: Path) -> None:
    assert _values(unit, "RestartPreventExitStatus") == [f"{Exit.USAGE:d} {Exit.CONFIGURATION:d}"]


def test_the_settings_of_the_units_exist() -> None:
    text = (FOLDER / "tailmetrics.env").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    of_units = {value.partition("=")[0] for unit in UNITS for value in _values(unit, "Environment")}
    assert dotenv_values(FOLDER / "tailmetrics.env").keys() == {"LOG_FILE_PATH"}
    assert {
        name.lower() for name in (named | of_units) - {"POLARS_SKIP_CPU_CHECK"}
    } <= Settings.model_fields.keys()


@with_systemd
def test_the_user_of_the_units_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", "--replace=/etc/sysusers.d/x.conf"]
    subprocess.run([*command, str(FOLDER / "sysusers.conf")], check=True, capture_output=True)
    users = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    made = {name: (home, shell) for name, _, _, _, _, home, shell in users}
    assert made["tailmetrics"] == ("/var/lib/tailmetrics", "/usr/sbin/nologin")
    assert {value for unit in UNITS for value in _values(unit, "User")} == {"tailmetrics"}
