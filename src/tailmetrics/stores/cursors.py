"""Opaque cursors: where the next page of a listing begins, as text that fits into a URL."""

from __future__ import annotations

import base64
import binascii
import json

from tailmetrics.errors import QueryError

LAST = 2**63 - 1  # no place is behind it


def cursor_to(listing: str, place: int) -> str:
    """The cursor to a place in a listing."""
    return base64.urlsafe_b64encode(json.dumps([listing, place]).encode()).decode().rstrip("=")


def place_of(listing: str, cursor: str | None, first: int) -> int:
    """The place that a cursor of this listing leads to, `first` without one.

    Raises QueryError for any other text.
    """
    if cursor is None:
        return first
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        found = None
    match found:
        case [str(name), int(place)] if (
            name == listing and not isinstance(place, bool) and 0 <= place <= LAST
        ):
            return place
    raise QueryError("cursor", cursor, f"the next_cursor of a page of {listing}")
