"""The rules that every store keeps to, and what is put together from what it has computed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import polars as pl
import pytest

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import (
    BreakdownQuery,
    CustomersQuery,
    Failures,
    PathCount,
    Reject,
    StatsQuery,
    StatusCount,
    Summary,
    Trend,
    TrendsQuery,
)
from tailmetrics.stores.cursors import place_of
from tailmetrics.stores.results import (
    FAILURE_RULES,
    breakdown_of,
    can_be_stored,
    check_storable,
    customers_page,
    ranked,
    rejects_page,
    result_of_rows,
    took_too_long,
    trends_of,
)
from tailmetrics.windows import parse_every, to_us
from tests.builders import at

STATUSES = (0, 200, 399, 400, 428, 429, 430, 499, 500, 599)


@pytest.mark.parametrize(
    ("failures", "failed"),
    [
        ("4xx+5xx", (0, 400, 428, 429, 430, 499, 500, 599)),
        ("5xx", (0, 500, 599)),
        ("5xx+429", (0, 429, 500, 599)),
    ],
)
def test_failures_are_the_same_of_a_number_an_array_and_an_expression(
    failures: Failures, failed: tuple[int, ...]
) -> None:
    rule = FAILURE_RULES[failures]
    frame = pl.DataFrame({"status": STATUSES})
    assert tuple(status for status in STATUSES if rule(status)) == failed
    assert tuple(np.array(STATUSES)[rule(np.array(STATUSES))]) == failed
    assert tuple(frame.filter(rule(pl.col("status")))["status"]) == failed


@pytest.mark.parametrize(
    ("text", "can"), [("a", True), ("\u00e9\U0001f680", True), ("", False), ("a\0", False), ("\ud800", False)]
)
def test_only_text_that_a_record_can_have_can_be_stored(text: str, can: bool) -> None:
    assert can_be_stored(text) == can


def test_a_customer_that_no_record_can_have_is_unknown() -> None:
    check_storable("a")
    check_storable(None)
    with pytest.raises(UnknownCustomer):
        check_storable("a\0")


def test_a_query_that_took_too_long_is_told_what_to_do() -> None:
    text = "the question took longer than 0.5 seconds (QUERY_TIMEOUT_SECONDS); ask for a shorter range"
    assert str(took_too_long(0.5)) == text


def test_trends_add_up_and_are_zero_elsewhere() -> None:
    query = TrendsQuery(("b", "a"), at("2024-01-01"), at("2024-01-02"), 3)
    counted = [("a", 2, 5, 1), ("b", 0, 1, 1), ("a", 2, 1, 0)]
    assert trends_of(query, counted) == [Trend("b", (1, 0, 0), (1, 0, 0)), Trend("a", (0, 0, 6), (0, 0, 1))]


@pytest.mark.parametrize(("total", "following"), [(7, None), (8, 7)])
def test_a_page_of_customers_leads_to_the_next_where_there_is_one(total: int, following: int | None) -> None:
    page = customers_page([("a", 2, 1, 0.1, 0.1, 0.2), ("b", 1, 0, None, None, None)], total, 5)
    assert [customer.customer_id for customer in page.customers] == ["a", "b"]
    assert page.customers[0].summary == Summary(2, 1, 1, 50.0, 0.1, 0.1, 0.2)
    assert page.total == total
    assert (page.next_cursor and place_of("customers", page.next_cursor, 0)) == following


@pytest.mark.parametrize(("found", "following"), [(2, None), (3, 8)])
def test_a_page_of_rejects_leads_to_the_next_where_more_were_found(found: int, following: int | None) -> None:
    reject = Reject("s", "p", 0, "r", "l", datetime.now(timezone.utc))
    page = rejects_page([(9 - place, reject) for place in range(found)], 7, 2)
    assert (page.rejects, page.total) == ((reject, reject), 7)
    assert (page.next_cursor and place_of("rejects", page.next_cursor, 0)) == following


def test_a_page_of_long_lines_is_shorter_and_the_next_goes_on_behind_it() -> None:
    reject = Reject("source", "a.log", 0, "reason", "x" * 65_536, at("2024-10-10"))
    page = rejects_page([(1000 - place, reject) for place in range(1000)], 1000, 999)
    assert sum(len(each.line) for each in page.rejects) <= 8_000_000
    assert len(page.rejects) == 8_000_000 // 65_536
    assert place_of("rejects", page.next_cursor, 0) == 1001 - len(page.rejects)
    one = replace(reject, line="x" * 9_000_000)
    assert len(rejects_page([(2, one), (1, one)], 2, 1).rejects) == 1


@pytest.mark.parametrize(
    ("sort", "descending", "expected"),
    [
        ("customer_id", False, "Bac"),
        ("customer_id", True, "caB"),
        ("requests", False, "caB"),
        ("failures", True, "Bac"),
        ("uptime", False, "aBc"),
        ("p99", True, "Bca"),
        ("p99", False, "cBa"),
    ],
)
def test_customers_are_ranked_with_missing_values_last_and_equal_ones_by_the_bytes_of_their_ids(
    sort: str, descending: bool, expected: str
) -> None:
    totals = pl.DataFrame(
        {"customer_id": ["a", "B", "c"], "requests": [2, 4, 1], "failed": [2, 2, 0], "p99": [None, 0.3, 0.2]}
    )
    query = CustomersQuery(sort=sort, descending=descending)  # type: ignore[arg-type]
    assert "".join(ranked(totals, query)["customer_id"]) == expected


def test_paths_are_ranked_by_requests_then_by_name_and_statuses_by_number() -> None:
    rows = pl.DataFrame({"path": ["/b", "/a", "/c", "/c"], "status_code": [500, 200, 404, 200]})
    found = breakdown_of(BreakdownQuery(None, failures="5xx", top=2), rows)
    assert found.paths == (PathCount("/c", 2, 0), PathCount("/a", 1, 0))
    assert found.paths_total == 3
    assert found.statuses == (StatusCount(200, 2, 0), StatusCount(404, 1, 0), StatusCount(500, 1, 1))


def test_rows_make_windows_and_a_total() -> None:
    times = [to_us(at(text)) for text in ("2024-01-01T12:00", "2024-01-02", "2024-01-02T23:59:59.999999")]
    rows = pl.DataFrame({"time": times, "status_code": [200, 500, 200], "duration": [0.1, None, 0.3]})
    found = result_of_rows(StatsQuery(None, parse_every("1d")), rows)
    assert found.summary == Summary(3, 2, 1, 100 * 2 / 3, 0.2, 0.2, pytest.approx(0.298))
    assert [(window.start, window.summary.total_requests) for window in found.windows] == [
        (at("2024-01-01"), 1),
        (at("2024-01-02"), 2),
    ]
