"""What is asked in InfluxQL counts only while Flux says the same."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stats import StoreStatus
from tailmetrics.status import SourceStatus
from tailmetrics.stores.influxdb import influxql, meta_queries
from tailmetrics.stores.influxdb.influxql import Shortcut, database_of, tables_of

COUNTS = {"commits": 7, "records": 3, "rejects": 1, "blanks": 0}
ONE = SourceStatus("one", "/logs/a", 1, 2, 0, 10, 20, 10, 0.5, "live")


def sums(counts: dict[str, int]) -> dict[str, Any]:
    values = [[0, *counts.values()]]
    return {"series": [{"name": "source", "columns": ["time", *counts], "values": values}]} if counts else {}


class Server:
    """What a reader asks, of a server whose answers in Flux and in InfluxQL a test sets."""

    meta_bucket = "shop_meta"

    def __init__(self, counts: dict[str, int], quick: dict[str, int] | StoreError | None = None) -> None:
        self.counts = counts
        self.quick = counts if quick is None else quick
        self.asked: list[str] = []
        self.shortcut = Shortcut()
        self.heard: dict[str, tuple[float, float]] = {}
        self.stored: tuple[str, tuple[SourceStatus, ...]] = ("", ())
        report = json.dumps({"at": time.time(), "statuses": [asdict(ONE)]})
        self.report = {"processor": ["node"], "part": ["0"], "_value": [report]}

    async def run(self, text: str, params: Any) -> dict[str, pl.DataFrame]:
        self.asked.append("flux")
        counts = {"_field": list(self.counts), "_value": list(self.counts.values())}
        reports = {"reports": pl.DataFrame(self.report)}
        return ({"counts": pl.DataFrame(counts)} if self.counts else {}) | reports

    async def run_influxql(self, text: str) -> Any:
        self.asked.append("influxql")
        if isinstance(self.quick, StoreError):
            raise self.quick
        columns = {"time": [0], **self.report}
        values = [list(row) for row in zip(*columns.values(), strict=True)]
        reports = {"name": "report", "columns": list(columns), "values": values}
        return {"results": [sums(self.quick), {"series": [reports]}]}

    def status(self) -> StoreStatus:
        self.asked.clear()
        return asyncio.run(meta_queries.status(self))  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=1_000.0)
    monkeypatch.setattr(influxql, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_flux_is_not_asked_what_it_said_before(clock: SimpleNamespace) -> None:
    server = Server(COUNTS)
    first = server.status()
    assert server.status() == first == StoreStatus("7-3-1-0", 3, 1, 0, (ONE,))
    assert server.asked == ["influxql"]


def test_flux_is_asked_again_after_a_minute(clock: SimpleNamespace) -> None:
    server = Server(COUNTS)
    server.status()
    clock.seconds += influxql.TRUSTED_SECONDS
    server.status()
    assert server.asked == ["influxql", "flux"]


@pytest.mark.parametrize(
    ("counts", "quick"),
    [(COUNTS, {**COUNTS, "commits": 8}), (COUNTS, {}), ({}, {})],
    ids=["of another bucket", "of an empty one", "where nothing tells buckets apart"],
)
def test_an_answer_of_what_may_be_another_bucket_does_not_count(
    clock: SimpleNamespace, counts: dict[str, int], quick: dict[str, int]
) -> None:
    server = Server(counts, quick)
    server.status()
    clock.seconds += influxql.TRUSTED_SECONDS
    assert server.status().records == counts.get("records", 0)
    assert "flux" in server.asked


@pytest.mark.parametrize("error", [StoreError("no database"), StoreUnavailable("a moment")])
def test_a_server_that_refuses_is_asked_in_flux_alone_for_a_minute(
    clock: SimpleNamespace, error: StoreError
) -> None:
    server = Server(COUNTS, error)
    assert [server.status().version for _ in range(2)] == ["7-3-1-0"] * 2
    assert server.asked == ["flux"]


def test_a_statement_that_went_wrong_is_an_error() -> None:
    with pytest.raises(StoreUnavailable, match="too many"):
        tables_of({"results": [{"error": "too many"}]})


def test_texts_are_as_they_were_before_they_were_written() -> None:
    series = {"columns": ["time", "_value"], "values": [[1, "50%25%0A"]], "tags": {"piece": "0"}}
    [table] = tables_of({"results": [{"series": [series]}]})
    assert table.rows(named=True) == [{"_time": 1, "_value": "50%\n", "piece": "0"}]


def test_a_bucket_with_a_slash_is_a_database_and_a_policy() -> None:
    assert database_of("shop_meta") == {"db": "shop_meta"}
    assert database_of("shop/live_meta") == {"db": "shop", "rp": "live_meta"}
