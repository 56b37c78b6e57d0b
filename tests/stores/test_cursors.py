"""Cursors are opaque, and lead to a place of their own listing only."""

from __future__ import annotations

import pytest

from tailmetrics.errors import QueryError
from tailmetrics.stores.cursors import LAST, cursor_to, place_of


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
