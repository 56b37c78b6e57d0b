"""The group of commands: its help, and how the program ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tailmetrics import __version__
from tailmetrics.cli.commands import main
from tests.cli.running import Run

COMMANDS = sorted(main.commands)


def test_every_command_of_the_contract_is_there() -> None:
    assert " ".join(COMMANDS) == (
        "alerts backup breakdown check copy customers detect export generate ingest load objectives publish "
        "rejects report requests restore schema serve ship silence stats status status-page top up"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_line_in_the_list_of_commands(run: Run, command: str) -> None:
    assert re.search(rf"^  {command} +[A-Z].*\w\.$", run("--help").stdout, re.MULTILINE)


def test_help_imports_nothing_slow() -> None:
    code = "import sys, tailmetrics.cli.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"polars", "numpy", "duckdb", "bytewax", "fastapi", "pydantic", "httpx"} & set(loaded.split())


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"tailmetrics {__version__}\n"


def test_a_closed_standard_output_is_no_failure() -> None:
    command = f"exec '{sys.executable}' -m tailmetrics check >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_printed_for_a_closed_pipe_is_no_traceback(stored: str) -> None:
    command = [sys.executable, "-m", "tailmetrics", "customers", "--json", "--store-url", stored]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["customers", "--json"], ["customers"], ["--help"], ["stats", "-h"]])
def test_an_output_that_cannot_be_written_is_said_in_one_line(arguments: list[str], stored: str) -> None:
    command = [sys.executable, "-m", "tailmetrics", *arguments]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            env={**os.environ, "STORE_URL": stored},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    expected = f"tailmetrics {arguments[0]}: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (74, expected)
