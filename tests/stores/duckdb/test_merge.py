"""Merging runs: slices are short, and a merge that was cut short loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stats import StatsQuery
from tailmetrics.stores.duckdb import compactor, merge
from tailmetrics.stores.duckdb import layout as duckdb_layout
from tailmetrics.stores.duckdb.compactor import Compactor
from tailmetrics.stores.duckdb.merge import Merge
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import at, batch_of, source_of
from tests.stores.brute_force import assert_same_summary, expected_summary
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import (
    DAILY,
    SMALL_RUN,
    is_merged,
    opened_at,
    places_of,
    some_records,
    wait_until,
)


@pytest.fixture
def store(tmp_path: Path, small_runs: None) -> Iterator[DuckDBStore]:
    opened = opened_at(tmp_path)
    yield opened
    opened.close()


def test_stages_leave_one_run_with_each_record_once(
    store: DuckDBStore, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    merged: list[int] = []
    merge = Compactor._merge

    def note(sorter: Compactor, runs: Sequence[int]) -> None:
        merged.append(len(runs))
        merge(sorter, runs)

    monkeypatch.setattr(duckdb_layout, "MERGED_RUNS", 3)
    monkeypatch.setattr(Compactor, "_merge", note)
    records = some_records(20 * SMALL_RUN)
    store.write([batch_of(store.register(source_of()), records)])
    wait_until(lambda: is_merged(store))
    assert max(merged) < 6
    assert_same_summary(
        ask(store.stats(StatsQuery(None, DAILY))).summary, expected_summary(records, "4xx+5xx")
    )


@pytest.mark.parametrize("customers", [1, 3])
def test_a_slice_is_short_however_few_customers_have_the_records(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch, customers: int
) -> None:
    slices: list[int] = []
    note = merge.note_run

    def noted(cursor: duckdb.DuckDBPyConnection, run: int, records: int) -> None:
        slices.append(records)
        note(cursor, run, records)

    monkeypatch.setattr(merge, "note_run", noted)
    records = [
        (time, f"c{place % customers}", *others)
        for place, (time, _, *others) in enumerate(some_records(20 * SMALL_RUN))
    ]
    store.write([batch_of(store.register(source_of()), records)])
    wait_until(lambda: is_merged(store))
    found = places_of(store)
    assert (max(slices) < 4 * SMALL_RUN, len(found), found) == (True, len(records), sorted(found))


def test_records_of_one_customer_and_time_are_merged_too(store: DuckDBStore) -> None:
    store.write(
        [batch_of(store.register(source_of()), [(at("2024-10-10"), "c", "/", 200, 0.1)] * 20 * SMALL_RUN)]
    )
    wait_until(lambda: is_merged(store))
    assert len(places_of(store)) == 20 * SMALL_RUN


def test_a_merge_goes_on_where_it_was_when_memory_was_short(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    move = Merge.move

    def short_of_memory_once(merge: Merge, cursor: duckdb.DuckDBPyConnection) -> None:
        tried.append(merge._left[0].low)
        if len(tried) == 3:
            raise StoreUnavailable("DuckDB: Out of Memory Error")
        move(merge, cursor)

    monkeypatch.setattr(compactor, "_SECONDS_AFTER_AN_ERROR", 0.01)
    monkeypatch.setattr(Merge, "move", short_of_memory_once)
    source = store.register(source_of())
    store.write([batch_of(source, some_records(10 * SMALL_RUN))])
    wait_until(lambda: is_merged(store))
    assert [tried.count(low) for low in sorted(set(tried))] == [1, 1, 2, *[1] * (len(set(tried)) - 3)]
