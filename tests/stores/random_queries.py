"""Random records, and random queries about them that a store must answer as brute force does."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

from tailmetrics.stats import (
    ALL_REQUESTS,
    BreakdownQuery,
    CountsQuery,
    CustomerSort,
    CustomersQuery,
    CustomerStats,
    Failures,
    RequestFilter,
    StatsQuery,
    TrendsQuery,
)
from tailmetrics.stores import Store
from tailmetrics.windows import parse_every
from tests.builders import Record, at
from tests.stores.brute_force import (
    assert_same,
    assert_same_breakdown,
    assert_same_summary,
    expected_breakdown,
    expected_counts,
    expected_customers,
    expected_stats,
    expected_trends,
)
from tests.stores.conftest import Ask

FIRST = at("2024-10-31")
SPAN = timedelta(days=8)  # in which the clocks of New York change
CUSTOMERS = 40

# Their offsets from UTC are whole hours, half and quarter ones; of some the clocks change.
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")
EVERY = ("none", "7d", "2d", "1d", "12h", "7h", "6h", "1h", "90m", "30m", "5000s")
# Edges of ranges: those of summaries, of zones' days, and any.
STEPS = tuple(
    timedelta(**step)
    for step in ({"days": 1}, {"hours": 1}, {"minutes": 15}, {"seconds": 1}, {"microseconds": 1})
)
FIGURES = {
    "requests": "total_requests",
    "failures": "failed_requests",
    "uptime": "uptime",
    "average": "average_latency",
    "median": "median_latency",
    "p99": "p99_latency",
}


def random_records(number: int, seed: int, *, late: float = 0.1) -> list[Record]:
    """Requests in the order of their lines: some at equal times, and a part of them late by up to days."""
    chance = random.Random(seed)
    records: list[Record] = []
    for place in range(number):
        since = SPAN * (place / number)
        moment = FIRST + (since if chance.random() >= late else since * chance.random())
        customer = min(int(chance.expovariate(0.15)), CUSTOMERS)
        records.append(
            (
                moment.replace(microsecond=0),
                f"cust_{customer}",
                f"/api/v1/resource{chance.randint(1, 5)}",
                chance.choice((0, 200, 200, 200, 201, 304, 404, 429, 500, 503)),
                None if chance.random() < 0.02 else round(chance.expovariate(3), 3),
            )
        )
    return records


class RandomQueries:
    """Asks a store that holds `records`, which must not be empty. The same seed asks the same."""

    def __init__(self, store: Store, ask: Ask[Any], records: Sequence[Record], seed: int) -> None:
        self._store = store
        self._ask = ask
        self._records = records
        self._chance = random.Random(seed)
        self._ids = sorted({record[1] for record in records})
        times = [record[0] for record in records]
        self._first, self._last = min(times), max(times)

    def check(self, number: int) -> None:
        """Ask so many. Raises AssertionError with the query whose answer is not that of brute force."""
        kinds: list[tuple[int, Callable[[], Any], Callable[[Any], None]]] = [
            (8, self._stats, self._check_stats),
            (4, self._customers, self._check_customers),
            (4, self._breakdown, self._check_breakdown),
            (3, self._trends, self._check_trends),
            (3, self._counts, self._check_counts),
            (1, lambda: "span", self._check_span),
        ]
        chosen = self._chance.choices(kinds, [weight for weight, *_ in kinds], k=number)
        for place, (_, make, check) in enumerate(chosen):
            query = make()
            try:
                check(query)
            except AssertionError as error:
                raise AssertionError(f"query {place} of {number}: {query}") from error

    def _time(self) -> datetime:
        """A time between the records, or a little beside them, on an edge of something."""
        span = self._last - self._first
        moment = self._first + span * self._chance.uniform(-0.1, 1.1)
        step = self._chance.choice(STEPS)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + (moment - midnight) // step * step

    def _range(self) -> tuple[datetime, datetime]:
        while True:
            start, end = sorted((self._time(), self._time()))
            if start < end:
                return start, end

    def _open_range(self) -> tuple[datetime | None, datetime | None]:
        start, end = self._range()
        return self._chance.choice([(None, None), (start, None), (None, end), (start, end), (start, end)])

    def _failures(self) -> Failures:
        return self._chance.choice(get_args(Failures))

    def _customer(self) -> str | None:
        return self._chance.choice([None, self._chance.choice(self._ids)])

    def _only(self) -> RequestFilter:
        """All requests, as most queries ask for; or those of some paths, statuses or durations."""
        return self._chance.choice(
            [
                *[ALL_REQUESTS] * 6,
                RequestFilter(paths=("*1", "/api/v1/resource2")),
                RequestFilter(other_paths=("*4",), statuses=((0, 0), (400, 599))),
                RequestFilter(statuses=((200, 299),), min_duration=0.3),
                RequestFilter(max_duration=0.1),
            ]
        )

    def _stats(self) -> StatsQuery:
        return StatsQuery(
            self._customer(),
            parse_every(self._chance.choice(EVERY)),
            *self._open_range(),
            zone=ZoneInfo(self._chance.choice(ZONES)),
            failures=self._failures(),
            uptime_method=self._chance.choice(["requests", "good_windows"]),
            objective=self._chance.choice([60.0, 80.0, 99.0]),
            fill=self._chance.random() < 0.3,
            only=self._only(),
        )

    def _check_stats(self, query: StatsQuery) -> None:
        assert_same(self._ask(self._store.stats(query)), expected_stats(self._records, query))

    def _customers(self) -> CustomersQuery:
        return CustomersQuery(
            *self._open_range(),
            failures=self._failures(),
            search=self._chance.choice(["", "", "1", "CUST"]),
            min_requests=self._chance.choice([1, 1, 5, 500]),
            sort=self._chance.choice(get_args(CustomerSort)),
            descending=self._chance.random() < 0.5,
            limit=self._chance.choice([3, 7, 1000]),
            only=self._only(),
        )

    def _check_customers(self, query: CustomersQuery) -> None:
        expected = expected_customers(self._records, query)
        found: list[CustomerStats] = []
        cursor: str | None = None
        while len(found) <= len(expected):
            page = self._ask(self._store.customers(replace(query, after=cursor)))
            assert page.total == len(expected)
            found += page.customers
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(each.customer_id for each in found) == sorted(expected)
        for each in found:
            assert_same_summary(each.summary, expected[each.customer_id].summary)
        _check_order(found, list(expected.values()), query)

    def _breakdown(self) -> BreakdownQuery:
        return BreakdownQuery(
            self._customer(),
            *self._open_range(),
            self._failures(),
            self._chance.choice([1, 3, 10]),
            latencies=self._chance.random() < 0.3,
            only=self._only(),
        )

    def _check_breakdown(self, query: BreakdownQuery) -> None:
        found = self._ask(self._store.breakdown(query))
        assert_same_breakdown(found, expected_breakdown(self._records, query))

    def _trends(self) -> TrendsQuery:
        ids = self._chance.sample(self._ids, self._chance.randint(1, len(self._ids)))
        parts = self._chance.choice([1, 7, 24, 30])
        return TrendsQuery(tuple(ids), *self._range(), parts, self._failures(), only=self._only())

    def _check_trends(self, query: TrendsQuery) -> None:
        assert list(self._ask(self._store.trends(query))) == expected_trends(self._records, query)

    def _counts(self) -> CountsQuery:
        ids = self._chance.sample(self._ids, self._chance.randint(1, len(self._ids)))
        return CountsQuery(
            *self._range(),
            self._chance.choice([0, 60_000_000, 3_600_000_000, 5_000_000_000]),
            self._failures(),
            self._chance.choice([None, None, 0.25]),
            self._chance.choice([None, tuple(ids)]),
            self._only(),
        )

    def _check_counts(self, query: CountsQuery) -> None:
        rows = self._ask(self._store.counts(query)).rows()
        found = {(customer_id, part): (number, bad) for customer_id, part, number, bad in rows}
        assert (len(found), found) == (len(rows), expected_counts(self._records, query))

    def _check_span(self, _: Any) -> None:
        assert self._ask(self._store.span()) == (self._first, self._last)


def _check_order(
    found: Sequence[CustomerStats], expected: Sequence[CustomerStats], query: CustomersQuery
) -> None:
    """Equal figures may come in any order here, as sums of floats differ in their last digits."""
    if query.sort == "customer_id":
        ids = [each.customer_id for each in found]
        assert ids == sorted(ids, key=str.encode, reverse=query.descending)
        return
    figures, wanted = (
        [getattr(each.summary, FIGURES[query.sort]) for each in customers] for customers in (found, expected)
    )
    known = sorted((figure for figure in wanted if figure is not None), reverse=query.descending)
    assert figures[len(known) :] == [None] * (len(wanted) - len(known))
    for figure, in_place in zip(figures, known, strict=False):
        assert math.isclose(figure, in_place, rel_tol=1e-9, abs_tol=1e-12), (figure, in_place)
