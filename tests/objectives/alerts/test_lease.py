"""One holder at a time, by clocks that agree in nothing but their pace."""

from __future__ import annotations

import asyncio

from tailmetrics.objectives.alerts.lease import BEAT_SECONDS, LEASE_SECONDS, Lease
from tailmetrics.stores.in_memory import InMemoryStore


class Process:
    def __init__(self, store: InMemoryStore, clock: float = 0.0) -> None:
        self.clock = clock
        self.lease = Lease(store, lambda: self.clock)

    def holds(self) -> bool:
        return asyncio.run(self.lease.is_held())


def test_the_first_one_holds_it_and_keeps_it_while_it_goes_on() -> None:
    store = InMemoryStore()
    first, second = Process(store), Process(store, clock=-5_000.0)
    for _ in range(20):
        assert (first.holds(), second.holds()) == (True, False)
        first.clock += BEAT_SECONDS
        second.clock += BEAT_SECONDS


def test_another_one_takes_over_within_thirty_seconds_of_the_last_beat() -> None:
    store = InMemoryStore()
    first, second = Process(store), Process(store, clock=-5_000.0)
    assert (first.holds(), second.holds()) == (True, False)
    seconds = 0.0
    while not second.holds():
        second.clock += BEAT_SECONDS / 2
        seconds += BEAT_SECONDS / 2
    assert LEASE_SECONDS < seconds < 30
    assert not first.holds()


def test_one_that_ends_cleanly_leaves_it_at_once() -> None:
    store = InMemoryStore()
    first, second = Process(store), Process(store)
    assert (first.holds(), second.holds()) == (True, False)
    asyncio.run(first.lease.release())
    assert second.holds()
    asyncio.run(first.lease.release())
    assert second.holds()


def test_of_two_that_take_it_at_the_same_time_one_has_it() -> None:
    store = InMemoryStore()
    first, second = Process(store), Process(store)

    async def both() -> list[bool]:
        return list(await asyncio.gather(first.lease.is_held(), second.lease.is_held()))

    assert sorted([asyncio.run(both()), [first.holds(), second.holds()]][1]) == [False, True]


def test_nothing_is_written_between_two_beats() -> None:
    store = InMemoryStore()
    process = Process(store)
    versions = []
    for _ in range(4):
        assert process.holds()
        versions.append(asyncio.run(store.note("alerts-lease")).version)
        process.clock += BEAT_SECONDS / 2
    assert versions == [1, 1, 2, 2]
