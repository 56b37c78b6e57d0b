"""Records are read again the same, however they lie in the file, and while they are moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tailmetrics.stats import CountsQuery, RecordsQuery, RequestFilter, RequestsQuery
from tailmetrics.stores import record_pages
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import LINE_BYTES, Record, at, source_of
from tests.stores.brute_force import expected_counts, expected_requests
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import (
    BULK,
    ONE,
    SMALL_RUN,
    opened_at,
    some_records,
    table_sizes,
    wait_until,
    written,
)


async def read(store: DuckDBStore, query: RecordsQuery) -> pl.DataFrame:
    return pl.concat([frame async for frame in store.records(query)])


def expected(source_id: str, records: list[Record]) -> list[tuple[Any, ...]]:
    rows = ((*record, source_id, place * LINE_BYTES) for place, record in enumerate(records))
    return sorted(rows, key=lambda row: (row[0], row[6]))


@pytest.mark.parametrize("customer_id", [None, "cust_3"])
@pytest.mark.usefixtures("small_runs", "short_bulks")
def test_rows_are_the_same_numbered_plain_sorted_and_in_between(
    tmp_path: Path, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch, customer_id: str | None
) -> None:
    monkeypatch.setattr(record_pages, "PAGE_RECORDS", 333)
    store = opened_at(tmp_path)
    source = store.register(source_of())
    records = some_records(3 * SMALL_RUN + BULK + 50)
    rows = [row for row in expected(source.source_id, records) if customer_id in (None, row[1])]

    moving = written(store, source, records[:-50])
    moving = written(store, moving, records[-50:])
    assert ask(read(store, RecordsQuery(customer_id))).rows() == rows  # the compactor is at work
    wait_until(lambda: table_sizes(store)["settled"] == len(records))
    assert ask(read(store, RecordsQuery(customer_id))).rows() == rows
    store.close()


@pytest.mark.usefixtures("small_runs", "short_bulks")
def test_a_filter_selects_the_same_numbered_plain_sorted_and_in_between(
    tmp_path: Path, ask: Ask[Any]
) -> None:
    store = opened_at(tmp_path)
    source = store.register(source_of())
    records = some_records(3 * SMALL_RUN + BULK + 50)
    only = RequestFilter(("/[0-9]*", "/*"), ("/3",), ((404, 599),), min_duration=0.2)
    slowest = RequestsQuery("cust_3", only=only, order="slowest", limit=50)
    counts = CountsQuery(at("2024-10-12"), at("2024-10-15"), 3_600_000_000, limit_seconds=0.7, only=only)

    def check() -> None:
        rows = expected_requests(expected(source.source_id, records), slowest)
        assert ask(store.requests(slowest)).rows() == rows[:50]
        found = ask(store.counts(counts)).rows()
        assert {(customer_id, part): tuple(rest) for customer_id, part, *rest in found} == expected_counts(
            records, counts
        )

    moving = written(store, source, records[:-50])
    written(store, moving, records[-50:])
    check()
    wait_until(lambda: table_sizes(store)["settled"] == len(records))
    check()
    store.close()


def test_a_source_is_never_given_the_key_of_one_whose_records_are_still_there(
    tmp_path: Path, ask: Ask[Any]
) -> None:
    store = opened_at(tmp_path)
    for number in range(3):
        source = store.register(source_of(f"message {number}", inode=number))
        written(store, source, ONE)
        store.forget([source.source_id], with_records=True)
        store.close()
        store = opened_at(tmp_path)
    known = store.register(source_of("known"))
    found = ask(read(store, RecordsQuery()))
    store.close()
    assert found["source"].n_unique() == 3
    assert known.source_id not in found["source"]
