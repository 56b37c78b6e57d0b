"""Opaque cursors: where the next page of a listing begins, as text that fits into a URL."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from typing import Any

from tailmetrics.errors import QueryError
from tailmetrics.stats import RecordOrder, RecordPlace
from tailmetrics.windows import from_us, to_us

LAST = 2**63 - 1  # no place is behind it
_LAST_US = 62 * 10**15  # that a time can be before or after 1970, within the years 5 to 3934


def cursor_to(listing: str, place: int) -> str:
    """The cursor to a place in a listing."""
    return _written([listing, place])


def place_of(listing: str, cursor: str | None, first: int) -> int:
    """The place that a cursor of this listing leads to, `first` without one.

    Raises QueryError for any other text.
    """
    if cursor is None:
        return first
    match _read(cursor):
        case [str(name), int(place)] if (
            name == listing and not isinstance(place, bool) and 0 <= place <= LAST
        ):
            return place
    raise QueryError("cursor", cursor, f"the next_cursor of a page of {listing}")


def cursor_to_request(order: RecordOrder, duration: float | None, place: RecordPlace) -> str:
    """The cursor behind a request, in a listing of requests of this order."""
    return _written(["requests", order, duration, to_us(place.timestamp), place.source, place.offset])


def request_place(order: RecordOrder, cursor: str | None) -> tuple[float | None, RecordPlace] | None:
    """The duration and the place of the request behind which a page begins, None for the first page.

    Raises QueryError for any text that is no cursor of a listing of this order.
    """
    if cursor is None:
        return None
    match _read(cursor):
        case [
            "requests",
            str(name),
            float() | int() | None as duration,
            int(time_us),
            str(source),
            int(offset),
        ] if (
            name == order
            and (duration is None or 0 <= duration <= sys.float_info.max)
            and source.isprintable()
            and 0 <= offset <= LAST
            and abs(time_us) <= _LAST_US
        ):
            return None if duration is None else float(duration), RecordPlace(
                from_us(time_us), source, offset
            )
    raise QueryError("cursor", cursor, f"the next_cursor of a page of requests, {order} first")


def _written(content: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def _read(cursor: str) -> Any:
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        return None
