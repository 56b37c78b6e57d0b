"""What every store counts in parts of a range, and how it gives requests themselves in an order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import polars as pl
import pytest

from tailmetrics.errors import UnknownCustomer
from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import CountsQuery, Failures, RecordOrder, RequestFilter, RequestsQuery
from tailmetrics.stores import Store
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.record_pages import place_of_last
from tests.stores.brute_force import expected_counts, expected_requests, place_in_order
from tests.stores.conftest import Ask
from tests.stores.selections import EARLIER, END, FILTERS, FIRST, REQUESTS, ROWS, Row

MINUTE_US = 60_000_000
HOUR = CountsQuery(FIRST, END)

each_filter = pytest.mark.parametrize("only", FILTERS.values(), ids=FILTERS)
each_order = pytest.mark.parametrize("order", get_args(RecordOrder))


def counted(store: Store, ask: Ask[Any], query: CountsQuery) -> dict[tuple[str, int], tuple[int, int]]:
    frame: pl.DataFrame = ask(store.counts(query))
    assert dict(frame.schema) == COUNTS_SCHEMA
    counts = {(customer_id, part): (requests, bad) for customer_id, part, requests, bad in frame.iter_rows()}
    assert len(counts) == frame.height
    return counts


def check(store: Store, ask: Ask[Any], query: CountsQuery) -> None:
    assert counted(store, ask, query) == expected_counts(REQUESTS, query)


class TestCounts:
    @pytest.mark.parametrize("part_us", [0, MINUTE_US, 7 * MINUTE_US, 1_000_001, 2 * 86_400_000_000])
    def test_parts_are_cut_from_the_start_on(self, selectable: Store, ask: Ask[Any], part_us: int) -> None:
        check(selectable, ask, replace(HOUR, part_us=part_us))
        odd = FIRST + timedelta(seconds=77, microseconds=1)
        check(selectable, ask, replace(HOUR, start=odd, end=odd + timedelta(minutes=29), part_us=part_us))

    @pytest.mark.parametrize("failures", get_args(Failures))
    def test_bad_are_those_that_failed(self, selectable: Store, ask: Ask[Any], failures: Failures) -> None:
        check(selectable, ask, replace(HOUR, failures=failures, part_us=10 * MINUTE_US))

    @pytest.mark.parametrize("limit_seconds", [0.25, 0.3, 0.5, 60.0])
    def test_by_a_limit_bad_are_those_that_reach_it_and_unknown_durations_do_not_count(
        self, selectable: Store, ask: Ask[Any], limit_seconds: float
    ) -> None:
        check(selectable, ask, replace(HOUR, limit_seconds=limit_seconds))
        check(selectable, ask, replace(HOUR, limit_seconds=limit_seconds, part_us=13 * MINUTE_US))

    @pytest.mark.parametrize(
        "customer_ids", [(), ("a",), ("a", "\u00fc", "nobody", EARLIER), ("", "nul\0", "A", 'it\'s "quoted"')]
    )
    def test_of_the_customers_that_are_asked_for(
        self, selectable: Store, ask: Ask[Any], customer_ids: tuple[str, ...]
    ) -> None:
        check(selectable, ask, replace(HOUR, customer_ids=customer_ids, part_us=20 * MINUTE_US))

    @each_filter
    def test_of_the_requests_that_a_filter_selects(
        self, selectable: Store, ask: Ask[Any], only: RequestFilter
    ) -> None:
        check(selectable, ask, replace(HOUR, only=only, part_us=15 * MINUTE_US))

    def test_by_a_limit_of_some_customers_that_a_filter_selects(
        self, selectable: Store, ask: Ask[Any]
    ) -> None:
        for only in (FILTERS["paths"], FILTERS["slow ones"]):
            check(selectable, ask, replace(HOUR, only=only, limit_seconds=0.5, customer_ids=("a", "A")))

    @pytest.mark.parametrize("hours", [0, -1, 24])
    def test_a_range_without_requests_has_no_counts(
        self, selectable: Store, ask: Ask[Any], hours: int
    ) -> None:
        start = END + timedelta(hours=1)
        assert counted(selectable, ask, CountsQuery(start, start + timedelta(hours=hours), MINUTE_US)) == {}


def rows_of(store: Store, ask: Ask[Any], query: RequestsQuery) -> list[Row]:
    """The rows of one page."""
    frame: pl.DataFrame = ask(store.requests(query))
    assert dict(frame.schema) == STORED_SCHEMA
    assert frame.height <= query.limit
    return frame.rows()


def check_in_order(store: Store, found: list[Row], query: RequestsQuery) -> None:
    """All requests of a query, each once.

    InfluxDB holds neither sources nor offsets: what stands for them orders the requests of one time.
    """
    expected = expected_requests(ROWS, query)
    places = [place_in_order(query, row) for row in found]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) == len(places)
    if type(store).__name__ == "InfluxDBStore":
        assert Counter(row[:5] for row in found) == Counter(row[:5] for row in expected)
    else:
        assert found == expected


class TestRequests:
    @each_filter
    def test_all_that_a_filter_selects_in_order(
        self, selectable: Store, ask: Ask[Any], only: RequestFilter
    ) -> None:
        query = RequestsQuery(None, None, END - timedelta(minutes=11), only, "slowest", limit=1000)
        check_in_order(selectable, rows_of(selectable, ask, query), query)

    @each_order
    @pytest.mark.parametrize(("customer_id", "limit"), [(None, 250), ("a", 29)], ids=["all", "one customer"])
    def test_pages_give_each_request_once(
        self, selectable: Store, ask: Ask[Any], customer_id: str | None, order: RecordOrder, limit: int
    ) -> None:
        query = RequestsQuery(customer_id, FIRST + timedelta(minutes=3), order=order, limit=limit)
        found: list[Row] = []
        page: pl.DataFrame = ask(selectable.requests(query))
        while page.height:
            assert page.height <= limit
            found += page.rows()
            after = (page["duration"][-1], place_of_last(page))
            page = ask(selectable.requests(replace(query, after=after)))
        check_in_order(selectable, found, query)

    @each_order
    @pytest.mark.parametrize("limit", [1, 7])
    def test_no_more_than_the_limit_and_these_are_the_first(
        self, selectable: Store, ask: Ask[Any], order: RecordOrder, limit: int
    ) -> None:
        query = RequestsQuery(only=FILTERS["paths"], order=order, limit=limit)
        found = rows_of(selectable, ask, query)
        assert len(found) == limit
        whole = rows_of(selectable, ask, replace(query, limit=1000))
        assert found == whole[:limit]

    @each_order
    def test_those_of_unknown_duration_are_the_last_of_the_slowest(
        self, selectable: Store, ask: Ask[Any], order: RecordOrder
    ) -> None:
        found = rows_of(selectable, ask, RequestsQuery("a", order=order, limit=1000))
        unknown = [row[4] is None for row in found]
        assert any(unknown)
        assert not all(unknown)
        assert (unknown == sorted(unknown)) == (order == "slowest")

    @each_order
    @pytest.mark.parametrize("customer_id", ["nobody", "", "nul\0"])
    def test_a_customer_without_any_request_is_unknown(
        self, selectable: Store, ask: Ask[Any], customer_id: str, order: RecordOrder
    ) -> None:
        with pytest.raises(UnknownCustomer):
            ask(selectable.requests(RequestsQuery(customer_id, FIRST, END, order=order)))

    @each_order
    @pytest.mark.parametrize("customer_id", [None, EARLIER], ids=["all", "one customer"])
    def test_nothing_in_the_range_gives_no_rows(
        self, selectable: Store, ask: Ask[Any], customer_id: str | None, order: RecordOrder
    ) -> None:
        query = RequestsQuery(customer_id, END, END + timedelta(hours=1), order=order)
        assert rows_of(selectable, ask, query) == []
