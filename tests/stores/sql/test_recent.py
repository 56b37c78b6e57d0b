"""Requests that are kept in memory: they are those of the database, and only what is new is read again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from tailmetrics.settings import Settings
from tailmetrics.sources import Source
from tailmetrics.stats import CustomersPage, CustomersQuery, StatsQuery, TrendsQuery
from tailmetrics.stores import Store, copying, open_store
from tailmetrics.stores.sql import recent as module
from tailmetrics.stores.sql.queries import Queries
from tailmetrics.stores.sql.selected import Selected
from tailmetrics.stores.sql.store import SqlStore
from tailmetrics.stores.summaries.reading import BlockCache
from tests.builders import Record, batch_of, moved, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import NOON, WHOLE, done, settings_of

pytestmark = pytest.mark.servers

RANGES: list[tuple[datetime | None, datetime | None]] = [
    (None, None),
    (NOON + timedelta(seconds=30), NOON + timedelta(minutes=3, seconds=10)),
    (NOON + timedelta(seconds=10), NOON + timedelta(seconds=50)),
    (NOON - timedelta(hours=9), NOON + timedelta(minutes=2)),
]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many requests each look into the database gave."""
    heights: list[int] = []
    requests = Selected.requests

    async def counted(self: Selected, wanted: Any = None) -> AsyncGenerator[pl.DataFrame, None]:
        number = 0
        async for frame in requests(self, wanted):
            number += frame.height
            yield frame
        heights.append(number)

    monkeypatch.setattr(Selected, "requests", counted)
    return heights


def rows(number: int, seed: int = 0, minutes: int = 5) -> list[Record]:
    chance = random.Random(seed)
    return [
        (
            NOON + timedelta(seconds=chance.randrange(60 * minutes)),
            f"cust_{chance.randrange(4)}",
            "/",
            chance.choice([200, 404, 500]),
            chance.choice([None, 0.1, 0.25, 3.0]),
        )
        for _ in range(number)
    ]


def write(store: Store, source: Source, records: list[Record]) -> Source:
    batch = batch_of(source, records)
    store.write([batch])
    return moved(source, batch)


def number(page: CustomersPage) -> int:
    return sum(customer.summary.total_requests for customer in page.customers)


def answers(store: Store, ask: Ask[Any]) -> list[Any]:
    return [
        each
        for start, end in RANGES
        for each in (
            ask(store.customers(CustomersQuery(start, end))),
            ask(store.stats(StatsQuery(None, WHOLE, start, end))),
            ask(
                store.trends(
                    TrendsQuery(("cust_1", "cust_2"), start or NOON, end or NOON + timedelta(hours=1), 4)
                )
            ),
        )
    ]


def answers_of_another(settings: Settings, ask: Ask[Any]) -> list[Any]:
    other = open_store(settings)
    found = answers(other, ask)
    other.close()
    return found


def test_answers_are_those_of_a_process_that_keeps_nothing(
    settings: Settings, store: Store, ask: Ask[Any]
) -> None:
    sources = [store.register(source_of(inode=inode)) for inode in (1, 2, 3)]
    chance = random.Random(2)
    for turn in range(12):
        place = chance.randrange(3)
        sources[place] = write(store, sources[place], rows(chance.randrange(1, 40), turn))
        if turn % 5 == 4:
            store.summarize()
        assert answers(store, ask) == answers_of_another(settings, ask)


def test_of_a_minute_that_was_read_only_what_is_new_is_read(
    store: Store, ask: Ask[Any], read: list[int]
) -> None:
    source = write(store, store.register(source_of()), rows(50))
    answers(store, ask)
    assert sum(read) == 50
    read.clear()
    write(store, source, rows(3, seed=1))
    answers(store, ask)
    assert sum(read) == 3


def test_a_minute_that_nobody_wrote_to_is_not_looked_for(
    store: Store, ask: Ask[Any], read: list[int]
) -> None:
    source = write(store, store.register(source_of()), rows(50))
    answers(store, ask)
    read.clear()
    write(store, source, [(NOON + timedelta(minutes=30), "late", "/", 200, 0.1)])
    ask(store.customers(CustomersQuery()))
    assert read == [1]


def test_a_question_of_an_older_state_has_its_own_answer(store: SqlStore) -> None:
    source = write(store, store.register(source_of()), rows(10))

    async def asked() -> list[int]:
        async with store._reading() as connection:
            older = Queries(connection, BlockCache(), store._recent)
            before = await older.customers(CustomersQuery())
            await asyncio.to_thread(write, store, source, rows(5, seed=1))
            now = await store.customers(CustomersQuery())
            again = await older.customers(CustomersQuery())
        return [number(page) for page in (before, now, again)]

    assert done(store, asked()) == [10, 15, 10]


@pytest.mark.parametrize("limit", ["_MOST_MINUTES", "_MOST_REQUESTS", "_MOST_SOURCES", "_MOST_MOVED"])
def test_what_is_more_than_is_kept_is_read(
    settings: Settings, store: Store, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(module, limit, 1)
    sources = [store.register(source_of(inode=inode)) for inode in (1, 2)]
    for turn in range(3):
        sources = [write(store, source, rows(9, seed=turn)) for source in sources]
        assert answers(store, ask) == answers_of_another(settings, ask)


def test_no_more_is_kept_than_may_be(store: SqlStore, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_REQUESTS", 30)
    write(
        store,
        store.register(source_of()),
        [(NOON + timedelta(minutes=n), "a", "/", 200, 1.0) for n in range(90)],
    )
    for minute in range(0, 90, 10):
        start = NOON + timedelta(minutes=minute)
        page = ask(store.customers(CustomersQuery(start, start + timedelta(minutes=10))))
        assert number(page) == 10
    assert sum(frame.height for frame in store._recent._minutes.values()) == 30


def test_what_has_expired_counts_no_more_after_a_late_line(settings: Settings, ask: Ask[Any]) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    old = now - timedelta(days=2)
    store = open_store(settings)
    times = (old, old + timedelta(seconds=20), now)
    source = write(store, store.register(source_of()), [(time, "a", "/", 200, 1.0) for time in times])
    assert number(ask(store.customers(CustomersQuery()))) == 3
    keeping = open_store(settings_of(settings.store_url, retention_days=1))
    source = write(keeping, source, [(now, "a", "/", 200, 1.0)])
    keeping.close()
    write(store, source, [(old - timedelta(minutes=2), "a", "/", 200, 1.0)])
    assert number(ask(store.customers(CustomersQuery()))) == 3
    store.close()


def test_what_a_copy_brings_counts(settings: Settings, store: Store, ask: Ask[Any], tmp_path: Any) -> None:
    origin = open_store(settings_of(f"sqlite:///{tmp_path}/origin.db"))
    write(origin, origin.register(source_of(inode=9)), rows(30))
    write(store, store.register(source_of()), rows(10, seed=1))
    before = ask(store.customers(CustomersQuery()))
    ask(copying.copy(origin, store, "origin", lambda done, of: None))
    origin.close()
    after = ask(store.customers(CustomersQuery()))
    assert [number(page) for page in (before, after)] == [10, 40]
    assert answers(store, ask) == answers_of_another(settings, ask)
