"""The answers a store must give, record by record in Python and NumPy, without the package's windows."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np

from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CustomersQuery,
    CustomerStats,
    PathCount,
    StatsAnswer,
    StatsQuery,
    StatusCount,
    Summary,
    Trend,
    TrendsQuery,
    WindowStats,
)
from tests.builders import Record

UTC = timezone.utc
_FAILED = {
    "4xx+5xx": lambda status: status == 0 or status >= 400,
    "5xx": lambda status: status == 0 or status >= 500,
    "5xx+429": lambda status: status >= 500 or status in (0, 429),
}


def expected_stats(records: Iterable[Record], query: StatsQuery) -> StatsAnswer:
    """The answer to a query about a known customer."""
    rows = [
        record
        for record in records
        if query.customer_id in (None, record[1])
        and (query.start is None or record[0] >= query.start)
        and (query.end is None or record[0] < query.end)
    ]
    times = [row[0] for row in rows]
    span = (min(times), max(times) + timedelta(microseconds=1)) if rows else None
    groups: dict[tuple[datetime, datetime], list[Record]] = defaultdict(list)
    for row in rows:
        groups[_window_of(row[0], query, span)].append(row)
    start, end = query.start, query.end
    if groups:
        start = start or min(groups)[0]
        end = end or max(groups)[1]
    if query.fill and start is not None and end is not None:
        moment = start
        while moment < end:
            window = _window_of(moment, query, span)
            groups.setdefault(window, [])
            moment = window[1]
    windows = tuple(
        WindowStats(max(low, start), min(high, end), expected_summary(groups[low, high], query.failures))
        for low, high in sorted(groups)
    )
    total = expected_summary(rows, query.failures)
    if query.uptime_method == "good_windows" and rows:
        uptimes = [window.summary.uptime for window in windows if window.summary.uptime is not None]
        good = [uptime for uptime in uptimes if uptime >= query.objective]
        total = Summary(
            total.total_requests,
            total.successful_requests,
            total.failed_requests,
            100 * len(good) / len(uptimes),
            total.average_latency,
            total.median_latency,
            total.p99_latency,
        )
    return StatsAnswer(query, start, end, total, windows)


def expected_summary(rows: Sequence[Record], failures: str = "4xx+5xx") -> Summary:
    if not rows:
        return Summary()
    failed = sum(_FAILED[failures](status) for _, _, _, status, _ in rows)
    durations = [duration for *_, duration in rows if duration is not None]
    uptime = (len(rows) - failed) / len(rows) * 100
    if not durations:
        return Summary(len(rows), len(rows) - failed, failed, uptime)
    median, p99 = (float(figure) for figure in np.quantile(durations, [0.5, 0.99]))
    return Summary(
        len(rows), len(rows) - failed, failed, uptime, math.fsum(durations) / len(durations), median, p99
    )


def expected_customers(records: Iterable[Record], query: CustomersQuery) -> dict[str, CustomerStats]:
    """All customers that match, on whatever page and in no order."""
    rows: dict[str, list[Record]] = defaultdict(list)
    for row in in_range(records, query):
        if query.search.lower() in row[1].lower():
            rows[row[1]].append(row)
    return {
        customer_id: CustomerStats(customer_id, expected_summary(of_customer, query.failures))
        for customer_id, of_customer in rows.items()
        if len(of_customer) >= query.min_requests
    }


def in_range(records: Iterable[Record], query: BreakdownQuery | CustomersQuery | TrendsQuery) -> list[Record]:
    return [
        record
        for record in records
        if (query.start is None or record[0] >= query.start) and (query.end is None or record[0] < query.end)
    ]


def expected_breakdown(records: Iterable[Record], query: BreakdownQuery) -> Breakdown:
    rows = [row for row in in_range(records, query) if query.customer_id in (None, row[1])]
    paths, statuses = Counter(row[2] for row in rows), Counter(row[3] for row in rows)
    is_failed = _FAILED[query.failures]
    failed = Counter(row[2] for row in rows if is_failed(row[3]))
    ranked = sorted(paths, key=lambda path: (-paths[path], path.encode()))
    return Breakdown(
        tuple(PathCount(path, paths[path], failed[path]) for path in ranked[: query.top]),
        len(paths),
        tuple(
            StatusCount(status, statuses[status], statuses[status] if is_failed(status) else 0)
            for status in sorted(statuses)
        ),
    )


def expected_trends(records: Iterable[Record], query: TrendsQuery) -> list[Trend]:
    rows = in_range(records, query)
    length = timedelta(microseconds=query.part_us)

    def spread(customer_id: str, statuses: Callable[[int], bool]) -> tuple[int, ...]:
        parts = Counter(
            (row[0] - query.start) // length for row in rows if row[1] == customer_id and statuses(row[3])
        )
        return tuple(parts[part] for part in range(query.parts))

    return [
        Trend(customer_id, spread(customer_id, lambda _: True), spread(customer_id, _FAILED[query.failures]))
        for customer_id in query.customer_ids
    ]


def assert_same(found: StatsAnswer, expected: StatsAnswer) -> None:
    """Times and counts exactly, figures to 1e-9."""
    assert (found.start, found.end) == (expected.start, expected.end)
    assert [(window.start, window.end) for window in found.windows] == [
        (window.start, window.end) for window in expected.windows
    ]
    assert_same_summary(found.summary, expected.summary)
    for window, wanted in zip(found.windows, expected.windows, strict=True):
        assert_same_summary(window.summary, wanted.summary)


def assert_same_summary(found: Summary, expected: Summary) -> None:
    assert (found.total_requests, found.successful_requests, found.failed_requests) == (
        expected.total_requests,
        expected.successful_requests,
        expected.failed_requests,
    )
    for name in ("uptime", "average_latency", "median_latency", "p99_latency"):
        figure, wanted = getattr(found, name), getattr(expected, name)
        if wanted is None:
            assert figure is None, name
        else:
            assert math.isclose(figure, wanted, rel_tol=1e-9, abs_tol=1e-12), (name, figure, wanted)


def _window_of(
    moment: datetime, query: StatsQuery, span: tuple[datetime, datetime] | None
) -> tuple[datetime, datetime]:
    """The uncut window that holds a time; `span` is from the first record to the end of the last one."""
    if not query.every.days and not query.every.seconds:
        first, end = span or (moment, moment)
        return query.start or first, query.end or end
    zone = query.zone
    today = moment.astimezone(zone).date()
    if query.every.days:
        begin = today - timedelta(days=(today - date(1970, 1, 1)).days % query.every.days)
        return first_instant(begin, zone), first_instant(begin + timedelta(days=query.every.days), zone)
    midnight = first_instant(today, zone)
    length = timedelta(seconds=query.every.seconds)
    start = midnight + (moment - midnight) // length * length
    return start, min(start + length, first_instant(today + timedelta(days=1), zone))


@functools.cache
def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The first second at which a zone's calendar shows a date, by bisection."""
    low = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=36)
    high = low + timedelta(hours=72)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).date() >= day:
            high = middle
        else:
            low = middle
    return high
