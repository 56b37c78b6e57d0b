"""`tailmetrics generate`; what `publish` sends is tested with the queues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.integration.running import await_that, free_port


def test_generate_writes_the_configured_file(run: Run) -> None:
    run("generate", "--max-logs", 12, "--interval", 0)
    assert Path("data/requests.log").read_text().count("\n") == 12


def test_generate_says_what_it_wrote(run: Run) -> None:
    result = run("generate", "--file", "x.log", "--max-logs", 1200, "--interval", 0)
    assert result.stderr.startswith("1,200 lines, ") and "appended to x.log" in result.stderr


def test_generate_says_one_line_of_one(run: Run) -> None:
    result = run("generate", "--file", "x.log", "--max-logs", 1, "--interval", 0)
    assert result.stderr.startswith("1 line, ")


def test_generate_with_seed_and_now_gives_the_same_bytes(run: Run) -> None:
    for name in ("a.log", "b.log"):
        run("generate", "--file", name, "--max-logs", 50, "--interval", 0, "--seed", 1, "--now", "2024-11-06")
    assert Path("a.log").read_bytes() == Path("b.log").read_bytes()


@pytest.mark.parametrize("by", ["option", "setting", "entry"])
def test_generate_writes_results_where_the_log_is_one_of_results(
    run: Run, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "setting":
        monkeypatch.setenv("LOG_FORMAT", "results")
    if by == "entry":
        monkeypatch.setenv("LOG_FILE_PATH", "results=data/requests.log")
    flags = ("--log-format", "results") if by == "option" else ()
    result = run("generate", "--max-logs", 12, "--interval", 0, *flags)
    assert result.stderr.startswith("12 tests, ")
    assert Path("data/requests.log").read_text().count("Result: ") == 12


def test_results_that_were_generated_are_loaded_whole(run: Run) -> None:
    flags = ("--log-format", "results")
    run("generate", "--file", "test_1700000000.log", "--max-logs", 160, "--interval", 0, "--seed", 1, *flags)
    result = run("load", "test_1700000000.log", *flags)
    assert "160 records, 0 rejects" in result.stdout, result.stdout


def test_generate_over_days_is_not_for_results(run: Run) -> None:
    result = run("generate", "--file", "x.log", "--days", 3, "--max-logs", 9, "--log-format", "results")
    assert (result.exit_code, "--days" in result.stderr) == (2, True)


def test_generate_refuses_a_glob(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FILE_PATH", "logs/*.log")
    result = run("generate")
    assert (result.exit_code, "found the glob 'logs/*.log'" in result.stderr) == (78, True)


def test_generate_over_days_needs_a_number_of_lines(run: Run) -> None:
    assert run("generate", "--days", 3).exit_code == 2


def test_generate_says_when_the_file_cannot_be_written(run: Run) -> None:
    Path("file").touch()
    result = run("generate", "--file", "file/x.log")
    assert (result.exit_code, result.stderr.startswith("tailmetrics generate: file/x.log cannot be")) == (
        74,
        True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_generate_with_status_0_after_a_whole_line(number: signal.Signals) -> None:
    log = Path("x.log")
    command = [sys.executable, "-m", "tailmetrics", "generate", "--file", str(log), "--interval", "0.01"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        await_that(lambda: log.exists() and log.stat().st_size > 0, 20)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, b"Traceback" in said, log.read_bytes()[-1:]) == (0, False, b"\n")


@pytest.mark.parametrize("command", ["generate", "up", "ingest", "serve"])
def test_what_goes_on_ends_when_the_process_that_started_it_ended_before_it_looked(
    tmp_path: Path, command: str
) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    # An SQLite file is a store of all of them.
    changes = {
        "STORE_URL": f"sqlite:///{tmp_path}/store.sqlite",
        "METRICS_PORT": "0",
        "API_PORT": str(free_port()),
    }
    arguments = [sys.executable, "-m", "tailmetrics", command, "--parent-pid", str(ended.pid)]
    done = subprocess.run(
        arguments,
        cwd=tmp_path,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode in (0, -signal.SIGTERM), "Traceback" in done.stderr) == (True, False), done.stderr


def test_generate_goes_on_while_the_process_that_started_it_does() -> None:
    arguments = ["--file", "x.log", "--interval", "0.2", "--max-logs", "10", "--parent-pid", str(os.getpid())]
    done = subprocess.run([sys.executable, "-m", "tailmetrics", "generate", *arguments], check=False)
    assert (done.returncode, Path("x.log").read_text().count("\n")) == (0, 10)


def test_the_first_table_of_the_sources_is_written_in_its_zone_and_format(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("sources.toml").write_text(
        'source = [{path = "shop.log", format = "requests", timezone = "Asia/Tokyo"}]'
    )
    monkeypatch.setenv("LOG_SOURCES", "sources.toml")
    asked = ("--max-logs", 10, "--interval", 0, "--seed", 1, "--now", "2024-10-01T00:00:00")
    assert run("generate", *asked).exit_code == 0
    (found,) = json.loads(run("detect", "shop.log", "--json").stdout)["files"]
    assert (found["decided_by"], found["records"]) == ("LOG_SOURCES: sources.toml, source 1", 10)
    assert found["first_records"][0]["time"].startswith("2024-09-30T15:0")


def test_a_table_that_cannot_be_written_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sources.toml").write_text('source = [{path = "*.log"}]')
    monkeypatch.setenv("LOG_SOURCES", "sources.toml")
    result = run("generate")
    assert (result.exit_code, "LOG_SOURCES: sources.toml, source 1: found the glob" in result.stderr) == (
        78,
        True,
    )
