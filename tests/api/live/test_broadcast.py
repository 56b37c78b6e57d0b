from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest

from tailmetrics.api.live import broadcast
from tailmetrics.api.live.broadcast import LiveViews, Update, rest_between_looks, rested_at
from tailmetrics.errors import QueryError, StoreError, StoreUnavailable, UnknownCustomer

Answer = TypeVar("Answer")


def run(steps: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(asyncio.wait_for(steps, 20))


class FakeStore:
    """A version that a test sets, and a count of how often each view was computed."""

    def __init__(self) -> None:
        self.current = 0
        self.computed: dict[str, int] = {}
        self.error: Exception | None = None

    async def version(self) -> str:
        return str(self.current)

    async def compute(self, key: str) -> bytes:
        self.computed[key] = self.computed.get(key, 0) + 1
        if self.error is not None:
            raise self.error
        return json.dumps([key, self.current]).encode()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(broadcast, "SHORTEST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def _no_hurry(_hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "LOOK_SECONDS", 0.1)


@pytest.fixture
def fake() -> FakeStore:
    return FakeStore()


def views_of(fake: FakeStore) -> LiveViews[str]:
    return LiveViews(fake.compute, fake.version)


async def until(stream: AsyncIterator[Update], reached: Callable[[Update], bool]) -> Update:
    async for update in stream:
        if reached(update):
            return update
    raise AssertionError("the stream ended")


def shows(number: int) -> Callable[[Update], bool]:
    return lambda update: json.loads(update.data)[1] == number


def test_a_stream_begins_with_the_view_as_it_is(fake: FakeStore) -> None:
    async def steps() -> Update:
        return await anext(views_of(fake).follow("a"))

    assert run(steps()) == Update(1, "view", '["a", 0]')


def test_a_commit_brings_a_new_state(fake: FakeStore) -> None:
    async def steps() -> None:
        stream = views_of(fake).follow("a")
        await anext(stream)
        fake.current = 1
        await until(stream, shows(1))

    run(steps())


def test_a_view_is_computed_once_for_all_who_follow_it(fake: FakeStore) -> None:
    async def steps() -> None:
        views = views_of(fake)
        streams = [views.follow("a") for _ in range(50)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        assert fake.computed == {"a": 1}

    run(steps())


def test_nothing_is_computed_while_nothing_is_committed(fake: FakeStore) -> None:
    async def steps() -> None:
        views = views_of(fake)
        stream, other = views.follow("a"), views.follow("other")
        await anext(stream)
        await anext(other)
        fake.current = 1
        await until(other, shows(1))
        await until(stream, shows(1))
        before = dict(fake.computed)
        for _ in range(20):  # looks at the version
            await asyncio.sleep(broadcast.LOOK_SECONDS)
        assert fake.computed == before

    run(steps())


def looks_at_a_quiet_store(took: float, seconds: float) -> list[float]:
    """When a version is looked at that does not change, each look taking so long."""
    clock, looks = 0.0, []
    while clock < seconds:
        looks.append(clock)
        clock += took
        clock += rest_between_looks(clock, took)
    return looks


@pytest.mark.parametrize("took", [0.015, 0.05, 0.15])
@pytest.mark.usefixtures("_no_hurry")
def test_a_quiet_server_is_looked_at_seldom_and_within_a_second(took: float) -> None:
    looks = looks_at_a_quiet_store(took, 60)
    assert len(looks) < 60 / 0.75 + 10
    assert max(after - before for before, after in itertools.pairwise(looks)) < 1


@pytest.mark.usefixtures("_no_hurry")
def test_looks_that_cost_nothing_keep_their_pace() -> None:
    assert len(looks_at_a_quiet_store(0.0005, 60)) > 590


@pytest.mark.usefixtures("_no_hurry")
def test_while_commits_come_the_next_one_is_seen_at_once() -> None:
    assert rest_between_looks(0.5, 0.015) == 0.1


@pytest.mark.usefixtures("_no_hurry")
def test_a_store_that_is_slow_to_answer_has_time_for_others() -> None:
    assert rest_between_looks(0.0, 2.0) == 6.0


@pytest.mark.parametrize(("number", "share"), [(1, 1 / 4), (2, 1 / 5), (5, 1 / 11)])
def test_a_view_that_is_asked_for_all_the_time_rests_longer_than_it_takes(number: int, share: float) -> None:
    rested = 100.0
    for _ in range(10):
        rested = rested_at(rested, 100.0, 0.5, number)
    assert rested - 100 == pytest.approx(10 * 0.5 / share)


def test_a_view_that_was_quiet_has_rested() -> None:
    assert rested_at(100.0, 200.0, 0.2, 1) == pytest.approx(200.8)


def test_the_time_without_a_commit_counts_from_the_last_one(
    fake: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet: list[tuple[int, float]] = []

    def noted(seconds: float, took: float) -> float:
        quiet.append((fake.current, seconds))
        return took

    monkeypatch.setattr(broadcast, "rest_between_looks", noted)

    async def steps() -> None:
        stream = views_of(fake).follow("a")
        await anext(stream)
        while len(quiet) < 4:
            await asyncio.sleep(0)
        fake.current = 1
        await until(stream, shows(1))

    run(steps())
    before = [seconds for version, seconds in quiet if version == 0]
    assert before == sorted(before)
    assert before[0] == 0.0 < before[-1]
    assert next(seconds for version, seconds in quiet if version == 1) == 0.0


def test_ranges_move_with_the_clock_without_commits(fake: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "REFRESH_SECONDS", 0.01)

    async def steps() -> None:
        await until(views_of(fake).follow("a"), lambda update: update.number == 3)

    run(steps())


def test_one_who_reads_slowly_gets_the_newest_state_next(fake: FakeStore) -> None:
    async def steps() -> Update:
        views = views_of(fake)
        slow, quick = views.follow("a"), views.follow("a")
        await anext(slow)
        for number in range(1, 5):
            fake.current = number
            await until(quick, shows(number))
        return await anext(slow)

    assert json.loads(run(steps()).data) == ["a", 4]


def test_nothing_goes_on_when_nobody_follows(fake: FakeStore) -> None:
    async def steps() -> None:
        before = asyncio.all_tasks()
        stream = views_of(fake).follow("a")
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run(steps())


def test_streams_end_when_they_are_told_to(fake: FakeStore) -> None:
    async def steps() -> list[Update]:
        views = views_of(fake)
        stream = views.follow("a")
        await anext(stream)
        views.end()
        return [update async for update in stream]

    assert run(steps()) == []


def test_a_stream_that_begins_after_the_end_is_over(fake: FakeStore) -> None:
    async def steps() -> list[Update]:
        views = views_of(fake)
        views.end()
        return [update async for update in views.follow("a")]

    assert run(steps()) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownCustomer("a"), 404),
        (QueryError("every", "1s", "less"), 422),
        (StoreUnavailable("away"), 503),
        (StoreError("broken"), 500),
        (RuntimeError("secret"), 500),
    ],
)
def test_what_is_wrong_is_told_and_the_stream_goes_on(fake: FakeStore, error: Exception, status: int) -> None:
    async def steps() -> dict[str, Any]:
        stream = views_of(fake).follow("a")
        fake.error = error
        problem = await anext(stream)
        assert problem.event == "problem"
        fake.error, fake.current = None, 1
        await until(stream, lambda update: update.event == "view")
        return json.loads(problem.data)

    problem = run(steps())
    assert problem["status"] == status
    assert "secret" not in problem["detail"]


def test_a_store_that_was_away_is_a_change(fake: FakeStore) -> None:
    away = asyncio.Event()
    version: Callable[[], Awaitable[str]] = fake.version

    async def sometimes() -> str:
        if away.is_set():
            raise StoreUnavailable("away")
        return await version()

    async def steps() -> None:
        stream = LiveViews(fake.compute, sometimes).follow("a")
        await anext(stream)
        away.set()
        await until(stream, lambda update: update.number >= 2)
        seen = fake.computed["a"]
        away.clear()
        await until(stream, lambda update: update.number > seen)

    run(steps())
