"""Queries to a DuckDB file: while it is written, when they take long, and when memory is short."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stats import CustomersQuery, StatsQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb.queries.aggregates import Groups, Method, aggregates_sql
from tailmetrics.stores.duckdb.queries.conditions import Condition
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.stores.results import summary_of
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, settings_of, source_of
from tests.stores.brute_force import assert_same_summary, expected_summary
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import DAILY, ONE


class TestRunning:
    def test_a_closed_store_says_so(self, settings: Settings, ask: Ask[Any]) -> None:
        store = open_store(settings)
        source = store.register(source_of())
        store.close()
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.write([batch_of(source, ONE)])
        with pytest.raises(StoreUnavailable, match="closed"):
            ask(store.ping())

    def test_a_question_that_takes_too_long_is_ended(self, tmp_path: Path, ask: Ask[Any]) -> None:
        store = open_store(settings_of(tmp_path / "store.duckdb", query_timeout_seconds=0.2))
        assert isinstance(store, DuckDBStore)
        endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
        with pytest.raises(StoreUnavailable, match=r"longer than 0.2 seconds \(QUERY_TIMEOUT_SECONDS\)"):
            ask(store._ask(lambda reader: reader.run(endless)))
        ask(store.ping())
        store.close()

    def test_closing_ends_the_questions_under_way(self, settings: Settings) -> None:
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"

        async def close_while_asking() -> None:
            question = asyncio.ensure_future(store._ask(lambda reader: reader.run(endless)))
            while not any(reader._cursor for reader in store._readers):
                await asyncio.sleep(0.001)
            await asyncio.to_thread(store.close)
            await question

        with pytest.raises(StoreUnavailable, match="was closed"):
            asyncio.run(close_while_asking())

    def test_questions_are_answered_while_batches_are_written(
        self, settings: Settings, ask: Ask[Any]
    ) -> None:
        store = open_store(settings)
        source = store.register(source_of())

        async def both() -> list[int]:
            counts = []
            nonlocal source
            for _ in range(20):
                batch = batch_of(source, ONE * 10)
                writing = asyncio.to_thread(store.write, [batch])
                answer, _ = await asyncio.gather(store.stats(StatsQuery(None, DAILY)), writing)
                counts.append(answer.summary.total_requests)
                source = moved(source, batch)
            return counts

        counts = ask(both())
        store.close()
        assert counts == sorted(counts)
        assert all(count % 10 == 0 for count in counts)


@pytest.mark.slow
class TestMemory:
    """Quantiles found in memory and on disk are the same, and the disk is used where memory ends."""

    @pytest.mark.parametrize(("key", "total"), [("customer_id", True), ("customer_id", False), (None, True)])
    @pytest.mark.parametrize("rows", [1, 2, 1000])
    @pytest.mark.parametrize("method", list(Method))
    def test_both_methods_give_the_figures_of_brute_force(
        self, settings: Settings, ask: Ask[Any], *, method: Method, rows: int, key: str | None, total: bool
    ) -> None:
        chance = random.Random(3)  # the same records in each run
        records: list[Record] = [
            (
                at("2024-10-10"),
                f"c{chance.randrange(5)}",
                "/",
                chance.choice((200, 500)),
                chance.choice((None, 0.25, chance.random())),
            )
            for _ in range(rows)
        ]
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        store.write([batch_of(store.register(source_of()), records)])
        found = {}
        for sql in aggregates_sql(method, Groups(key, total), Condition("TRUE", {}), "4xx+5xx"):
            for found_key, *row in ask(store._ask(lambda reader, sql=sql: reader.run(sql))):
                found[found_key] = summary_of(*row)
        store.close()
        expected = {}
        if key is not None:
            for name in {record[1] for record in records}:
                expected[name] = expected_summary([record for record in records if record[1] == name])
        if total:
            expected[None] = expected_summary(records)
        assert found.keys() == expected.keys()
        for name, summary in found.items():
            assert_same_summary(summary, expected[name])

    def test_a_customer_with_more_requests_than_memory_is_answered(
        self, tmp_path: Path, ask: Ask[Any]
    ) -> None:
        rows = 3_000_000
        store = open_store(settings_of(tmp_path / "store.duckdb", duckdb_memory_limit="48MB"))
        durations = np.random.default_rng(1).random(rows)
        source = store.register(source_of())
        for begin in range(0, rows, 250_000):
            batch = batch_of(source, one_customer(durations[begin : begin + 250_000]))
            store.write([batch])
            source = moved(source, batch)
        answer = ask(store.stats(StatsQuery("a", DAILY)))
        page = ask(store.customers(CustomersQuery(sort="p99")))
        store.close()
        for summary in (answer.summary, answer.windows[0].summary, page.customers[0].summary):
            assert summary.total_requests == rows
            assert summary.median_latency == pytest.approx(np.median(durations), rel=1e-9)
            assert summary.p99_latency == pytest.approx(np.quantile(durations, 0.99), rel=1e-9)


def one_customer(durations: np.ndarray[Any, Any]) -> pl.DataFrame:
    """Records of the customer `a` at one time."""
    return pl.DataFrame({"duration": durations}).select(
        pl.lit(datetime(2024, 10, 10), pl.Datetime("us")).alias("timestamp"),  # noqa: DTZ001  # as in records
        pl.lit("a").alias("customer_id"),
        pl.lit("/").alias("path"),
        pl.lit(200, pl.Int16).alias("status_code"),
        "duration",
        (pl.int_range(pl.len()) * LINE_BYTES).alias("offset"),
    )
