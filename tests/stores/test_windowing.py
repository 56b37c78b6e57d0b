"""Where data lie, and which window a time is in, for any number of times at once."""

from __future__ import annotations

import random
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tailmetrics.stats import StatsQuery
from tailmetrics.stores.windowing import by_piece, short_spans, spans_of, window_starts
from tailmetrics.windows import DAY_US, Grid, Piece, parse_every, to_us
from tests.builders import at

YEAR_US = 366 * DAY_US
FIRST, LAST = to_us(at("2024-01-01")), to_us(at("2024-12-31"))


def query(start: str | None = None, end: str | None = None) -> StatsQuery:
    bounds = [None if text is None else at(text) for text in (start, end)]
    return StatsQuery(None, parse_every("1d"), *bounds)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [(FIRST, LAST + 1)]),
        ("2024-06-01", None, [(to_us(at("2024-06-01")), LAST + 1)]),
        ("2000-01-01", "2024-02-01", [(FIRST, to_us(at("2024-02-01")))]),
        ("2025-01-01", None, []),
        (None, "2024-01-01", []),
    ],
)
def test_requests_lie_where_the_range_and_the_data_meet(
    start: str | None, end: str | None, expected: list[tuple[int, int]]
) -> None:
    assert short_spans(query(start, end), (FIRST, LAST)) == expected


def test_a_store_without_requests_has_no_span() -> None:
    assert short_spans(query(), None) == []


def test_stretches_have_to_be_found_in_data_of_many_years() -> None:
    edges = (FIRST, FIRST + 20 * YEAR_US)
    assert short_spans(query(), edges) is None
    assert short_spans(query(end="2030-01-01"), edges) == [(FIRST, to_us(at("2030-01-01")))]


def test_times_of_some_years_are_one_span() -> None:
    assert spans_of(np.array([5, 3, 9 * YEAR_US])) == [(3, 9 * YEAR_US + 1)]


def test_no_times_have_no_span() -> None:
    assert spans_of(np.array([], np.int64)) == []


def test_times_far_apart_are_spans_of_their_own_in_order() -> None:
    early, late = to_us(at("0009-01-05")), to_us(at("9988-07-05"))
    times = np.array([late, FIRST, early, FIRST + 1])
    assert spans_of(times) == [(early, early + 1), (FIRST, FIRST + 2), (late, late + 1)]


@pytest.mark.parametrize("every", ["1d", "7d", "6h", "7h"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe"])
def test_many_times_are_in_the_windows_that_each_is_in(every: str, zone: str) -> None:
    chance = random.Random(1)  # the same times in each run
    times = [chance.randrange(FIRST, LAST) for _ in range(500)]
    grid = Grid(parse_every(every), ZoneInfo(zone), [(FIRST, LAST)])
    expected = [grid.start_of(time) for time in times]
    assert window_starts(np.array(times), grid).tolist() == expected

    def start_in(piece: Piece) -> str:
        since = f"(time - ({piece.anchor_us}))" + (f" % {piece.day_us}" if piece.day_us else "")
        return f"time - ({since}) % {piece.step_us}"

    text = by_piece(
        grid.pieces, start_in, lambda us, earlier, later: f"({earlier}) if time < {us} else ({later})"
    )
    assert [eval(text, {"time": time}) for time in times] == expected  # noqa: S307  # of numbers alone
