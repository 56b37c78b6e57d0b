"""Counts that are kept: as a store would count them now, whatever is written to it and when."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import timedelta

import polars as pl
import pytest

from tailmetrics.objectives.budgets import Budgets, budgets_at
from tailmetrics.objectives.definitions import Document
from tailmetrics.objectives.history import History, whole_parts
from tailmetrics.sources import Source
from tailmetrics.stats import CountsQuery
from tailmetrics.stores.base import Changes
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.windows import from_us
from tests.builders import Record, at, batch_of, moved, source_of
from tests.objectives.brute_force import DOCUMENT, expected_budgets, figures_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NOW = at("2024-10-27T02:10:00")
DAY = CountsQuery(at("2024-10-20T00:00:00"), at("2024-10-21T00:00:00"))


class Counting(InMemoryStore):
    """A store that notes what it is asked, and may not know what has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[CountsQuery] = []
        self.knows = True
        self._source: Source = self.register(source_of())

    def add(self, *rows: Record) -> None:
        batch = batch_of(self._source, rows)
        self.write([batch])
        self._source = moved(self._source, batch)

    async def counts(self, query: CountsQuery) -> pl.DataFrame:
        self.asked.append(query)
        return await super().counts(query)

    async def changes(self, mark: str | None) -> Changes:
        found = await super().changes(mark)
        return found if self.knows else Changes(found.mark, None)


async def counted(history: History, store: Counting, query: CountsQuery) -> int:
    mark = await history.refresh()
    return int((await history.counts(store, query, mark))["requests"].sum())


def row(moment: str) -> Record:
    return (at(moment), "cust_1", "/", 200, 0.1)


def test_what_was_counted_is_not_counted_again_until_it_is_written_to() -> None:
    async def go() -> None:
        store = Counting()
        history = History(store)
        store.add(row("2024-10-20T12:00:00"))
        assert [await counted(history, store, DAY) for _ in range(3)] == [1] * 3
        store.add(row("2024-10-21T00:00:00"), row("2024-10-19T23:59:59.999999"))
        assert [await counted(history, store, DAY), len(store.asked)] == [1, 1]
        store.add(row("2024-10-20T00:00:00"))
        assert [await counted(history, store, DAY), len(store.asked)] == [2, 2]

    asyncio.run(go())


def test_where_nobody_knows_what_changed_all_is_counted_again() -> None:
    async def go() -> None:
        store = Counting()
        store.knows = False
        history = History(store)
        assert [await counted(history, store, DAY) for _ in range(3)] == [0] * 3
        assert len(store.asked) == 3

    asyncio.run(go())


def test_what_is_no_whole_hour_is_not_kept() -> None:
    async def go() -> None:
        store = Counting()
        history = History(store)
        part = CountsQuery(DAY.start, DAY.end - timedelta(seconds=1))
        assert [await counted(history, store, part) for _ in range(2)] == [0, 0]
        assert len(store.asked) == 2

    asyncio.run(go())


def test_what_is_written_while_it_is_counted_is_not_missed_later() -> None:
    """One that asks is slow: it has counted before a commit, and keeps that after another has seen it."""

    async def go() -> None:
        store = Counting()
        history = History(store)
        mark = await history.refresh()
        store.add(row("2024-10-20T12:00:00"))
        await history.refresh()
        before = Counting()  # as the snapshot of who is slow
        await history.counts(before, DAY, mark)
        assert await counted(history, store, DAY) == 1

    asyncio.run(go())


def test_budgets_from_a_history_are_those_of_brute_force_while_records_come_late() -> None:
    chance = random.Random(5)
    store = Counting()
    history = History(store)
    rows: list[Record] = []

    async def found(document: Document, moment_us: int) -> Budgets:
        mark = await history.refresh()
        return await budgets_at(
            lambda query: history.counts(store, query, mark), document, from_us(moment_us)
        )

    moment = NOW
    for _ in range(12):
        for _ in range(chance.randrange(3)):
            new: list[Record] = [
                (
                    moment
                    - timedelta(seconds=chance.choice((1, 4_000, 90_000, 2_000_000)) * chance.random()),
                    f"cust_{chance.randrange(4)}",
                    "/",
                    chance.choice((200, 503)),
                    chance.choice((0.1, 0.9)),
                )
                for _ in range(20)
            ]
            store.add(*new)
            rows += new
        moment += timedelta(minutes=chance.choice((1, 70, 1_500)))
        budgets = asyncio.run(found(DOCUMENT, int(moment.timestamp()) * 1_000_000))
        assert [figures_of(each) for each in budgets.budgets] == expected_budgets(rows, DOCUMENT, moment)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 30 * DAY_US), (1, 30 * DAY_US - 1), (HOUR_US // 2, 3 * DAY_US + HOUR_US // 3), (5, DAY_US + 10)],
)
def test_most_of_a_long_span_is_whole_hours_and_days(low: int, high: int) -> None:
    edges = [low, *whole_parts(low, high), high]
    assert edges == sorted(set(edges))
    odd = sum(end - start for start, end in itertools.pairwise(edges) if start % HOUR_US or end % HOUR_US)
    assert odd < 2 * HOUR_US


def test_a_short_span_is_not_cut() -> None:
    assert whole_parts(1, 6 * HOUR_US) == []
