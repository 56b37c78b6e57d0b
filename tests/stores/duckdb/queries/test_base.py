from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailmetrics.errors import StoreUnavailable, UnknownCustomer
from tailmetrics.sources import Source
from tailmetrics.stats import StatsQuery
from tailmetrics.stores.base import Queries
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.windows import parse_every
from tests.builders import Record, at, batch_of, moved, settings_of, source_of

ALL = StatsQuery(None, parse_every("none"))
NOBODY = StatsQuery("nobody", parse_every("none"))


class Log:
    """Adds one request with each commit."""

    def __init__(self, store: DuckDBStore) -> None:
        self._store = store
        self._source: Source = store.register(source_of())

    def add(self) -> None:
        record: Record = (at("2024-10-10"), "a", "/", 200, 0.1)
        batch = batch_of(self._source, [record])
        self._store.write([batch])
        self._source = moved(self._source, batch)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    store = DuckDBStore(settings_of(tmp_path / "store.duckdb"))
    yield store
    store.close()


@pytest.fixture
def log(store: DuckDBStore) -> Log:
    log = Log(store)
    log.add()
    return log


async def requests(queries: Queries) -> int:
    return (await queries.stats(ALL)).summary.total_requests


def test_queries_of_a_snapshot_see_the_state_of_the_first(store: DuckDBStore, log: Log) -> None:
    async def steps() -> list[int]:
        found = []
        async with store.snapshot() as queries:
            for _ in range(2):
                found.append(await requests(queries))
                log.add()
        return [*found, await requests(store)]

    assert asyncio.run(steps()) == [1, 1, 3]


def test_queries_of_a_snapshot_may_be_asked_at_once(store: DuckDBStore, log: Log) -> None:
    async def steps() -> list[int]:
        async with store.snapshot() as queries:
            return await asyncio.gather(*(requests(queries) for _ in range(5)))

    assert asyncio.run(steps()) == [1] * 5


def test_nothing_is_asked_of_a_snapshot_that_was_left(store: DuckDBStore, log: Log) -> None:
    async def steps() -> None:
        async with store.snapshot() as queries:
            await requests(queries)
        with pytest.raises(StoreUnavailable, match="left"):
            await requests(queries)

    asyncio.run(steps())


def test_a_snapshot_that_is_left_early_leaves_the_store_as_it_was(store: DuckDBStore, log: Log) -> None:
    async def steps() -> int:
        for _ in range(20):
            with pytest.raises(UnknownCustomer):
                async with store.snapshot() as queries:
                    await asyncio.gather(queries.stats(NOBODY), queries.stats(ALL))
        log.add()
        return await requests(store)

    assert asyncio.run(steps()) == 2


def test_a_store_can_be_closed_and_opened_while_a_snapshot_is_held(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "store.duckdb")
    store = DuckDBStore(settings)
    Log(store).add()

    async def steps() -> None:
        async with store.snapshot() as queries:
            await requests(queries)
            store.close()
            again = DuckDBStore(settings)
            assert await requests(again) == 1
            again.close()

    asyncio.run(steps())
