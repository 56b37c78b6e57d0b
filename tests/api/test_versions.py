"""Versions of a store that others write to: asked for when somebody wants to know, once for all who do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tailmetrics.api import versions
from tailmetrics.api.versions import Versions
from tailmetrics.errors import StoreUnavailable
from tailmetrics.stats import StoreStatus
from tailmetrics.stores.in_memory import InMemoryStore


class Shared(InMemoryStore):
    """A store that others write to; `says` is what it answers, an error when it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.says: str | Exception = "1"
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    def version_of(self, customer_id: str | None) -> int | None:
        return None

    async def status(self) -> StoreStatus:
        self.asked += 1
        said = self.says
        await self.answers.wait()
        if isinstance(said, Exception):
            raise said
        return StoreStatus(said, 0, 0, 0)


@pytest.fixture
def store() -> Shared:
    return Shared()


def test_a_store_that_tells_its_versions_is_not_asked() -> None:
    store = InMemoryStore()
    known = Versions(store, 60)
    assert not known.may_be_asked
    assert known.of("a") == store.version_of("a")


def test_nothing_is_known_and_nothing_asked_before_somebody_looks(store: Shared) -> None:
    known = Versions(store, 60)
    assert known.may_be_asked
    assert (known.of(None), store.asked) == (None, 0)


def test_a_version_counts_for_its_time(store: Shared) -> None:
    known = Versions(store, 60)
    asyncio.run(known.look())
    store.says = "2"
    asyncio.run(known.look())
    assert (known.of("a"), known.of(None), store.asked) == ("1", "1", 1)


def test_a_version_whose_time_is_over_is_asked_for_again(store: Shared) -> None:
    known = Versions(store, 1e-9)
    asyncio.run(known.look())
    store.says = "2"
    asyncio.run(known.look())
    assert (known.of(None), store.asked) == ("2", 2)


def test_what_a_page_was_told_counts_for_questions(store: Shared) -> None:
    known = Versions(store, 60)
    assert asyncio.run(known.status()).version == "1"
    asyncio.run(known.look())
    assert (known.of(None), store.asked) == ("1", 1)


def test_the_slower_of_two_answers_does_not_bring_an_older_version_back(store: Shared) -> None:
    known = Versions(store, 60)

    async def first_asked_last_answered() -> None:
        first = store.answers = asyncio.Event()
        slow = asyncio.create_task(known.status())
        await asyncio.sleep(0)
        store.answers, store.says = asyncio.Event(), "2"
        store.answers.set()
        await known.status()
        first.set()
        assert (await slow).version == "1"

    asyncio.run(first_asked_last_answered())
    assert known.of(None) == "2"


def test_those_who_look_at_once_share_one_answer(store: Shared) -> None:
    known = Versions(store, 60)

    async def look_at_once() -> None:
        await asyncio.gather(*(known.look() for _ in range(20)))

    asyncio.run(look_at_once())
    assert (known.of(None), store.asked) == ("1", 1)


def _away(store: Shared) -> None:
    store.says = StoreUnavailable("away")


def _hangs(store: Shared) -> None:
    store.answers.clear()


@pytest.mark.parametrize("fails", [_away, _hangs])
def test_of_a_store_that_does_not_answer_no_version_is_known(
    store: Shared, fails: Callable[[Shared], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_LONGEST_LOOK_SECONDS", 0.01)
    known = Versions(store, 1e-9)
    asyncio.run(known.look())
    fails(store)
    asyncio.run(known.look())
    assert known.of(None) is None


def test_without_seconds_no_version_counts_though_one_was_heard(store: Shared) -> None:
    known = Versions(store, 0)
    asyncio.run(known.status())
    assert known.of(None) is None
