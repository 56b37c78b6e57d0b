"""Requests themselves, some at a time, and each with its line."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import LINES, settings_in
from tests.api.fakes import LIVE_SOURCE, FakeIngestion
from tests.api.serving import serving

ROWS = [line for line in LINES if " 999 " not in line and line != "no request"]


def paths(client: httpx.Client, **asked: Any) -> list[tuple[str, int]]:
    """What stands for the requests that are found: path and status."""
    answer = client.get("/requests", params=asked)
    assert answer.status_code == 200, answer.text
    return [(row["path"][-1], row["status_code"]) for row in answer.json()["requests"]]


def test_the_newest_requests_of_a_customer_come_first(
    asking: httpx.Client, memory: InMemoryStore, log: Path
) -> None:
    answer = asking.get("/customers/cust_1/requests", params={"limit": 1, "tz": "Europe/Berlin"}).json()
    source = memory.sources("node")[0]
    assert answer["requests"] == [
        {
            "time": "2024-10-12T01:30:00+02:00",
            "customer_id": "cust_1",
            "path": "/api/v1/resource2",
            "status_code": 500,
            "duration": 0.5,
            "failed": True,
            "source_id": source.source_id,
            "source": str(log),
            "offset": log.read_text().index(LINES[2]),
        }
    ]
    assert (answer["customer_id"], answer["sort"], answer["failures"]) == ("cust_1", "newest", "4xx+5xx")
    assert "filter" not in answer


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [("2", 500), ("1", 200), ("1", 404), ("1", 200)]),
        ({"sort": "slowest"}, [("1", 200), ("2", 500), ("1", 404), ("1", 200)]),
        ({"status": "5xx,404"}, [("2", 500), ("1", 404)]),
        ({"failed": "true"}, [("2", 500), ("1", 404)]),
        ({"failed": "true", "failures": "5xx"}, [("2", 500)]),
        ({"failed": "true", "status": "200"}, []),
        ({"path": "*2"}, [("2", 500)]),
        ({"path": ["/api/*", "!*2"]}, [("1", 200), ("1", 404), ("1", 200)]),
        ({"min_duration": "0.3", "max_duration": "1"}, [("2", 500), ("1", 404)]),
        ({"from": "2024-10-11"}, [("2", 500)]),
        ({"customer_id": "cust_2"}, [("1", 200)]),
    ],
)
def test_only_what_was_asked_for(
    asking: httpx.Client, asked: dict[str, Any], found: list[tuple[str, int]]
) -> None:
    assert paths(asking, **asked) == found


@pytest.mark.parametrize("sort", ["newest", "slowest"])
def test_pages_together_are_all_of_them_once(asking: httpx.Client, sort: str) -> None:
    whole = asking.get("/requests", params={"sort": sort}).json()
    assert whole["next_cursor"] is None
    rows, cursor = [], ""
    for _ in range(4):
        asked = {"sort": sort, "limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = asking.get("/requests", params=asked).json()
        rows += page["requests"]
        cursor = page["next_cursor"]
    assert rows == whole["requests"]
    assert cursor is None


def test_the_cursor_of_another_order_is_refused(asking: httpx.Client) -> None:
    cursor = asking.get("/requests", params={"limit": 1}).json()["next_cursor"]
    answer = asking.get("/requests", params={"cursor": cursor, "sort": "slowest"})
    assert answer.status_code == 422
    assert "the next_cursor of a page of requests, slowest first" in answer.json()["detail"]


def test_everything_that_is_wrong_is_named_together(asking: httpx.Client) -> None:
    asked = {"status": "abc", "path": "", "cursor": "x", "min_duration": "2", "max_duration": "1"}
    answer = asking.get("/requests", params=asked)
    assert answer.status_code == 422
    named = [problem["parameter"] for problem in answer.json()["errors"]]
    assert named == ["path", "status", "max_duration", "cursor"]


def test_each_line_is_read_in_its_file(asking: httpx.Client) -> None:
    rows = asking.get("/requests", params={"lines": "true"}).json()["requests"]
    assert sorted(row["line"] for row in rows) == sorted(ROWS)
    assert {row["line_missing"] for row in rows} == {None}


def test_a_line_whose_file_is_gone_is_missing_and_said(asking: httpx.Client, log: Path) -> None:
    log.unlink()
    rows = asking.get("/requests", params={"lines": "true"}).json()["requests"]
    assert {(row["line"], row["line_missing"]) for row in rows} == {
        (None, f"{log} was rotated away or deleted")
    }


def test_the_name_that_a_running_service_knows_counts(
    tmp_path: Path, memory: InMemoryStore, log: Path
) -> None:
    moved = log.rename(tmp_path / "y.log")
    status = replace(LIVE_SOURCE, source_id=memory.sources("node")[0].source_id, path=str(moved))
    app = create_app(settings_in(tmp_path), memory, FakeIngestion(statuses=(status,)), Metrics())
    with serving(app) as client:
        row = client.get("/requests", params={"lines": "true", "limit": 1}).json()["requests"][0]
    assert (row["source"], row["line"]) == (str(moved), LINES[2])


def test_csv_has_a_row_a_request_and_the_next_page_in_a_header(asking: httpx.Client) -> None:
    answer = asking.get("/requests", params={"format": "csv", "limit": 2, "lines": "true"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["line"] for row in rows] == [LINES[2], LINES[3]]
    following = asking.get(answer.links["next"]["url"])
    assert len(list(csv.DictReader(io.StringIO(following.text)))) == 2
    without = asking.get("/requests", params={"format": "csv"})
    assert without.text.splitlines()[0] == (
        "time,customer_id,path,status_code,duration,failed,source_id,source,offset"
    )


def test_an_unknown_customer_is_404(asking: httpx.Client) -> None:
    assert asking.get("/customers/nobody/requests").status_code == 404


@pytest.mark.parametrize("path", ["/requests", "/requests/", "/customers/cust_1/requests"])
def test_with_any_key_set_lines_need_one(tmp_path: Path, memory: InMemoryStore, path: str) -> None:
    settings = settings_in(tmp_path, api_key="0123456789abcdef-writes")
    with serving(create_app(settings, memory, None, Metrics())) as client:
        assert client.get(path).status_code == 401
        assert client.head(path).status_code == 401
        assert client.get("/stats").status_code == 200
        assert client.get(path, headers={"X-API-Key": "0123456789abcdef-writes"}).status_code == 200
