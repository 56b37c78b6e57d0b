"""`tailmetrics up`, `ingest` and `serve`: what they refuse before they start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.integration.running import Service


@pytest.mark.parametrize("command", ["ingest", "serve"])
def test_a_file_store_is_refused_where_processes_would_share_it(run: Run, command: str) -> None:
    result = run(command)
    assert (result.exit_code, "tailmetrics up" in result.stderr) == (78, True)


def test_a_wrong_queue_is_refused_before_anything_is_started(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FILE_PATH", "a.log,amqp://guest:s3cret@127.0.0.1/")
    result = run("ingest", "--store-url", "sqlite:///x.sqlite")
    assert (result.exit_code, list(Path().iterdir())) == (78, [])
    assert result.stderr.startswith("tailmetrics ingest: LOG_FILE_PATH, entry 2: found no queue, expected")


def test_up_says_when_its_port_is_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("up", "--port", other.getsockname()[1])
    assert (result.exit_code, "API_PORT: cannot listen on" in result.stderr) == (78, True)


def test_up_says_who_holds_the_store(run: Run, service: Service) -> None:
    result = run("up", "--store-url", f"duckdb:///{service.store}")
    assert (result.exit_code, "is held by process" in result.stderr) == (69, True)
