"""Silences are kept, looked at, and end."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from tailmetrics.errors import QueryError, SchemaMismatch
from tailmetrics.objectives.alerts import silences
from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.alerts.silences import (
    SILENCES,
    Silence,
    add_silence,
    end_silence,
    silenced_by,
    silences_at,
)
from tailmetrics.objectives.definitions import Maintenance
from tailmetrics.stores.in_memory import InMemoryStore
from tests.builders import at

NOW = at("2026-03-01T12:00")
HOUR = timedelta(hours=1)
ALERT = Alert("key", "latency", "slow api", "shop-1", "page", "firing", 1, NOW, NOW, 2.0, 1.0, "slow")


async def add(store: InMemoryStore, until: datetime, customer: str = "*", rule: str = "*") -> Silence:
    return await add_silence(
        store, customer=customer, rule=rule, until=until, reason="known", created_by="me", now=NOW
    )


def test_silences_are_listed_until_they_end_the_first_to_end_first() -> None:
    store = InMemoryStore()

    async def listed() -> list[list[str]]:
        for hours in (2, 1):
            await add(store, NOW + hours * HOUR)
        return [
            [str(each.until - NOW) for each in await silences_at(store, NOW + hours * HOUR)]
            for hours in (0, 1, 2)
        ]

    assert asyncio.run(listed()) == [["1:00:00", "2:00:00"], ["2:00:00"], []]


def test_silences_that_are_added_at_the_same_time_are_all_kept() -> None:
    async def pause(_: object) -> None:
        await asyncio.sleep(0)

    store = InMemoryStore(before_read=pause)

    async def many() -> int:
        await asyncio.gather(*(add(store, NOW + HOUR) for _ in range(5)))
        return len(await silences_at(store, NOW))

    assert asyncio.run(many()) == 5


def test_a_silence_is_ended_once() -> None:
    store = InMemoryStore()

    async def ended() -> tuple[Silence, Silence | None, Silence | None]:
        silence = await add(store, NOW + HOUR)
        return silence, await end_silence(store, silence.id, NOW), await end_silence(store, silence.id, NOW)

    begun, first, second = asyncio.run(ended())
    assert (first, second) == (begun, None)


def test_a_silence_that_is_over_or_one_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemoryStore()
    with pytest.raises(QueryError, match="a time that is still to come"):
        asyncio.run(add(store, NOW))
    monkeypatch.setattr(silences, "MOST_SILENCES", 1)
    asyncio.run(add(store, NOW + HOUR))
    with pytest.raises(QueryError, match="end some of them first"):
        asyncio.run(add(store, NOW + HOUR))


def test_what_another_version_kept_is_left_alone() -> None:
    store = InMemoryStore()
    assert asyncio.run(store.keep_note(SILENCES, '{"version": 2}', 0))
    with pytest.raises(SchemaMismatch):
        asyncio.run(add(store, NOW + HOUR))


@pytest.mark.parametrize(
    ("customer", "rule", "silent"),
    [
        ("shop-*", "*", True),
        ("shop-1", "slow*", True),
        ("shop", "*", False),
        ("*", "slow", False),
        ("shop-.", "*", False),
    ],
)
def test_a_silence_is_about_what_both_globs_match(customer: str, rule: str, silent: bool) -> None:
    silence = asyncio.run(add(InMemoryStore(), NOW + HOUR, customer, rule))
    found = silenced_by(ALERT, [silence], (), NOW)
    assert found == (silence.id if silent else None)
    assert silenced_by(ALERT, [silence], (), NOW + HOUR) is None


def test_a_maintenance_silences_what_it_is_about_while_it_lasts() -> None:
    window = Maintenance(begin=NOW, end=NOW + HOUR, customers=("shop-*",), objectives=("slow*",))
    other = Maintenance(begin=NOW, end=NOW + 3 * HOUR, customers=("b",), reason="move")
    found = [
        silenced_by(ALERT, (), (other, window), NOW + minutes * HOUR / 60) for minutes in (-1, 0, 59, 60)
    ]
    assert found == [None, "maintenance", "maintenance", None]
