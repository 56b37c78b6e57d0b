"""What is asked of a store and what it answers, with the definitions every store keeps to.

Success is a status from 1 to 399: a request without an answer (0) failed, whatever else counts as failed.
Latencies are in seconds; quantiles are exact, by linear interpolation at q·(n-1). Times are aware and in UTC;
ranges and windows are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from tailmetrics.status import SourceStatus

RecordOrder = Literal["newest", "slowest"]
Failures = Literal["4xx+5xx", "5xx", "5xx+429"]
UptimeMethod = Literal["requests", "good_windows"]
CustomerSort = Literal["customer_id", "requests", "failures", "uptime", "average", "median", "p99"]

MAX_WINDOWS = 50_000  # a month of minutes; an answer of so many has ten million bytes
MAX_FILLED_WINDOWS = 10_000
MAX_PAGE = 1000  # customers, beyond which the latencies of all of them are found at once
DAY_SECONDS = 86_400
UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Every:
    """The length of a window: whole days of the calendar, or seconds within a day, or one window (both 0)."""

    text: str
    days: int = 0
    seconds: int = 0

    @property
    def cuts(self) -> bool:
        """Whether there are more windows than the one for all."""
        return bool(self.days or self.seconds)


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests a query is about: those that meet every condition that is given.

    `*` in a path stands for any characters, none included; all else for itself. A path is one of `paths`, if
    there are any, and none of `other_paths`. `statuses` are ranges with both ends. A duration, in seconds, is
    at least `min_duration` and less than `max_duration`: with either, requests of unknown duration are out.
    """

    paths: tuple[str, ...] = ()
    other_paths: tuple[str, ...] = ()
    statuses: tuple[tuple[int, int], ...] = ()
    min_duration: float | None = None
    max_duration: float | None = None


ALL_REQUESTS: Final = RequestFilter()


@dataclass(frozen=True, slots=True)
class StatsQuery:
    """Statistics: without `customer_id` about all customers together, without bounds about all time."""

    customer_id: str | None
    every: Every
    start: datetime | None = None
    end: datetime | None = None
    zone: ZoneInfo = UTC
    failures: Failures = "4xx+5xx"
    uptime_method: UptimeMethod = "requests"
    objective: float = 99.0
    fill: bool = False
    only: RequestFilter = ALL_REQUESTS


@dataclass(frozen=True, slots=True)
class Summary:
    """The seven aggregates of a set of requests. Without requests the counts are 0 and the others None."""

    total_requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    uptime: float | None = None
    average_latency: float | None = None
    median_latency: float | None = None
    p99_latency: float | None = None


@dataclass(frozen=True, slots=True)
class WindowStats:
    """The aggregates of one window, [start, end)."""

    start: datetime
    end: datetime
    summary: Summary


@dataclass(frozen=True, slots=True)
class StatsAnswer:
    """Totals over the range and one entry a window.

    `start` and `end` are the range that was answered: an open end is the edge of the outermost window that
    has requests (with one window for all: the first request, and one microsecond after the last); None when
    the range is open and there is no request in it.
    """

    query: StatsQuery
    start: datetime | None
    end: datetime | None
    summary: Summary
    windows: tuple[WindowStats, ...]


@dataclass(frozen=True, slots=True)
class CustomersQuery:
    """All customers with their totals over a range, one page of them.

    `search` is a part of the id, by characters: of A to Z case does not count, of all others it does.
    Customers with fewer than `min_requests` in the range are left out. `after` is the cursor of the page
    before.
    """

    start: datetime | None = None
    end: datetime | None = None
    failures: Failures = "4xx+5xx"
    search: str = ""
    min_requests: int = 1
    sort: CustomerSort = "customer_id"
    descending: bool = False
    limit: int = 100
    after: str | None = None
    only: RequestFilter = ALL_REQUESTS


@dataclass(frozen=True, slots=True)
class CustomerStats:
    customer_id: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class CustomersPage:
    """`next_cursor` is None on the last page; `total` counts all customers that match."""

    customers: tuple[CustomerStats, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class BreakdownQuery:
    """Requests of one customer (without an id: of all) by path and by status; `top` paths are told apart.

    With `latencies` each part has its 99th percentile, which takes a look at every duration.
    """

    customer_id: str | None
    start: datetime | None = None
    end: datetime | None = None
    failures: Failures = "4xx+5xx"
    top: int = 10
    latencies: bool = False
    only: RequestFilter = ALL_REQUESTS


@dataclass(frozen=True, slots=True)
class PathCount:
    path: str
    requests: int
    failed: int
    p99_latency: float | None = None


@dataclass(frozen=True, slots=True)
class StatusCount:
    """`failed` is all of `requests` or 0, as the query's `failures` has it."""

    status_code: int
    requests: int
    failed: int
    p99_latency: float | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The paths with the most requests, then by path; every status in ascending order.

    `paths_total` counts all paths in the range.
    """

    paths: tuple[PathCount, ...] = ()
    paths_total: int = 0
    statuses: tuple[StatusCount, ...] = ()


@dataclass(frozen=True, slots=True)
class TrendsQuery:
    """How the requests of some customers spread over [start, end), which is cut into `parts`.

    A part is as long as `part_us` says, which is `length_us` if that is given; the last one may be shorter.
    """

    customer_ids: tuple[str, ...]
    start: datetime
    end: datetime
    parts: int
    failures: Failures = "4xx+5xx"
    length_us: int = 0
    only: RequestFilter = ALL_REQUESTS

    @property
    def part_us(self) -> int:
        """Length of a part in microseconds."""
        if self.length_us:
            return self.length_us
        span = (self.end - self.start) // timedelta(microseconds=1)
        return max(1, -(-span // self.parts))

    @property
    def counts(self) -> CountsQuery:
        """What tells of these customers how many requests each part has."""
        return CountsQuery(
            self.start,
            self.end,
            self.part_us,
            self.failures,
            customer_ids=self.customer_ids,
            only=self.only,
        )


@dataclass(frozen=True, slots=True)
class Trend:
    """Requests and failed ones of a customer, part by part."""

    customer_id: str
    requests: tuple[int, ...]
    failed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CountsQuery:
    """How many requests of each customer are bad, in [start, end) cut into parts of `part_us`, or whole (0).

    Bad are those that failed, or with `limit_seconds` those that took so long or longer: then requests of
    unknown duration are not counted at all. None for all customers.
    """

    start: datetime
    end: datetime
    part_us: int = 0
    failures: Failures = "4xx+5xx"
    limit_seconds: float | None = None
    customer_ids: tuple[str, ...] | None = None
    only: RequestFilter = ALL_REQUESTS


@dataclass(frozen=True, slots=True)
class RejectsQuery:
    """Rejected lines, newest first. `after` is the cursor of the page before."""

    limit: int = 100
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that is no record: `offset` in bytes, `seen_at` when it was committed."""

    source_id: str
    path: str
    offset: int
    reason: str
    line: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class RejectsPage:
    rejects: tuple[Reject, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where a record is in the order of all: by time, then the id of its source, then its offset in that."""

    timestamp: datetime
    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class RecordsQuery:
    """Records themselves, of one customer or of all, from the one behind `after` on."""

    customer_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    after: RecordPlace | None = None
    only: RequestFilter = ALL_REQUESTS


@dataclass(frozen=True, slots=True)
class RequestsQuery:
    """The first `limit` requests behind `after`, a duration (seconds) and a place, in an order from its end.

    The newest are the last by time, source and offset; the slowest are ordered by duration, those of equal
    duration as the newest, and those of unknown duration come last.
    """

    customer_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    only: RequestFilter = ALL_REQUESTS
    order: RecordOrder = "newest"
    limit: int = 100
    after: tuple[float | None, RecordPlace] | None = None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What is in the store, and what processors last said.

    `version` changes with each commit, by whichever process, and none comes again.
    """

    version: str
    records: int
    rejects: int
    blanks: int
    sources: tuple[SourceStatus, ...] = ()
