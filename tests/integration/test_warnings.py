"""A service that reads a log in a wrong format, or durations in a wrong unit, says so wherever one looks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import Service, await_that

NewService = Callable[..., Service]

_SECONDS = 5.0  # after which a warning is told
_COMBINED = '10.0.0.7 - - [10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 512 "-" "curl/8.5"\n'
_JSON = '{"timestamp": "2024-10-10T13:55:36Z", "customer_id": "c", "path": "/", "status_code": 200}\n'


def warnings(service: Service) -> list[dict[str, Any]]:
    response = service.client.get("/ready")
    assert response.status_code == 200
    return list(response.json()["warnings"])


def await_warnings(service: Service, number: int) -> list[dict[str, Any]]:
    await_that(lambda: len(warnings(service)) == number, _SECONDS, service.said)
    return warnings(service)


def status(service: Service, *options: str) -> str:
    command = [sys.executable, "-m", "tailmetrics", "status", *options]
    done = subprocess.run(
        command,
        env=service.environment,
        cwd=service.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


def test_a_log_in_another_format_is_told_within_seconds_and_until_its_lines_can_be_read(
    new_service: NewService, log: Path
) -> None:
    service = new_service(f"json={log}")
    service.start()
    log.write_text(_COMBINED * 3)
    [warning] = await_warnings(service, 1)
    assert (warning["path"], warning["kind"], warning["format"]) == (str(log), "rejects", "json")
    assert warning["text"].startswith(f"3 of the latest 3 lines of {log} (100%) could not be read, such as: ")
    assert warning["text"].endswith(f"; `tailmetrics detect {log}` tells their format")
    [source] = service.client.get("/ready").json()["sources"]
    assert source["format"] == "json"

    labels = f'kind="rejects",path="{log}",source="{source["source_id"]}"'
    assert f"tailmetrics_source_warning{{{labels}}} 1.0" in service.client.get("/metrics").text
    assert f"warning: read as json: {warning['text']}\n" in status(service)
    assert json.loads(status(service, "--json"))["warnings"] == [warning]
    assert service.said().count('level=warning event="most lines of a log cannot be read"') == 1

    with log.open("a") as stream:
        stream.write(_JSON * 4)
    await_warnings(service, 0)
    assert 'level=info event="most lines of a log can be read again"' in service.said()
    assert "tailmetrics_source_warning{" not in service.client.get("/metrics").text


def test_durations_in_another_unit_are_told(new_service: NewService, log: Path) -> None:
    log.write_text("2024-10-10 13:55:36 cust_1 /a 200 152340\n" * 1000)
    service = new_service()
    service.start()
    [warning] = await_warnings(service, 1)
    text = f"durations of {log} have a median of 152340 s: LOG_DURATION_UNIT says in which unit they are"
    assert (warning["kind"], warning["text"]) == ("duration", text)
    assert 'kind="duration"' in service.client.get("/metrics").text
    assert f"warning: read as requests: {text}\n" in status(service)
    assert f'level=warning event="durations of a log are improbable" path={log}' in service.said()


def test_the_format_of_each_log_is_shown(new_service: NewService, log: Path, tmp_path: Path) -> None:
    log.write_text(_JSON)
    missing = tmp_path / "none" / "*.log"
    service = new_service(f"json={log},nginx={missing}")
    service.start()
    service.await_total(1)
    shown = {each["path"]: each["format"] for each in service.client.get("/ready").json()["sources"]}
    assert shown == {str(log): "json", str(missing): "nginx"}
    assert [line.split()[:3] for line in status(service).splitlines() if str(log) in line] == [
        [str(log), "live", "json"]
    ]


def test_a_loaded_log_in_another_format_is_told_with_its_counts(new_service: NewService) -> None:
    service = new_service()
    service.start()
    answer = service.client.post("/load?format=json&name=a.log&wait=true", content=_COMBINED * 2).json()
    assert answer["files"][0]["warning"] == (
        "2 of 2 lines of a.log (100%) could not be read; `tailmetrics detect a.log` tells their format"
    )
