"""Where the data of a query lie, and which window each request is in: the same for every store.

Times are microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.errors import QueryError
from tailmetrics.stats import MAX_FILLED_WINDOWS, MAX_WINDOWS, StatsQuery
from tailmetrics.stores.distinct import distinct, spread
from tailmetrics.windows import DAY_US, Grid, Piece, count_windows, suitable_every, to_us

Times = npt.NDArray[np.int64]
Span = tuple[int, int]

_Expression = TypeVar("_Expression")

EARLIEST_US = to_us(datetime.min.replace(tzinfo=timezone.utc))
# Stretches of time, counted from EARLIEST_US, of which those with requests are told apart.
STRETCH_US = 366 * DAY_US
_LONG_US = 20 * STRETCH_US
_TOUCHED_US = (60_000_000, 3_600_000_000, DAY_US)  # a minute, an hour, a day
_MOST_SPANS = 500  # of one commit, beyond which times are told in longer stretches
_MOST_MARKED = 16  # times as many bytes as there are numbers


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


def number_of_windows(query: StatsQuery, spans: Sequence[Span]) -> int:
    """How many windows an answer can have that leaves out empty ones, from where requests can lie.

    A store looks at that before it looks at requests: an answer takes time and memory for each window.
    """
    return sum(count_windows(query.every, query.zone, low, high, MAX_WINDOWS) for low, high in spans)


def check_filling(query: StatsQuery, spans: Sequence[Span] = ()) -> None:
    """Raises QueryError where a range has more windows than may be filled, before any look at requests.

    An open end is that of the spans where requests can lie, if the query is about all of them. Where one
    customer's lie is not known yet.
    """
    of_all = spans if query.customer_id is None else ()
    low = to_us(query.start) if query.start else min((low for low, _ in of_all), default=None)
    high = to_us(query.end) if query.end else max((high for _, high in of_all), default=None)
    if query.fill and query.every.cuts and low is not None and high is not None:
        check_filled(query, low, high)


def check_filled(query: StatsQuery, low_us: int, high_us: int) -> None:
    """Raises QueryError where [low_us, high_us) has more windows than may be filled."""
    number = count_windows(query.every, query.zone, low_us, high_us, MAX_FILLED_WINDOWS)
    if number > MAX_FILLED_WINDOWS:
        raise too_many_windows(query, number, high_us - low_us, MAX_FILLED_WINDOWS)


def too_many_windows(query: StatsQuery, number: int, span_us: int, most: int = MAX_WINDOWS) -> QueryError:
    """What is said of a length that cuts so many microseconds into more than `most` windows."""
    seconds = span_us / 1_000_000
    # One fewer, as a range may begin and end within a window.
    every = suitable_every(seconds, most - 1)
    shorter = timedelta(seconds=most * query.every.seconds, days=most * query.every.days)
    filled = " when all are filled" if query.fill else ""
    return QueryError(
        "every",
        query.every.text,
        f"a length that cuts the range into at most {most} windows{filled}, this one makes {number}; "
        f"{every} fits, or a range of at most {_rounded_down(shorter)}"
        f"{', or no filling' if most < number <= MAX_WINDOWS else ''}",
    )


def _rounded_down(length: timedelta) -> str:
    """A length as it stands in a query, in the largest unit of which it has several."""
    seconds = int(length.total_seconds())
    units = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
    return next(f"{seconds // unit}{sign}" for unit, sign in units if seconds >= 2 * unit)


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


def spans_touched(times: Sequence[pl.Series]) -> tuple[Span, ...]:
    """The minutes in which records lie, from their timestamps; longer stretches where those are very many."""
    found = [series.dt.timestamp("us").to_numpy() for series in times if len(series)]
    if not found:
        return ()
    starts = np.concatenate(found)
    for length in _TOUCHED_US:
        starts = _distinct(starts // length) * length
        begins = np.flatnonzero(np.diff(starts, prepend=starts[0] - 2 * length) > length)
        if len(begins) <= _MOST_SPANS:
            break
    ends = np.append(begins[1:], len(starts)) - 1
    return tuple(zip(starts[begins].tolist(), (starts[ends] + length).tolist(), strict=True))


def _distinct(numbers: Times) -> Times:
    """Each of some numbers once, in order; most are like the one before, or all are near each other."""
    numbers = numbers[np.append(True, numbers[1:] != numbers[:-1])]
    return np.unique(numbers) if spread(numbers) > _MOST_MARKED * len(numbers) else distinct(numbers)


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
