"""Where the data of a query lie, and which window each request is in: the same for every store.

Times are microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tailmetrics.stats import StatsQuery
from tailmetrics.windows import DAY_US, Grid, Piece, to_us

Times = npt.NDArray[np.int64]
Span = tuple[int, int]

_Expression = TypeVar("_Expression")

EARLIEST_US = to_us(datetime.min.replace(tzinfo=timezone.utc))
# Stretches of time, counted from EARLIEST_US, of which those with requests are told apart.
STRETCH_US = 366 * DAY_US
_LONG_US = 20 * STRETCH_US


def short_spans(query: StatsQuery, edges: Span | None) -> list[Span] | None:
    """Where requests of a query can lie, as [low, high), from the first and the last time of the store.

    The shorter, the fewer clock changes, and the cheaper the windows. None where that is so long that the
    stretches with requests have to be found: a few wrong dates must not make windows of millennia.
    """
    if edges is None:
        return []
    first, last = edges
    low = first if query.start is None else max(first, to_us(query.start))
    high = last + 1 if query.end is None else min(last + 1, to_us(query.end))
    if high - low >= _LONG_US:
        return None
    return [(low, high)] if low < high else []


def spans_of(times: Times) -> list[Span]:
    """Where times lie, as [low, high), by their stretches where they are far apart."""
    if not len(times):
        return []
    low, high = int(times.min()), int(times.max()) + 1
    if high - low < _LONG_US:
        return [(low, high)]
    stretches = (times - EARLIEST_US) // STRETCH_US
    parts = (times[stretches == stretch] for stretch in np.unique(stretches))
    return [(int(part.min()), int(part.max()) + 1) for part in parts]


def window_starts(times: Times, grid: Grid) -> Times:
    """Where the window begins that holds each of the times."""
    pieces = grid.pieces
    at = np.searchsorted([piece.start_us for piece in pieces], times, side="right") - 1
    since = times - np.array([piece.anchor_us for piece in pieces])[at]
    whole = np.iinfo(np.int64).max
    since %= np.array([whole if piece.day_us is None else piece.day_us for piece in pieces])[at]
    starts: Times = times - since % np.array([piece.step_us for piece in pieces])[at]
    return starts


def by_piece(
    pieces: Sequence[Piece],
    start_in: Callable[[Piece], _Expression],
    choose: Callable[[int, _Expression, _Expression], _Expression],
) -> _Expression:
    """The start of a time's window as an expression of a database.

    `start_in` gives it for one piece, `choose` that of two expressions which holds before a time and from it
    on. They make a tree, so that decades of clock changes stay cheap.
    """
    if len(pieces) == 1:
        return start_in(pieces[0])
    middle = len(pieces) // 2
    earlier, later = (by_piece(part, start_in, choose) for part in (pieces[:middle], pieces[middle:]))
    return choose(pieces[middle].start_us, earlier, later)
