"""Random sequences of commits, failures, makers and deletions: answers are those of a look at all records."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tailmetrics.errors import QueryError
from tailmetrics.stats import BreakdownQuery, CountsQuery, CustomersQuery, StatsQuery, TrendsQuery
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.summaries import answers, block
from tailmetrics.stores.summaries.base import BlocksGone
from tailmetrics.stores.summaries.counts import counts
from tailmetrics.stores.summaries.maker import Maker
from tailmetrics.stores.summaries.reading import BlockCache, Reading
from tailmetrics.windows import parse_every, to_us
from tests.builders import Record, at
from tests.stores.brute_force import (
    assert_same,
    assert_same_summary,
    expected_breakdown,
    expected_counts,
    expected_stats,
    expected_summary,
    expected_trends,
    in_range,
)
from tests.stores.summaries.fake import FakeKeeps, Task, finished, touched, wait

IDS = ("a", "b", "B", "cust-1", "cüst", "Z")
PATHS = ("/", "/a", "/b", "/ü", "/long/path")
STATUSES = (0, 200, 200, 201, 399, 404, 429, 499, 500, 503)
DURATIONS = (None, 0.0, 0.25, 0.013, 0.000217, 1 / 3, 7.5, 86_400.0)
ZONES = ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe")
CLOSE = ("1m", "7m", "15m", "30m", "1h", "7h", "1d", "2d", "7d", "none")
WIDE = ("1d", "7d", "365d", "none")
# Clocks change in New York, and in Lord Howe by half an hour.
BEGIN = at("2024-11-02T21:17:00")
FAR = ("1971-03-04T05:06:07", "1969-12-31T23:59:59.999999", "1985-05-05", "2023-11-05T05:30:00", "2051-06-01")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "MOST_PATHS", 4)


class Writer:
    """A process that commits records: its journal, and what it has not been told to be written."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.place = 0

    def key(self) -> tuple[str, int]:
        self.place += 1
        return self.name, self.place


class History:
    """A store, and the processes that use it, one random event after another."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = FakeKeeps()
        self.cache = BlockCache(self.chance.choice((0, 10_000, 1_000_000)))
        self.now = BEGIN
        self.is_far = self.chance.random() < 0.4
        self.names = iter(range(1_000_000))
        self.writers = [self.writer() for _ in range(2)]
        self.makers = [self.maker() for _ in range(2)]
        self.commits: list[Task[None]] = []
        self.unsure: list[dict[int, Record]] = []  # written, and not known to be
        self.making: dict[Task[Any], int] = {}  # how many sweeps had begun when it was begun or left waiting
        self.sweeps = 0
        self.asked = 0

    def writer(self) -> Writer:
        return Writer(f"journal-{next(self.names)}")

    def maker(self) -> Maker:
        return Maker(self.store, lambda: self.now)

    def happen(self) -> None:
        events: list[tuple[float, Callable[[], None]]] = [
            (5, self.commit),
            (1, self.commit_and_fail),
            (1, self.repeat),
            (0.5, self.end_writer),
            (6, self.make),
            (1.5, self.sweep),
            (8, self.go_on),
            (1, self.finish_one),
            (0.5, self.end_maker),
            (2, self.pass_time),
            (1, self.delete),
            (0.3, self.expire),
            (3, self.ask),
        ]
        chances, happen = zip(*events, strict=True)
        self.chance.choices(happen, chances)[0]()

    # Writers.

    def some_records(self) -> dict[int, Record]:
        chance = self.chance
        kind = chance.random()
        if kind < 0.5:
            first, length = self.now - timedelta(minutes=2), timedelta(minutes=2)
        elif kind < 0.7:
            first, length = self.now - timedelta(days=chance.randint(1, 5)), timedelta(days=1)
        elif kind < 0.8:
            first, length = self.now + timedelta(hours=chance.randint(0, 30)), timedelta(hours=2)
        elif kind < 0.9 or not self.is_far:
            minute = self.now.replace(second=0, microsecond=0) - timedelta(minutes=chance.randint(0, 200))
            first, length = minute, timedelta(minutes=1)
        else:
            first, length = at(chance.choice(FAR)), timedelta(seconds=1)
        return {
            next(self.names): (
                first + timedelta(microseconds=chance.randrange(length // timedelta(microseconds=1))),
                chance.choice(IDS[: chance.randint(1, len(IDS))]),
                chance.choice(PATHS[: chance.randint(1, len(PATHS))]),
                chance.choice(STATUSES),
                chance.choice(DURATIONS),
            )
            for _ in range(chance.randint(1, 6))
        }

    def commit(self) -> None:
        self.commits.append(Task(self.written(self.chance.choice(self.writers), self.some_records())))

    async def written(self, writer: Writer, records: dict[int, Record]) -> None:
        self.store.records |= records  # again, where a commit is repeated
        await wait("before")
        self.store.journal[writer.key()] = touched(list(records.values()))

    def commit_and_fail(self) -> None:
        """Records arrive, or some of them, and what is behind them does not, or later."""
        place = self.chance.randrange(len(self.writers))
        records = self.some_records()
        some = dict(list(records.items())[self.chance.randint(0, 1) :])
        if self.chance.random() < 0.5:
            self.commits.append(Task(self.written(self.writers[place], some)))
        else:
            self.store.records |= some
        self.unsure.append(records)
        self.writers[place] = self.writer()

    def repeat(self) -> None:
        for records in self.unsure:
            self.commits.append(Task(self.written(self.chance.choice(self.writers), records)))
        self.unsure.clear()

    def end_writer(self) -> None:
        self.writers[self.chance.randrange(len(self.writers))] = self.writer()

    def delete(self) -> None:
        """As a retention does, or one who wants a stretch to be gone."""
        known = set().union(*self.unsure)
        times = sorted(record[0] for key, record in self.store.records.items() if key not in known)
        if not times or self.chance.random() < 0.3:
            return
        low, high = sorted(self.chance.choices(times, k=2))
        if self.chance.random() < 0.5:
            low = times[0]
        gone = [key for key, record in self.store.records.items() if low <= record[0] <= high]
        records = {key: self.store.records.pop(key) for key in gone if key not in known}
        writer = self.chance.choice(self.writers)
        self.commits.append(Task(self.noted(writer, list(records.values()))))

    def expire(self) -> None:
        """A server deletes what is old without a word, and says from when on there is something."""
        oldest = to_us(self.now - timedelta(days=self.chance.choice((2, 10, 400))))
        self.store.oldest_us = max(self.store.oldest_us, oldest)
        if self.chance.random() < 0.5:
            for key in [key for key, record in self.store.records.items() if self.has_expired(record)]:
                del self.store.records[key]

    def has_expired(self, record: Record) -> bool:
        return to_us(record[0]) < self.store.oldest_us

    async def noted(self, writer: Writer, records: list[Record]) -> None:
        await wait("before")
        self.store.journal[writer.key()] = touched(records)

    # Makers.

    def make(self) -> None:
        if len(self.making) < 4:
            hot = touched(list(self.some_records().values())) if self.chance.random() < 0.2 else ()
            self.making[Task(self.made(self.chance.choice(self.makers), hot))] = self.sweeps

    async def made(self, one: Maker, hot: Any) -> None:
        await one.make(await self.store.state(), hot)

    def sweep(self) -> None:
        """No request is under way from one sweep to the one after the next."""
        for task in list(self.making):
            while task.where == "within" and self.making[task] < self.sweeps:
                self.step(task)
        self.sweeps += 1
        self.making[Task(self.chance.choice(self.makers).sweep())] = self.sweeps

    def step(self, task: Task[Any]) -> None:
        was = task.where
        try:
            task.step()
        except BlocksGone:
            task.where = None  # the maker says so, and looks again
        if task.is_done:
            self.making.pop(task, None)
        elif was != "within" or task.where != "within":
            self.making[task] = self.sweeps

    def go_on(self) -> None:
        for _ in range(self.chance.randint(1, 12)):
            tasks = [*self.commits, *self.making]
            if not tasks:
                return
            task = self.chance.choice(tasks)
            if task in self.making:
                self.step(task)
            else:
                task.step()
                self.commits = [each for each in self.commits if not each.is_done]

    def finish_one(self) -> None:
        if self.making:
            task = (
                list(self.making)[-1] if self.chance.random() < 0.5 else self.chance.choice(list(self.making))
            )
            while not task.is_done:
                self.step(task)

    def end_maker(self) -> None:
        place = self.chance.randrange(len(self.makers))
        self.makers[place] = self.maker()
        if self.making:
            task = self.chance.choice(list(self.making))
            task.die()
            del self.making[task]

    def end(self) -> None:
        """All processes end."""
        for task in (*self.commits, *self.making):
            task.die()
        self.commits.clear()
        self.making.clear()

    def pass_time(self) -> None:
        steps = (timedelta(minutes=1), timedelta(minutes=9), timedelta(hours=1), timedelta(hours=14))
        self.now += self.chance.choice((*steps, timedelta(days=1, hours=1), -timedelta(hours=2)))

    # Questions.

    def ask(self) -> None:
        self.repeat()
        for commit in self.commits:
            commit.finish()
        self.commits.clear()
        records = [record for record in self.store.records.values() if not self.has_expired(record)]
        questions = (
            self.ask_stats,
            self.ask_customers,
            self.ask_breakdown,
            self.ask_trends,
            self.ask_counts,
            self.ask_span,
        )
        self.chance.choice(questions)(records)
        self.asked += 1

    def answer(self, question: Callable[[Reading], Coroutine[Any, Any, Any]]) -> Any:
        """What is answered while makers go on; asked again, as a store does, when blocks are replaced."""
        for _ in range(5):
            task = Task(question(Reading(self.store, self.cache)))
            try:
                swept = self.sweeps
                while not task.is_done:
                    task.step()
                    if task.where != "within":
                        swept = self.sweeps
                    if self.chance.random() < 0.2:
                        self.interfere(may_sweep=swept == self.sweeps)
            except BlocksGone:
                continue
            return task.result
        raise AssertionError("blocks are gone whenever they are looked for")

    def interfere(self, *, may_sweep: bool) -> None:
        """What makers do in the middle of a question."""
        happen = self.chance.choice((self.make, self.sweep if may_sweep else self.make, self.go_on))
        happen()
        if self.chance.random() < 0.7:
            self.finish_one()

    def moment(self, records: list[Record]) -> datetime:
        near = self.chance.choice([record[0] for record in records] or [self.now])
        by = self.chance.choice((0, 1, -1, 60_000_000, -977_000_000, 3_600_000_000, -100_000_000_000))
        moment = near + timedelta(microseconds=by)
        rounded = moment.replace(minute=0, second=0, microsecond=0)
        return self.chance.choice((moment, rounded))

    def bounds(self, records: list[Record], is_open: bool = True) -> tuple[datetime | None, datetime | None]:
        start, end = sorted((self.moment(records), self.moment(records)))
        end += timedelta(microseconds=1)
        if is_open:
            return self.chance.choice(((None, None), (start, None), (None, end), (start, end), (start, end)))
        return start, end

    def failures(self) -> Any:
        return self.chance.choice(("4xx+5xx", "5xx", "5xx+429"))

    def ask_stats(self, records: list[Record]) -> None:
        chance = self.chance
        every = chance.choice(CLOSE)
        start, end = self.bounds(records)
        times = [record[0] for record in records]
        low, high = start or min(times, default=self.now), end or max(times, default=self.now)
        if high - low > timedelta(days=20):
            every = chance.choice(WIDE)
        query = StatsQuery(
            None,
            parse_every(every),
            start,
            end,
            ZoneInfo(chance.choice(ZONES)),
            self.failures(),
            chance.choice(("requests", "good_windows")),
            fill=chance.random() < 0.2 and high - low < timedelta(days=3),
        )
        try:
            found = self.answer(lambda store: answers.stats(store, query))
        except QueryError:
            assert query.fill
            return
        if found is None:
            assert max(times) - min(times) > timedelta(days=7000)
            return
        assert_same(found, expected_stats(records, query))

    def ask_customers(self, records: list[Record]) -> None:
        chance = self.chance
        sorts = ("customer_id", "requests", "failures", "uptime", "average", "median", "p99")
        query = CustomersQuery(
            *self.bounds(records),
            self.failures(),
            chance.choice(("", "", "b", "CUST", "ü", "q")),
            chance.choice((1, 1, 2, 4)),
            chance.choice(sorts),
            descending=chance.random() < 0.5,
            limit=chance.choice((2, 100, 2000)),
        )
        rows = in_range(records, query)  # type: ignore[arg-type]
        expected = {}
        for customer_id in {row[1] for row in rows if query.search.lower() in row[1].lower()}:
            summary = expected_summary([row for row in rows if row[1] == customer_id], query.failures)
            if summary.total_requests >= query.min_requests:
                expected[customer_id] = summary
        page = self.answer(lambda store: answers.customers(store, query, self.cache.sums))
        assert page.total == len(expected)
        assert len(page.customers) == min(query.limit, len(expected))
        for customer in page.customers:
            assert_same_summary(customer.summary, expected[customer.customer_id])
        figures = {
            "customer_id": lambda customer_id: customer_id.encode(),
            "requests": lambda customer_id: expected[customer_id].total_requests,
            "failures": lambda customer_id: expected[customer_id].failed_requests,
            "uptime": lambda customer_id: expected[customer_id].uptime,
        }
        latency = f"{query.sort}_latency"
        figure = figures.get(
            query.sort, lambda customer_id: round(getattr(expected[customer_id], latency), 9)
        )
        ids = sorted(expected)
        if query.sort not in figures:
            ids = [each for each in ids if getattr(expected[each], latency) is not None]
        ids.sort(key=figure, reverse=query.descending)
        found = [customer.customer_id for customer in page.customers][: len(ids)]
        assert [figure(each) for each in found] == [figure(each) for each in ids[: query.limit]]

    def ask_breakdown(self, records: list[Record]) -> None:
        query = BreakdownQuery(None, *self.bounds(records), self.failures(), self.chance.choice((1, 3, 10)))
        found = self.answer(lambda store: answers.breakdown(store, query))
        assert found == expected_breakdown(records, query)

    def ask_trends(self, records: list[Record]) -> None:
        start, end = self.bounds(records, is_open=False)
        assert start is not None and end is not None
        ids = tuple(self.chance.sample(IDS, self.chance.randint(1, 4)))
        query = TrendsQuery(ids, start, end, self.chance.choice((1, 2, 24, 31)), self.failures())
        found = self.answer(lambda store: answers.trends(store, query))
        assert found == expected_trends(records, query)

    def ask_counts(self, records: list[Record]) -> None:
        chance = self.chance
        start, end = self.bounds(records, is_open=False)
        assert start is not None and end is not None
        query = CountsQuery(
            start,
            end,
            chance.choice((0, 60_000_000, 977_000_000, 7_200_000_000)),
            self.failures(),
            chance.choice((None, 0.0, 0.25, 0.3, 7.5)),
            chance.choice((None, (), tuple(chance.sample(IDS, 2)))),
        )
        found = self.answer(lambda store: counts(store, query))
        assert {(row[0], row[1]): row[2:] for row in found.iter_rows()} == expected_counts(records, query)
        assert dict(found.schema) == COUNTS_SCHEMA

    def ask_span(self, records: list[Record]) -> None:
        times = [record[0] for record in records]
        found = self.answer(answers.span)
        assert found == ((min(times), max(times)) if times else None)


def _run(seeds: range) -> None:
    asked = 0
    for seed in seeds:
        history = History(seed)
        try:
            for _ in range(45):
                history.happen()
            history.ask()
            history.end()
            finished(history.maker().make_all())
            for _ in range(3):
                history.ask()
        except BaseException as error:
            error.args = (f"seed {seed}: {error}",)
            raise
        finally:
            history.end()
        asked += history.asked
    assert asked > len(seeds)


@pytest.mark.parametrize("part", range(4))
def test_two_hundred_random_sequences(part: int) -> None:
    _run(range(part * 50, part * 50 + 50))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_three_thousand_random_sequences() -> None:
    _run(range(1000, 4000))
