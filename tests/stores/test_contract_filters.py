"""What every store answers about the requests that a filter selects, and of latencies by path and status."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CustomersPage,
    CustomersQuery,
    RecordsQuery,
    RequestFilter,
    StatsQuery,
    Summary,
    TrendsQuery,
)
from tailmetrics.stores import Store
from tailmetrics.windows import parse_every
from tests.stores.brute_force import (
    assert_same,
    assert_same_breakdown,
    assert_same_summary,
    expected_breakdown,
    expected_customers,
    expected_stats,
    expected_trends,
    in_range,
)
from tests.stores.conftest import Ask
from tests.stores.selections import EARLIER, END, FILTERS, FIRST, GLOBS, PATHS, REQUESTS

CUSTOMERS = ("a", "A", 'it\'s "quoted"', "\u00fc")
RANGES = ((None, None), (FIRST + timedelta(minutes=7, seconds=7), END - timedelta(seconds=700)))

each_filter = pytest.mark.parametrize("only", FILTERS.values(), ids=FILTERS)


@each_filter
def test_statistics(selectable: Store, ask: Ask[Any], only: RequestFilter) -> None:
    for customer_id, every, (start, end) in ((None, "10m", RANGES[0]), ("a", "7m", RANGES[1])):
        query = StatsQuery(customer_id, parse_every(every), start, end, only=only, failures="5xx+429")
        assert_same(ask(selectable.stats(query)), expected_stats(REQUESTS, query))


@pytest.mark.parametrize("customer_id", [None, "a"], ids=["all", "one customer"])
def test_statistics_of_one_window(selectable: Store, ask: Ask[Any], customer_id: str | None) -> None:
    for only in (FILTERS["paths"], FILTERS["slow ones"]):
        query = StatsQuery(customer_id, parse_every("none"), only=only)
        assert_same(ask(selectable.stats(query)), expected_stats(REQUESTS, query))


@each_filter
def test_customers(selectable: Store, ask: Ask[Any], only: RequestFilter) -> None:
    query = CustomersQuery(*RANGES[1], only=only, sort="requests", descending=True)
    expected = expected_customers(REQUESTS, query)
    page: CustomersPage = ask(selectable.customers(query))
    assert page.total == len(expected)
    assert sorted(each.customer_id for each in page.customers) == sorted(expected)
    for each in page.customers:
        assert_same_summary(each.summary, expected[each.customer_id].summary)
    ranks = [each.summary.total_requests for each in page.customers]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize("sort", ["p99", "average"])
def test_customers_in_the_order_of_latencies_of_what_is_selected(
    selectable: Store, ask: Ask[Any], sort: Any
) -> None:
    only = FILTERS["paths"]
    query = CustomersQuery(only=only, sort=sort, limit=3)
    expected = expected_customers(REQUESTS, query)
    page: CustomersPage = ask(selectable.customers(query))
    figure = {"p99": "p99_latency", "average": "average_latency"}[sort]
    ranked = sorted(value for each in expected.values() if (value := getattr(each.summary, figure)))
    assert [getattr(each.summary, figure) for each in page.customers] == pytest.approx(ranked[:3])


@each_filter
def test_breakdown(selectable: Store, ask: Ask[Any], only: RequestFilter) -> None:
    for query in (
        BreakdownQuery(None, top=7, latencies=True, only=only),
        BreakdownQuery("a", *RANGES[1], "5xx", only=only),
    ):
        assert_same_breakdown(ask(selectable.breakdown(query)), expected_breakdown(REQUESTS, query))


@pytest.mark.parametrize("customer_id", [None, "a", EARLIER], ids=["all", "one customer", "one request"])
def test_latencies_by_path_and_status(selectable: Store, ask: Ask[Any], customer_id: str | None) -> None:
    for start, end in RANGES:
        query = BreakdownQuery(customer_id, start, end, top=100, latencies=True)
        assert_same_breakdown(ask(selectable.breakdown(query)), expected_breakdown(REQUESTS, query))


@each_filter
def test_trends(selectable: Store, ask: Ask[Any], only: RequestFilter) -> None:
    query = TrendsQuery((*CUSTOMERS, "nobody"), FIRST, END, 7, only=only)
    assert list(ask(selectable.trends(query))) == expected_trends(REQUESTS, query)


@each_filter
def test_records(selectable: Store, ask: Ask[Any], only: RequestFilter) -> None:
    async def read(query: RecordsQuery) -> list[tuple[Any, ...]]:
        return [row[:5] async for frame in selectable.records(query) for row in frame.iter_rows()]

    def place(record: tuple[Any, ...]) -> tuple[datetime, str]:
        return record[0], repr(record)

    for query in (RecordsQuery(only=only), RecordsQuery("a", *RANGES[1], only=only)):
        found = ask(read(query))
        expected = [row for row in in_range(REQUESTS, query) if query.customer_id in (None, row[1])]
        assert [row[0] for row in found] == sorted(row[0] for row in found)
        assert sorted(found, key=place) == sorted(expected, key=place)


@pytest.mark.parametrize(("globs", "matched"), GLOBS.items(), ids=[", ".join(globs) for globs in GLOBS])
def test_a_glob_matches_whole_paths_sign_by_sign(
    selectable: Store, ask: Ask[Any], globs: tuple[str, ...], matched: tuple[str, ...]
) -> None:
    query = BreakdownQuery(None, top=len(PATHS))
    for only, expected in (
        (RequestFilter(paths=globs), set(matched)),
        (RequestFilter(other_paths=globs), set(PATHS) - set(matched)),
    ):
        found: Breakdown = ask(selectable.breakdown(replace(query, only=only)))
        assert {part.path for part in found.paths} == expected
        assert found == expected_breakdown(REQUESTS, replace(query, only=only))


@pytest.mark.parametrize("customer_id", [None, "a"], ids=["all", "one customer"])
def test_a_filter_that_selects_nothing_leaves_the_customer_known(
    selectable: Store, ask: Ask[Any], customer_id: str | None
) -> None:
    only = FILTERS["nothing"]
    answer = ask(selectable.stats(StatsQuery(customer_id, parse_every("1d"), only=only)))
    assert (answer.summary, answer.windows) == (Summary(), ())
    assert ask(selectable.breakdown(BreakdownQuery(customer_id, only=only))) == Breakdown()
