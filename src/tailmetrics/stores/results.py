"""The answer to a StatsQuery put together from what a store has computed, the same for every store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from tailmetrics.errors import QueryError
from tailmetrics.stats import (
    DAY_SECONDS,
    MAX_FILLED_WINDOWS,
    Every,
    StatsAnswer,
    StatsQuery,
    Summary,
    WindowStats,
)
from tailmetrics.windows import Grid, from_us, to_us


def summary_of(
    requests: int, failed: int, average: float | None, median: float | None, p99: float | None
) -> Summary:
    """The figures of `requests` requests of which `failed` failed; latencies in seconds."""
    if not requests:
        return Summary()
    successful = requests - failed
    return Summary(requests, successful, failed, 100 * successful / requests, average, median, p99)


def answer_in_one_window(query: StatsQuery, total: Summary, span_us: tuple[int, int] | None) -> StatsAnswer:
    """The answer without windows within the range; `span_us` is the first and the last request's time."""
    start, end = query.start, query.end
    if span_us is not None:
        start = start or from_us(span_us[0])
        end = end or from_us(span_us[1] + 1)
    windows: tuple[WindowStats, ...] = ()
    if start is not None and end is not None and start < end and (total.total_requests or query.fill):
        windows = (WindowStats(start, end, total),)
    return StatsAnswer(query, start, end, _with_uptime(query, total, windows), windows)


def answer_in_windows(
    query: StatsQuery, zone: ZoneInfo, grid: Grid, total: Summary, found: Sequence[tuple[int, Summary]]
) -> StatsAnswer:
    """The answer from the windows that have requests: their uncut starts in `grid`, and figures, by time.

    Raises QueryError when the query wants empty windows too and there are too many.
    """
    low = None if query.start is None else to_us(query.start)
    high = None if query.end is None else to_us(query.end)
    if found:
        low = found[0][0] if low is None else low
        high = grid.end_of(found[-1][0]) if high is None else high
    if low is None or high is None:
        bound = from_us(low) if low is not None else None
        return StatsAnswer(query, bound, from_us(high) if high is not None else None, total, ())
    spans: Sequence[tuple[int, int]] = [(start, grid.end_of(start)) for start, _ in found]
    if query.fill:
        spans = _every_window(query.every, zone, low, high)
    by_start = dict(found)
    windows = tuple(
        WindowStats(from_us(max(start, low)), from_us(min(end, high)), by_start.get(start, Summary()))
        for start, end in spans
    )
    return StatsAnswer(query, from_us(low), from_us(high), _with_uptime(query, total, windows), windows)


def _every_window(every: Every, zone: ZoneInfo, low_us: int, high_us: int) -> list[tuple[int, int]]:
    # Counted roughly first: a grid over thousands of years with changing clocks takes seconds to make.
    number = (high_us - low_us) // ((every.days * DAY_SECONDS or every.seconds) * 1_000_000)
    if number <= MAX_FILLED_WINDOWS + 10:
        grid = Grid(every, zone, [(low_us, high_us)])
        number = grid.count(low_us, high_us)
        if number <= MAX_FILLED_WINDOWS:
            return list(grid.windows(low_us, high_us))
    raise QueryError(
        "every",
        every.text,
        f"a length that fills the range with at most {MAX_FILLED_WINDOWS} windows, this one makes {number}; "
        "or no filling",
    )


def _with_uptime(query: StatsQuery, total: Summary, windows: Sequence[WindowStats]) -> Summary:
    """The total with its uptime by the method that the query names."""
    if query.uptime_method == "requests":
        return total
    uptimes = [window.summary.uptime for window in windows if window.summary.uptime is not None]
    if not uptimes:
        return total
    good = sum(uptime >= query.objective for uptime in uptimes)
    return replace(total, uptime=100 * good / len(uptimes))
