"""The ledger's sums equal counts over all records, whatever is written when."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.objectives.alerts.ledger import SECOND_US, UNKNOWN_SECONDS, Indicator, Ledger
from tailmetrics.objectives.definitions import Maintenance
from tailmetrics.stats import CountsQuery, RequestFilter
from tailmetrics.stores.base import Changes
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.windows import from_us, to_us
from tests.builders import Record, at
from tests.objectives.alerts.requests_in_memory import HOUR, MINUTE, Requests, minute_of

START = at("2026-03-01T12:00")
ALL = Indicator()
SHORT, LONG = 300, 3_600


def ledger_of(requests: Requests, *indicators: Indicator, **options: Any) -> Ledger:
    windows = frozenset({SHORT * SECOND_US, LONG * SECOND_US})
    return Ledger(requests.store, dict.fromkeys(indicators or (ALL,), windows), 60 * SECOND_US, **options)


def update(ledger: Ledger, now: datetime) -> None:
    asyncio.run(ledger.update(to_us(now)))


def sums(ledger: Ledger, seconds: int, indicator: Indicator = ALL) -> dict[str, tuple[int, int]]:
    """Requests and bad ones of the customers that have any."""
    requests, bad = ledger.sums(indicator, seconds * SECOND_US)
    found = zip(ledger.customers, requests.tolist(), bad.tolist(), strict=True)
    return {customer: (number, failed) for customer, number, failed in found if number or failed}


def brute_force(requests: Requests, end: datetime, seconds: int) -> dict[str, tuple[int, int]]:
    customers = {each[1] for each in requests.records}
    counted = {each: requests.counted(each, end, timedelta(seconds=seconds)) for each in customers}
    return {customer: counts for customer, counts in counted.items() if counts != (0, 0)}


@pytest.mark.parametrize("seed", range(3))
def test_sums_equal_brute_force_at_each_moment_with_late_and_future_requests(seed: int) -> None:
    draw = random.Random(seed)
    requests = Requests()
    ledger = ledger_of(requests)
    now = START
    for _ in range(60):
        now += timedelta(seconds=draw.choice([1, 20, 60, 61, 400, 5_000]))
        requests.write([_request(draw, now) for _ in range(draw.randrange(8))])
        update(ledger, now)
        end = from_us(ledger.at_us)
        assert now - MINUTE < end <= now
        for seconds in (SHORT, LONG):
            assert sums(ledger, seconds) == brute_force(requests, end, seconds)


def _request(draw: random.Random, now: datetime) -> Record:
    moment = now + timedelta(seconds=draw.choice([-4_000, -600, -90, -5, -1, 0, 30, 600]))
    return moment, draw.choice("abc"), "/", draw.choice([200, 200, 500, 0]), 0.1


def test_only_what_was_touched_is_read_again() -> None:
    requests = Requests()
    asked: list[tuple[datetime, datetime]] = []

    async def note(query: object) -> None:
        if isinstance(query, CountsQuery):
            asked.append((query.start, query.end))

    requests.store.before_read = note
    requests.write(minute_of(START - HOUR / 2, "a", 1, 0))
    ledger = ledger_of(requests)
    update(ledger, START)
    assert asked == [(START - HOUR, START)]
    asked.clear()
    requests.write([(START - 40 * MINUTE, "a", "/", 200, 0.1)])
    update(ledger, START + MINUTE)
    assert asked == [(START - 40 * MINUTE, START - 39 * MINUTE), (START, START + MINUTE)]


class Forgetful(InMemoryStore):
    """A store that does not know what was written to it."""

    async def changes(self, mark: str | None) -> Changes:
        return Changes((await super().changes(mark)).mark, None)


def test_where_nobody_knows_what_changed_the_latest_is_read_each_time_and_all_now_and_then() -> None:
    clock = [0.0]
    requests = Requests(Forgetful())
    ledger = ledger_of(requests, clock=lambda: clock[0])
    update(ledger, START)
    requests.write([(START - 5 * MINUTE, "a", "/", 200, 0.1), (START - 50 * MINUTE, "a", "/", 200, 0.1)])
    update(ledger, START)
    assert sums(ledger, LONG) == {"a": (1, 0)}
    clock[0] = UNKNOWN_SECONDS
    update(ledger, START)
    assert sums(ledger, LONG) == {"a": (2, 0)}


def test_what_failed_to_be_read_is_read_the_next_time() -> None:
    requests = Requests()
    ledger = ledger_of(requests)
    update(ledger, START)
    requests.write([(START - MINUTE, "a", "/", 500, 0.1)])

    async def fail(query: object) -> None:
        if isinstance(query, CountsQuery):
            raise StoreUnavailable("away")

    requests.store.before_read = fail
    with pytest.raises(StoreUnavailable):
        update(ledger, START + MINUTE)
    requests.store.before_read = None
    update(ledger, START + MINUTE)
    assert sums(ledger, SHORT) == {"a": (1, 1)}


def test_a_clock_that_is_set_back_or_far_ahead_begins_anew() -> None:
    requests = Requests()
    requests.write(minute_of(START - 5 * MINUTE, "a", 2, 1))
    ledger = ledger_of(requests)
    for now in (START, START + timedelta(days=300), START - 3 * MINUTE, START):
        update(ledger, now)
        assert sums(ledger, SHORT) == brute_force(requests, now, SHORT)


def test_indicators_count_what_they_are_about() -> None:
    requests = Requests()
    slow, health = Indicator(limit_seconds=0.5), Indicator(only=RequestFilter(other_paths=("/health*",)))
    now = START - MINUTE
    requests.commit(
        [
            (now, "a", "/", 200, 0.5),
            (now, "a", "/", 429, 0.4),
            (now, "a", "/health/live", 500, None),
        ]
    )
    lenient = Indicator("5xx+429")
    ledger = ledger_of(requests, ALL, slow, health, lenient)
    update(ledger, START)
    found = [sums(ledger, SHORT, each) for each in (ALL, slow, health, lenient)]
    assert found == [{"a": (3, 2)}, {"a": (2, 1)}, {"a": (2, 1)}, {"a": (3, 2)}]


def test_what_lies_in_an_excluded_maintenance_does_not_count_to_the_microsecond() -> None:
    begin, end = START - 10 * MINUTE + timedelta(seconds=7), START - 5 * MINUTE + timedelta(seconds=13)
    other = Maintenance(begin=begin, end=end + MINUTE, customers=("b*",), excluded=True)
    window = Maintenance(begin=begin, end=end, customers=("a",), excluded=True)
    microsecond = timedelta(microseconds=1)
    requests = Requests()
    times = (begin - microsecond, begin, START - 7 * MINUTE, end - microsecond, end, end + MINUTE)
    requests.commit([(each, customer, "/", 500, 0.1) for each in times for customer in ("a", "bb", "c")])
    indicator = Indicator(excluded=(window, other, window))
    ledger = ledger_of(requests, indicator)
    update(ledger, START)
    assert sums(ledger, LONG, indicator) == {"a": (3, 3), "bb": (2, 2), "c": (6, 6)}
    update(ledger, START + 55 * MINUTE)
    assert sums(ledger, LONG, indicator) == {"a": (2, 2), "bb": (1, 1), "c": (3, 3)}


def test_the_last_request_is_known_to_the_bucket() -> None:
    requests = Requests()
    requests.write([(START - 1.5 * MINUTE, "a", "/", 200, 0.1)])
    ledger = ledger_of(requests)
    update(ledger, START)
    assert [from_us(int(us)) for us in ledger.last_seen_us(ALL)] == [START - MINUTE]


def test_places_of_customers_that_are_gone_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailmetrics.objectives.alerts.ledger._SPARE_CUSTOMERS", 1)
    requests = Requests()
    requests.commit([(START - MINUTE, f"gone {number}", "/", 200, 0.1) for number in range(5)])
    ledger = ledger_of(requests)
    update(ledger, START)
    now = START + HOUR / 2
    requests.write([(now - MINUTE, "a", "/", 200, 0.1)])
    update(ledger, now)
    assert len(ledger.customers) == 6
    for moment in (now + HOUR / 2, now + HOUR / 2 + MINUTE):
        requests.write([(moment - MINUTE, "a", "/", 200, 0.1)])
        update(ledger, moment)
    assert ledger.customers == ["a"]
    assert sums(ledger, LONG) == brute_force(requests, from_us(ledger.at_us), LONG)


def test_without_anything_to_count_nothing_is_asked() -> None:
    store = InMemoryStore()
    store.close()
    ledger = Ledger(store, {}, 60 * SECOND_US)
    update(ledger, START + MINUTE / 2)
    assert from_us(ledger.at_us) == START
