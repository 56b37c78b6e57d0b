"""Rows as the database takes them: to the last byte and bit, and made ahead."""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from tailmetrics.errors import StoreGone
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stats import BreakdownQuery, CustomersQuery, RejectsQuery, StatsQuery
from tailmetrics.stores import Store, open_store
from tailmetrics.stores.sql.rows import RowsBegun, in_parts, record_rows
from tailmetrics.stores.sql.store import SqlStore
from tests import servers
from tests.builders import Record, at, batch_of, records_of, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import NOON, WHOLE, run, settings_of


def test_ids_and_paths_of_any_signs_and_length_come_back_as_they_were(store: Store, ask: Ask[Any]) -> None:
    ids = [
        "\U0001f680" * 256,
        "a",
        "a ",
        "A",
        "\\N",
        "\\",
        "\u00e9",
        "e\u0301",
        "'; --",
        "%s",
        '"',
        "\u2028",
    ]
    paths = ["/" + "x" * 200_000, "/" + "x" * 200_000 + "y", "/tab\tand\nline\r\\.", "/\U0001f680", "\\."]
    rows: list[Record] = [(NOON, name, paths[place % 5], 200, 0.1) for place, name in enumerate(ids)]
    source = store.register(source_of())
    store.write([batch_of(source, rows, rejects=[("reason", "\\N\t\U0001f680")])])
    page = ask(store.customers(CustomersQuery()))
    assert [customer.customer_id for customer in page.customers] == sorted(ids, key=str.encode)
    assert {path.path for path in ask(store.breakdown(BreakdownQuery(None))).paths} == set(paths)
    assert ask(store.rejects(RejectsQuery())).rejects[0].line == "\\N\t\U0001f680"


@pytest.mark.parametrize(
    "duration",
    [0.1 + 0.2, 5e-324, 2.2250738585072014e-308, 1e-7, 123456.789012345678, 1e22, 1.7976931348623157e308],
)
def test_durations_come_back_to_the_last_bit(store: Store, ask: Ask[Any], duration: float) -> None:
    source = store.register(source_of())
    store.write([batch_of(source, [(NOON, "a", "/", 200, duration)])])
    assert ask(store.stats(StatsQuery("a", WHOLE))).summary.median_latency == duration


class TestRowsMadeAhead:
    ROWS = 6000

    def batch(self, source: Source) -> Batch:
        return batch_of(source, [(NOON, "ab"[place % 2], "/", 200, 0.1) for place in range(self.ROWS)])

    def prepared(self, store: Store, batch: Batch) -> Batch:
        assert isinstance(store, SqlStore)
        prepared = store.prepare(batch)
        if isinstance(prepared.prepared, RowsBegun):
            wait([prepared.prepared.rows])
        return prepared

    def test_a_batch_that_was_prepared_is_written_once(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        store.write([self.prepared(store, self.batch(source))])
        assert ask(store.status()).records == self.ROWS
        assert ask(store.stats(StatsQuery("b", WHOLE))).summary.total_requests == self.ROWS // 2

    def test_rows_are_made_before_they_are_written(self, server: servers.Server, ask: Ask[Any]) -> None:
        store = open_store(settings_of(server.new_database()))
        source = store.register(source_of())
        batch = self.prepared(store, self.batch(source))
        assert isinstance(batch.prepared, RowsBegun)
        assert batch.prepared.rows.exception() is None
        assert [customer.customer_id for customer in ask(store.customers(CustomersQuery())).customers] == []
        store.close()

    def test_a_batch_may_be_prepared_before_its_source_is_known(self, store: Store, ask: Ask[Any]) -> None:
        batch = self.prepared(store, self.batch(source_of()))
        store.register(source_of())
        store.write([batch])
        assert ask(store.status()).records == self.ROWS

    def test_records_that_were_taken_out_after_it_was_prepared_are_not_written(
        self, store: Store, ask: Ask[Any]
    ) -> None:
        batch = self.prepared(store, self.batch(store.register(source_of())))
        fewer = replace(batch.parsed, records=batch.parsed.records.head(10))
        store.write([replace(batch, parsed=fewer)])
        assert ask(store.status()).records == 10

    def test_a_source_that_got_another_key_meanwhile_has_its_records_under_that(
        self, settings: Settings, store: Store
    ) -> None:
        source = store.register(source_of())
        batch = self.prepared(store, self.batch(source))
        store.forget([source.source_id])
        store.register(source_of("other.log", inode=8))
        store.register(source)
        store.write([batch])
        [(key,)] = run(settings, f"SELECT source_key FROM sources WHERE source_id = '{source.source_id}'")
        assert run(settings, "SELECT DISTINCT source_key FROM records") == [(key,)]

    def test_what_was_in_the_way_of_preparing_is_told_when_it_is_written(
        self, settings: Settings, store: Store
    ) -> None:
        source = store.register(source_of())
        run(settings, "DROP VIEW daily_stats", "DROP TABLE records", "DROP TABLE customers")
        batch = self.prepared(store, self.batch(source))
        with pytest.raises(StoreGone, match="removed"):
            store.write([batch])


@pytest.mark.parametrize("largest_key", [3, 2**31 - 1])
def test_rows_are_in_the_order_of_the_index(largest_key: int) -> None:
    times = [at("9999-12-31"), NOON, at("0001-01-01"), NOON]
    frame = records_of([(time, name, "/", 200, 0.1) for name in ("b", "a") for time in times])
    keys = pl.DataFrame({"customer_id": ["a", "b"], "customer_key": [1, largest_key]}).cast(
        {"customer_key": pl.Int32}
    )
    rows = record_rows([(7, frame)], keys)
    places = rows.select("customer_key", "time_us").rows()
    assert places == sorted(places)
    assert {
        (key, source_key) for key, source_key in rows.select("customer_key", "source_key").iter_rows()
    } == {
        (1, 7),
        (largest_key, 7),
    }


def test_batches_are_sorted_together_in_parts() -> None:
    frames = [pl.DataFrame({"offset": range(number)}) for number in (30_000, 30_000, 10, 0)]
    parts = list(in_parts(list(enumerate(frames))))
    assert [[key for key, _ in part] for part in parts] == [[0, 1], [2, 3]]


def test_nothing_is_no_part() -> None:
    assert list(in_parts([(0, pl.DataFrame({"offset": []}))])) == []
