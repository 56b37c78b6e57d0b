"""Blocks are made of what is stale, and nothing that others do meanwhile makes them wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.stats import BreakdownQuery, CustomersQuery
from tailmetrics.stores.loop_thread import LoopThread
from tailmetrics.stores.summaries import answers, maker
from tailmetrics.stores.summaries.block import DAY_US, HOUR_US, MINUTE_US
from tailmetrics.stores.summaries.maker import Lease, Maker, Making, next_work
from tailmetrics.stores.summaries.manifest import BlockRef, Manifest, State, within, without
from tailmetrics.windows import from_us, to_us
from tests.builders import Record, at
from tests.stores.summaries.fake import FakeKeeps, Task, finished, touched, wait
from tests.stores.summaries.states import states

NOON = at("2024-11-03T12:00:30")


def commit(store: FakeKeeps, *records: Record, journal: str = "journal") -> None:
    for record in records:
        store.records[len(store.records)] = record
    store.journal[journal, len(store.journal) + 1] = touched(records)


def request(moment: datetime = NOON, customer_id: str = "a", duration: float | None = 0.25) -> Record:
    return moment, customer_id, "/", 200, duration


def maker_of(store: FakeKeeps, now: datetime = NOON) -> Maker:
    return Maker(store, lambda: now)


def step(store: FakeKeeps, one: Maker) -> bool:
    async def made() -> bool:
        return await one.make(await store.state())

    return finished(made())


def made(store: FakeKeeps, now: datetime = NOON) -> list[tuple[str, datetime]]:
    """The blocks there are when all has been made."""
    finished(maker_of(store, now).make_all())
    return [(ref.level.name, from_us(ref.start_us)) for ref in finished(store.state()).manifest.blocks]


def requests_in(store: FakeKeeps) -> int:
    """As all questions that read blocks answer it."""
    page = finished(answers.customers(store, CustomersQuery()))
    breakdown = finished(answers.breakdown(store, BreakdownQuery(None)))
    number = sum(customer.summary.total_requests for customer in page.customers)
    assert number == sum(path.requests for path in breakdown.paths)
    return number


def all_made() -> FakeKeeps:
    """A store without requests of which a maker has looked at all times."""
    store = FakeKeeps()
    made(store)
    return store


def until(task: Task[object], request: Callable[[], bool]) -> None:
    """Let a task go on until something has happened."""
    while not request():
        assert not task.is_done
        task.step()


class TestLevels:
    def test_days_that_are_over_hours_of_today_and_minutes_of_this_hour(self) -> None:
        store = FakeKeeps()
        ago = (timedelta(days=1), timedelta(hours=2), timedelta(minutes=1), timedelta(0))
        commit(store, *(request(NOON - each) for each in ago))
        assert made(store) == [
            ("day", at("2024-11-02")),
            ("hour", at("2024-11-03T10:00")),
            ("hour", at("2024-11-03T11:00")),
            ("minute", at("2024-11-03T12:00")),
        ]

    def test_minutes_become_hours_and_hours_a_day(self) -> None:
        store = FakeKeeps()
        commit(store, request(), request(NOON - timedelta(hours=3)), request(NOON + timedelta(minutes=5)))
        assert [level for level, _ in made(store, NOON + timedelta(minutes=5))] == [
            "hour",
            "minute",
            "minute",
        ]
        assert [level for level, _ in made(store, NOON + timedelta(hours=1))] == ["hour", "hour"]
        assert made(store, NOON + timedelta(days=1)) == [("day", at("2024-11-03"))]
        assert requests_in(store) == 3

    def test_a_clock_that_is_set_back_makes_no_block_shorter(self) -> None:
        store = FakeKeeps()
        commit(store, request())
        assert made(store, NOON + timedelta(days=1)) == [("day", at("2024-11-03"))]
        commit(store, request(NOON + timedelta(minutes=1)))
        assert made(store, NOON) == [("day", at("2024-11-03"))]
        assert requests_in(store) == 2

    def test_requests_of_the_future_are_in_blocks_to_which_others_can_be_added(self) -> None:
        store = FakeKeeps()
        commit(store, request(NOON + timedelta(days=3)), request(NOON + timedelta(hours=2)))
        assert made(store) == [("hour", at("2024-11-03T14:00")), ("day", at("2024-11-06"))]
        commit(store, request(NOON + timedelta(days=3)), request(NOON + timedelta(hours=2)))
        assert made(store, NOON + timedelta(days=3)) == [("day", at("2024-11-03")), ("day", at("2024-11-06"))]
        assert requests_in(store) == 4

    def test_decades_without_a_request_are_passed_over(self) -> None:
        store = FakeKeeps()
        commit(store, request(at("1971-01-01T10:00")), request(at("2024-11-01")), request(at("2051-01-01")))
        assert [start for _, start in made(store)] == [at("1971-01-01"), at("2024-11-01"), at("2051-01-01")]
        assert finished(store.state()).manifest.number < 2 * maker.FENCE

    def test_times_of_which_there_may_be_no_block_are_read(self) -> None:
        store = FakeKeeps(block_span=(to_us(at("2000-01-01")), to_us(at("2030-01-01"))))
        commit(store, request(at("1999-12-31")), request(), request(at("2030-01-01")))
        assert made(store) == [("minute", at("2024-11-03T12:00"))]
        assert requests_in(store) == 3

    def test_times_of_which_there_may_be_no_block_are_read_only_where_requests_are(self) -> None:
        store = FakeKeeps(block_span=(to_us(at("2000-01-01")), to_us(at("2030-01-01"))))
        commit(store, request(), request(at("2031-05-01")))
        made(store)
        day = to_us(at("2031-05-01"))
        assert finished(store.state()).manifest.stale == ((day, day + DAY_US),)


@given(states(), st.integers(-2 * DAY_US, 3 * DAY_US), st.integers(-100, 100), st.booleans())
def test_all_that_is_stale_is_made_and_no_two_blocks_overlap(
    state: State, now_us: int, hour: int, is_hot: bool
) -> None:
    hot = [(hour * HOUR_US, hour * HOUR_US + MINUTE_US)] if is_hot else []
    block_span = (-3 * DAY_US, 6 * DAY_US)
    most = 2_000
    while (work := next_work(state, block_span, now_us, hot)) is not None:
        blocks = [ref for ref in state.manifest.blocks if ref not in work.replaced]
        for replaced in work.replaced:
            assert work.start_us <= replaced.start_us
            assert replaced.end_us <= work.end_us
            cell = replaced.level.customer_cell_us
            assert all(
                low % cell == 0 or low >= replaced.end_us or low < replaced.start_us for low, _ in work.spans
            )
        assert not without(within(state.stale, work.start_us, work.end_us), work.spans)
        blocks.append(BlockRef(work.level, work.start_us, 1, 1, work.start_us, work.start_us, {}))
        blocks.sort(key=lambda ref: ref.start_us)
        assert all(one.end_us <= other.start_us for one, other in pairwise(blocks))
        stale = without(state.stale, [(work.start_us, work.end_us)])
        state = State(Manifest(state.manifest.number + 1, tuple(blocks), tuple(stale)))
        most -= 1
        assert most, "there is always more to make"
    assert not without(within(state.stale, *block_span), hot)


class TestOthers:
    """What other processes do while a block is made, a question is answered, or a sweep is under way."""

    def test_a_commit_while_a_block_is_made_is_read_by_questions(self) -> None:
        store = FakeKeeps()
        commit(store, request())
        task = Task(maker_of(store).make_all())
        until(task, lambda: bool(store.blocks))
        commit(store, request())
        task.finish()
        assert requests_in(store) == 2

    def test_of_two_makers_one_comes_too_late(self) -> None:
        store = all_made()
        commit(store, request(), request(NOON - timedelta(hours=2)))
        one, other = (Task(maker_of(store).make(finished(store.state()))) for _ in range(2))
        until(one, lambda: bool(store.blocks))
        other.finish()
        newest = max(store.manifests)
        one.finish()
        assert max(store.manifests) == newest
        assert made(store) == [("hour", at("2024-11-03T10:00")), ("minute", at("2024-11-03T12:00"))]
        assert requests_in(store) == 2

    def test_a_block_of_a_maker_that_has_ended_is_swept(self) -> None:
        store = all_made()
        commit(store, request())
        task = Task(maker_of(store).make(finished(store.state())))
        until(task, lambda: bool(store.blocks))
        task.die()
        one = maker_of(store)
        for _ in range(2):
            finished(one.sweep())
        assert not store.blocks
        assert requests_in(store) == 1

    def test_a_block_that_was_swept_while_its_maker_stood_still_is_named_by_no_manifest(self) -> None:
        store = all_made()
        commit(store, request())
        task = Task(maker_of(store).make(finished(store.state())))
        until(task, lambda: bool(store.blocks))
        sweeper = maker_of(store)
        for _ in range(2):
            finished(sweeper.sweep())
        task.finish()
        assert requests_in(store) == 1

    def test_a_block_that_is_named_while_a_sweep_is_under_way_is_not_swept(self) -> None:
        store = all_made()
        commit(store, request())
        task = Task(maker_of(store).make(finished(store.state())))
        until(task, lambda: bool(store.blocks))
        sweeper = maker_of(store)
        finished(sweeper.sweep())
        sweep = Task(sweeper.sweep())
        while not sweep.is_done:
            sweep.step()
            if not task.is_done:
                task.step()
        task.finish()
        assert requests_in(store) == 1

    @pytest.mark.parametrize("sweeps_before", [0, 1])
    def test_a_question_that_has_read_a_manifest_finds_the_journal_that_belongs_to_it(
        self, sweeps_before: int
    ) -> None:
        store = FakeKeeps()
        one = maker_of(store)
        commit(store, request())
        while step(store, one):
            pass
        for _ in range(sweeps_before):
            finished(one.sweep())
        commit(store, request())
        question = Task(answers.customers(store, CustomersQuery()))
        until(question, lambda: question.where == "within")
        while step(store, one):
            pass
        finished(one.sweep())
        page = question.finish()
        assert page is not None
        assert page.customers[0].summary.total_requests == 2

    def test_what_is_included_of_journals_is_deleted_in_the_end(self) -> None:
        store = FakeKeeps()
        one = maker_of(store)
        commit(store, request(), journal="ended")
        while step(store, one):
            pass
        for _ in range(2):
            finished(one.sweep())
        assert not store.journal
        assert finished(store.state()).manifest.included
        finished(one.sweep())
        assert not finished(store.state()).manifest.included

    def test_requests_that_are_deleted_while_a_block_is_made_again(self) -> None:
        store = FakeKeeps()
        late = NOON + timedelta(minutes=1)
        commit(store, request(), request(late))
        made(store)
        commit(store, request(late))
        for key in [key for key, record in store.records.items() if record[0] == NOON]:
            del store.records[key]
        made(store, NOON + timedelta(hours=1))
        store.journal["retention", 1] = touched([request()])
        assert requests_in(store) == 2
        made(store, NOON + timedelta(hours=1))
        assert requests_in(store) == 2
        assert finished(answers.span(store)) == (late, late)

    def test_all_requests_of_a_block_are_deleted(self) -> None:
        store = FakeKeeps()
        commit(store, request(), request(NOON - timedelta(days=3)))
        made(store)
        for key in [key for key, record in store.records.items() if record[0] != NOON]:
            store.journal["retention", key] = touched([store.records.pop(key)])
        assert made(store) == [("minute", at("2024-11-03T12:00"))]
        assert finished(answers.span(store)) == (NOON, NOON)

    @pytest.mark.parametrize(("hours", "left"), [(1, 2), (24, 1)], ids=["part of a block", "blocks"])
    def test_requests_of_a_long_time_are_deleted(self, hours: int, left: int) -> None:
        store = FakeKeeps()
        old, later = NOON - timedelta(days=8000), NOON - timedelta(days=7900)
        commit(store, request(old), request(later), request(later + timedelta(hours=2)), request())
        made(store)
        oldest = later + timedelta(hours=hours)
        for key in [key for key, record in store.records.items() if record[0] < oldest]:
            del store.records[key]
        store.journal["retention", 1] = ((to_us(old), to_us(oldest)),)
        made(store)
        assert requests_in(store) == left
        assert finished(answers.span(store)) == (min(row[0] for row in store.records.values()), NOON)


class TestRest:
    """Where there is nothing to make, nothing is written."""

    @pytest.mark.parametrize("records", [[], [request()], [request(at("1971-01-01"))]])
    def test_no_manifest_follows_when_all_has_been_made(self, records: list[Record]) -> None:
        store = FakeKeeps()
        commit(store, *records)
        one = maker_of(store)
        while step(store, one):
            pass
        number = finished(store.state()).manifest.number
        assert [step(store, one) for _ in range(5)] == [False] * 5
        assert finished(store.state()).manifest.number == number

    def test_many_commits_are_included_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = FakeKeeps(block_span=(0, DAY_US))
        numbers = [0, *_numbers_while_it_runs(store, monkeypatch)]
        assert len(set(numbers[-5:])) == 1
        for _ in range(maker._MOST_SINCE + 1):
            commit(store, request())
        later = _numbers_while_it_runs(store, monkeypatch)
        assert later[-1] == numbers[-1] + 1
        assert not finished(store.state()).later


def _numbers_while_it_runs(store: FakeKeeps, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the manifests that there are each time a maker rests."""

    async def sleep(seconds: float) -> None:
        if threading.get_ident() != here:  # the loop of a store that another test has used
            await really_sleep(seconds)
            return
        numbers.append(max(store.manifests, default=0))
        await wait("before")

    numbers: list[int] = []
    here, really_sleep = threading.get_ident(), asyncio.sleep
    monkeypatch.setattr("asyncio.sleep", sleep)
    store.said = ""
    task = Task(maker_of(store).run())
    while len(numbers) < 12:
        task.step()
    task.die()
    return numbers


class TestLease:
    def test_one_holds_it_until_it_says_nothing_any_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        store = FakeKeeps()
        one, other = Lease(store), Lease(store)
        assert [finished(one.is_held()), finished(one.is_held())] == [False, True]
        for _ in range(10):
            assert not finished(other.is_held())
            now += maker._LEASE_SECONDS / 2
            assert finished(one.is_held())
        assert not finished(other.is_held())
        now += maker._LEASE_SECONDS + 1
        assert [finished(other.is_held()), finished(other.is_held())] == [False, True]
        assert not finished(one.is_held())


class TestMaking:
    """In the loop of a store's queries."""

    def test_it_goes_on_after_all_has_been_made_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(maker, "START_SECONDS", 0.0)
        monkeypatch.setattr(maker, "_LOOK_SECONDS", 0.01)
        loop, store = LoopThread("test", "the store"), Looped()
        making = Making(loop, store)
        try:
            commit(store, request())
            making.finish()
            assert finished(store.state()).manifest.blocks
            store.looked.clear()
            making.begin()
            assert store.looked.wait(10)
        finally:
            loop.end(nothing)


class Looped(FakeKeeps):
    """A store in an event loop, where nothing waits."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Event()

    async def lease(self) -> str:
        self.looked.set()
        return await super().lease()


async def nothing() -> None:
    pass
