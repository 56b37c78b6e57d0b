"""The answers a store must give, record by record in Python and NumPy, without the package's windows."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersQuery,
    CustomerStats,
    PathCount,
    RecordsQuery,
    RequestFilter,
    RequestsQuery,
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

_Row = TypeVar("_Row", bound=tuple[Any, ...])

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
        and selects(query.only, record)
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


def in_range(
    records: Iterable[_Row],
    query: BreakdownQuery | CountsQuery | CustomersQuery | RecordsQuery | RequestsQuery | TrendsQuery,
) -> list[_Row]:
    """The records of a range that the filter of a query selects; more may follow what a record has."""
    return [
        record
        for record in records
        if (query.start is None or record[0] >= query.start)
        and (query.end is None or record[0] < query.end)
        and selects(query.only, record)
    ]


def selects(only: RequestFilter, record: Sequence[Any]) -> bool:
    _, _, path, status, duration, *_ = record
    if only.paths and not any(matches(glob, path) for glob in only.paths):
        return False
    if any(matches(glob, path) for glob in only.other_paths):
        return False
    if only.statuses and not any(low <= status <= high for low, high in only.statuses):
        return False
    if only.min_duration is not None and (duration is None or duration < only.min_duration):
        return False
    return only.max_duration is None or (duration is not None and duration < only.max_duration)


def matches(glob: str, path: str) -> bool:
    """Whether a path has the parts between the stars, in order, the outer ones at its ends."""
    if "*" not in glob:
        return path == glob
    first, *inner, last = glob.split("*")
    if len(path) < len(first) + len(last) or not (path.startswith(first) and path.endswith(last)):
        return False
    rest = path[len(first) : len(path) - len(last)]
    for part in inner:
        if part not in rest:
            return False
        rest = rest[rest.index(part) + len(part) :]
    return True


def expected_breakdown(records: Iterable[Record], query: BreakdownQuery) -> Breakdown:
    rows = [row for row in in_range(records, query) if query.customer_id in (None, row[1])]
    paths, statuses = Counter(row[2] for row in rows), Counter(row[3] for row in rows)
    is_failed = _FAILED[query.failures]
    failed = Counter(row[2] for row in rows if is_failed(row[3]))
    ranked = sorted(paths, key=lambda path: (-paths[path], path.encode()))

    def p99(field: int, part: str | int) -> float | None:
        of_part = [row for row in rows if row[field] == part]
        return expected_summary(of_part).p99_latency if query.latencies else None

    return Breakdown(
        tuple(PathCount(path, paths[path], failed[path], p99(2, path)) for path in ranked[: query.top]),
        len(paths),
        tuple(
            StatusCount(
                status, statuses[status], statuses[status] if is_failed(status) else 0, p99(3, status)
            )
            for status in sorted(statuses)
        ),
    )


def assert_same_breakdown(found: Breakdown, expected: Breakdown) -> None:
    """Counts exactly, percentiles to 1e-9."""
    assert _without_latencies(found) == _without_latencies(expected)
    for part, wanted in zip(
        (*found.paths, *found.statuses), (*expected.paths, *expected.statuses), strict=True
    ):
        _assert_close(part.p99_latency, wanted.p99_latency, part)


def _without_latencies(breakdown: Breakdown) -> Breakdown:
    return Breakdown(
        tuple(replace(part, p99_latency=None) for part in breakdown.paths),
        breakdown.paths_total,
        tuple(replace(part, p99_latency=None) for part in breakdown.statuses),
    )


def expected_counts(records: Iterable[Record], query: CountsQuery) -> dict[tuple[str, int], tuple[int, int]]:
    """Requests and bad ones by customer and part."""
    requests: Counter[tuple[str, int]] = Counter()
    bad: Counter[tuple[str, int]] = Counter()
    for row in in_range(records, query):
        moment, customer_id, _, status, duration = row
        if query.customer_ids is not None and customer_id not in query.customer_ids:
            continue
        if query.limit_seconds is not None and duration is None:
            continue
        since = (moment - query.start) // timedelta(microseconds=1)
        place = (customer_id, since // query.part_us if query.part_us else 0)
        requests[place] += 1
        if query.limit_seconds is None or duration is None:
            bad[place] += _FAILED[query.failures](status)
        else:
            bad[place] += duration >= query.limit_seconds
    return {place: (number, bad[place]) for place, number in requests.items()}


def expected_requests(rows: Iterable[_Row], query: RequestsQuery) -> list[_Row]:
    """Rows (a record, its source and offset) of the range, in order, whatever the limit and the place."""
    found = [row for row in in_range(rows, query) if query.customer_id in (None, row[1])]
    return sorted(found, key=functools.partial(place_in_order, query), reverse=True)


def place_in_order(query: RequestsQuery, row: Sequence[Any]) -> tuple[Any, ...]:
    """What the last row of an order has most of: an unknown duration is below all others."""
    moment, _, _, _, duration, source, offset = row
    place = (moment, source.encode(), offset)
    return place if query.order == "newest" else (-1.0 if duration is None else duration, *place)


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
        _assert_close(getattr(found, name), getattr(expected, name), name)


def _assert_close(figure: float | None, wanted: float | None, what: object) -> None:
    if figure is None or wanted is None:
        assert figure is wanted, (what, figure, wanted)
    else:
        assert math.isclose(figure, wanted, rel_tol=1e-9, abs_tol=1e-12), (what, figure, wanted)


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
