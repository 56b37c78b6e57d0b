"""Cursors are opaque, and lead to a place of their own listing only."""

from __future__ import annotations

import pytest

from tailmetrics.errors import QueryError
from tailmetrics.stats import RecordPlace
from tailmetrics.stores.cursors import LAST, cursor_to, cursor_to_request, place_of, request_place
from tests.builders import at

PLACE = RecordPlace(at("2024-10-10 08:00:00.000001"), "6a1f", 1024)


@pytest.mark.parametrize("place", [0, 1, 12_345, LAST])
def test_a_cursor_leads_to_its_place(place: int) -> None:
    assert place_of("rejects", cursor_to("rejects", place), 7) == place


def test_without_a_cursor_a_listing_begins_at_its_first_place() -> None:
    assert place_of("rejects", None, 7) == 7


@pytest.mark.parametrize("place", [-1, LAST + 1])
def test_a_place_that_no_listing_has_is_refused(place: int) -> None:
    with pytest.raises(QueryError, match="the next_cursor of a page of rejects"):
        place_of("rejects", cursor_to("rejects", place), 0)


def test_the_cursor_of_another_listing_is_refused() -> None:
    with pytest.raises(QueryError, match="the next_cursor of a page of rejects"):
        place_of("rejects", cursor_to("customers", 1), 0)


@pytest.mark.parametrize("duration", [None, 0.0, 0.1])
def test_a_cursor_leads_behind_its_request(duration: float | None) -> None:
    cursor = cursor_to_request("slowest", duration, PLACE)
    assert request_place("slowest", cursor) == (duration, PLACE)


def test_a_duration_without_decimals_is_that_of_a_request_all_the_same() -> None:
    after = request_place("slowest", cursor_to_request("slowest", 10**30, PLACE))
    assert after is not None
    assert isinstance(after[0], float)


def test_without_a_cursor_requests_begin_at_the_first() -> None:
    assert request_place("newest", None) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        cursor_to("requests", 1),
        cursor_to_request("slowest", 0.1, PLACE),
        cursor_to_request("newest", float("nan"), PLACE),
        cursor_to_request("newest", 10**400, PLACE),
        cursor_to_request("newest", 0.1, RecordPlace(PLACE.timestamp, "a\0", 1)),
        cursor_to_request("newest", 0.1, RecordPlace(PLACE.timestamp, "a", -1)),
    ],
)
def test_what_is_no_cursor_of_requests_in_this_order_is_refused(cursor: str) -> None:
    with pytest.raises(QueryError, match="the next_cursor of a page of requests, newest first"):
        request_place("newest", cursor)
