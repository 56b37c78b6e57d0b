"""The frames of a connection: the figures of the API, with their types."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import pytest

import tailmetrics
from tailmetrics.api.objectives import ObjectiveBudget
from tailmetrics.client import connection as module
from tailmetrics.errors import QueryError, StoreUnavailable, UnknownCustomer
from tests.paths import DATA

Ask = Callable[[tailmetrics.Connection], pl.DataFrame]
ASKED: dict[str, Ask] = {
    "stats": lambda asked: asked.stats("cust_1", from_="2024-09-10", every="7d", tz="Asia/Kolkata"),
    "stats of all": lambda asked: asked.stats(to="2024-09-03", every="6h", fill=True, failures="5xx"),
    "totals": lambda asked: asked.totals("cust_1", uptime_method="good_windows", objective=30),
    "customers": lambda asked: asked.customers(sort="-p99", search="cust_2", limit=5),
    "paths": lambda asked: asked.breakdown(top=2),
    "statuses": lambda asked: asked.breakdown("cust_1", by="status", failures="5xx+429"),
    "rejects": lambda asked: asked.rejects(),
    "records": lambda asked: asked.records("cust_1", from_="2024-09-10", tz="Asia/Kolkata"),
}


@pytest.fixture
def asked(store: Path) -> Iterator[tailmetrics.Connection]:
    with tailmetrics.open(store) as connection:
        yield connection


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
def test_a_store_and_a_service_give_the_same_frame(
    asked: tailmetrics.Connection, address: str, ask: Ask
) -> None:
    with tailmetrics.open(address) as service:
        frame = ask(service)
    assert frame.equals(ask(asked)) and frame.schema == ask(asked).schema


def test_windows_are_those_of_the_api(asked: tailmetrics.Connection, address: str) -> None:
    parameters = {"customer_id": "cust_1", "tz": "Europe/Zurich", "from": "2024-09-28"}
    wanted = httpx.get(f"{address}/stats", params=parameters).json()["windows"]
    frame = asked.stats("cust_1", tz="Europe/Zurich", from_="2024-09-28")
    assert frame.drop("customer_id", "start", "end").to_dicts() == [
        {name: value for name, value in window.items() if name not in {"start", "end"}} for window in wanted
    ]
    assert [start.isoformat() for start in frame["start"]] == [window["start"] for window in wanted]
    assert frame.schema["end"] == pl.Datetime("us", "Europe/Zurich")


def test_totals_are_the_expected_figures(asked: tailmetrics.Connection) -> None:
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]["cust_9"]["totals"]
    [row] = asked.totals("cust_9").to_dicts()
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_totals_without_requests_are_one_row_all_the_same(asked: tailmetrics.Connection) -> None:
    [row] = asked.totals("cust_1", from_="2030-01-01").to_dicts()
    assert (row["total_requests"], row["uptime"], row["end"]) == (0, None, None)


@pytest.mark.parametrize(
    "given",
    [
        "2024-09-28",
        date(2024, 9, 28),
        datetime(2024, 9, 28),  # noqa: DTZ001  # in tz
        datetime(2024, 9, 28, tzinfo=ZoneInfo("Europe/Zurich")),
        datetime(2024, 9, 27, 22, tzinfo=timezone.utc),
        datetime(2024, 9, 27, 22, 34, 8, tzinfo=timezone(timedelta(minutes=34, seconds=8))),
    ],
)
def test_a_time_may_be_given_in_any_form(asked: tailmetrics.Connection, given: str | date) -> None:
    lines = (DATA / "requests-10k.log").read_text().splitlines()
    counted = sum(line[:19] >= "2024-09-27 22:00:00" and " cust_1 " in line for line in lines)
    frame = asked.stats("cust_1", from_=given, tz="Europe/Zurich")
    assert frame["total_requests"].sum() == counted == 17


EMPTY: dict[str, Ask] = {
    "stats": lambda asked: asked.stats(from_="2030-01-01", tz="Europe/Zurich"),
    "customers": lambda asked: asked.customers(search="nobody"),
    "paths": lambda asked: asked.breakdown(from_="2030-01-01"),
    "statuses": lambda asked: asked.breakdown(by="status", from_="2030-01-01"),
    "records": lambda asked: asked.records(from_="2030-01-01", tz="Europe/Zurich"),
}
FULL: dict[str, Ask] = {
    "stats": lambda asked: asked.stats(tz="Europe/Zurich"),
    "customers": lambda asked: asked.customers(),
    "paths": lambda asked: asked.breakdown(),
    "statuses": lambda asked: asked.breakdown(by="status"),
    "records": lambda asked: asked.records(tz="Europe/Zurich"),
}


@pytest.mark.parametrize("name", FULL)
def test_a_frame_without_rows_has_the_same_types(asked: tailmetrics.Connection, name: str) -> None:
    empty, full = EMPTY[name](asked), FULL[name](asked)
    assert (empty.height, full.height > 0, empty.schema) == (0, True, full.schema)


def test_records_are_those_of_the_log_by_time(asked: tailmetrics.Connection) -> None:
    log = tailmetrics.read_log(DATA / "requests-10k.log").sort("timestamp", "offset")
    records = asked.records()
    assert records.drop("source").equals(log) and records.columns[-2:] == ["source", "offset"]


@pytest.mark.parametrize(("limit", "expected"), [(None, 50), (14, 14), (3, 3), (99, 50)])
def test_customers_come_from_as_many_pages_as_it_takes(
    asked: tailmetrics.Connection, monkeypatch: pytest.MonkeyPatch, limit: int | None, expected: int
) -> None:
    at_once = asked.customers(sort="-requests")["customer_id"].to_list()
    monkeypatch.setattr(module, "_LARGEST_PAGE", 7)
    assert asked.customers(sort="-requests", limit=limit)["customer_id"].to_list() == at_once[:expected]


@pytest.fixture(params=["a store", "a service"])
def either(request: pytest.FixtureRequest, store: Path, address: str) -> Iterator[tailmetrics.Connection]:
    with tailmetrics.open(store if request.param == "a store" else address) as connection:
        yield connection


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda asked: asked.stats("nobody"), UnknownCustomer, "no requests of customer 'nobody'"),
        (lambda asked: asked.records("nobody"), UnknownCustomer, "no requests of customer 'nobody'"),
        (
            lambda asked: asked.stats(tz="Mars", every="x"),
            QueryError,
            "tz: found 'Mars', .*; every: found 'x'",
        ),
        (lambda asked: asked.customers(limit=0), QueryError, "limit: found '0', expected at least 1"),
        (lambda asked: asked.breakdown(by="day"), QueryError, "by: found 'day', expected path or status"),
    ],
)
def test_what_cannot_be_answered_says_why(
    either: tailmetrics.Connection, ask: Any, error: Any, text: str
) -> None:
    with pytest.raises(error, match=text):
        ask(either)


def test_a_question_that_takes_too_long_may_be_asked_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUERY_TIMEOUT_SECONDS", "0.001")
    with tailmetrics.open(store) as connection, pytest.raises(StoreUnavailable):
        connection.stats(every="1s")


def test_objectives_are_a_row_each_with_typed_figures(
    asked: tailmetrics.Connection, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked.objectives(at="2024-10-01").height == 0
    types = asked.objectives(at="2024-10-01").schema
    asked.close()
    Path("o.toml").write_text('[[objective]]\nname = "available"\ntarget = 25\nperiod = "month"\n')
    monkeypatch.setenv("OBJECTIVES", "o.toml")
    with tailmetrics.open(store) as connection:
        frame = connection.objectives(at=date(2024, 10, 1))
        one = connection.objectives("cust_1", at="2024-09-30T23:59:59Z")
        assert connection.objectives(at="2024-10-01", limit=7).height == 7
        with pytest.raises(UnknownCustomer):
            connection.objectives("nobody")
    assert (frame.height, frame.schema, frame.columns) == (50, types, list(ObjectiveBudget.__annotations__))
    assert frame["from"][0] == datetime(2024, 10, 1, tzinfo=timezone.utc)
    assert one.select("customer_id", "total_requests", "bad_requests").rows() == [("cust_1", 161, 119)]
