"""The documents of the API as values: of each, the fields that commands show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import AliasPath, Field


@dataclass(frozen=True)
class Figures:
    """The seven figures of a set of requests: uptime in percent, latencies in seconds, None when unknown."""

    total_requests: int
    successful_requests: int
    failed_requests: int
    uptime: float | None
    average_latency: float | None
    median_latency: float | None
    p99_latency: float | None


@dataclass(frozen=True)
class Window(Figures):
    start: str


@dataclass(frozen=True)
class Customer(Figures):
    customer_id: str


@dataclass(frozen=True)
class TimeRange:
    """The range of the figures: ends are RFC 3339 text in the zone `tz`, None when open and without data."""

    start: Annotated[str | None, Field(alias="from")]
    end: Annotated[str | None, Field(alias="to")]
    tz: str
    failures: str
    # What counts, by the names of parameters; all requests without.
    filter: dict[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def range_text(self) -> str:
        return f"{self.start or 'beginning'} to {self.end or 'end'}"

    @property
    def filter_text(self) -> str:
        """What counts in words; empty where all requests do."""
        parts = []
        for name, value in self.filter.items():
            values = ", ".join(value) if isinstance(value, list) else f"{value:g} s"
            parts.append(f"{name.replace('_', ' ')} {values}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Stats(Figures, TimeRange):
    """Totals over the range, and one entry a window; `customer_id` is None for all together."""

    path: ClassVar = "/stats"

    customer_id: str | None
    every: str
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Customers(TimeRange):
    """One page of customers; `total` counts those of all pages."""

    path: ClassVar = "/customers"

    total: int
    next_cursor: str | None
    customers: tuple[Customer, ...]


@dataclass(frozen=True)
class PathRequests:
    path: str
    total_requests: int
    failed_requests: int
    p99_latency: float | None = None


@dataclass(frozen=True)
class StatusRequests:
    status_code: int
    total_requests: int
    failed_requests: int
    p99_latency: float | None = None


@dataclass(frozen=True)
class Breakdown(TimeRange):
    """Requests by path and by status; `customer_id` is None for all together."""

    path: ClassVar = "/breakdown"

    customer_id: str | None
    paths_total: int
    paths: tuple[PathRequests, ...]
    statuses: tuple[StatusRequests, ...]

    @property
    def has_latencies(self) -> bool:
        return any(each.p99_latency is not None for each in self.statuses)


@dataclass(frozen=True)
class LoggedRequest:
    """A request: its line begins at the byte `offset` of the log `source`, or is missing for a reason."""

    time: str
    customer_id: str
    path: str
    status_code: int
    duration: float | None
    failed: bool
    source_id: str
    source: str | None
    offset: int
    line: str | None = None
    line_missing: str | None = None


@dataclass(frozen=True)
class Requests(TimeRange):
    """One page of requests, the newest or the slowest first; `customer_id` is None for those of all."""

    path: ClassVar = "/requests"

    customer_id: str | None
    sort: str
    next_cursor: str | None
    requests: tuple[LoggedRequest, ...]


@dataclass(frozen=True)
class RejectedLine:
    """A line that could not be read: `offset` is the byte at which it begins in the log `path`.

    In a topic's partition it is as sources.packed gives it.
    """

    path: str
    offset: int
    reason: str
    line: str


@dataclass(frozen=True)
class Rejects:
    """One page of rejected lines, newest first; `total` counts those of all pages."""

    path: ClassVar = "/rejects"

    total: int
    next_cursor: str | None
    rejects: tuple[RejectedLine, ...]


@dataclass(frozen=True)
class ObjectiveBudget:
    """How an objective stands with a customer: percentages and burn rates are None without requests."""

    objective: str
    customer_id: str
    state: str
    target: float
    period: str
    total_requests: int
    bad_requests: int
    compliance: float | None
    left_requests: float
    left_percent: float | None
    burn_rate_1h: float | None
    burn_rate_6h: float | None
    runs_out_at: str | None


@dataclass(frozen=True)
class Objectives:
    """One page of objectives with their customers; `total` counts those of all pages."""

    path: ClassVar = "/objectives"

    at: str
    total: int
    next_cursor: str | None
    warnings: tuple[str, ...]
    objectives: tuple[ObjectiveBudget, ...]


@dataclass(frozen=True)
class Alert:
    """One rule's alert about one customer or source; times are RFC 3339 in UTC."""

    kind: str
    name: str
    subject: str
    severity: str
    state: str
    since: str
    summary: str
    silenced_by: str | None


@dataclass(frozen=True)
class Alerts:
    path: ClassVar = "/alerts"

    evaluated_at: str | None
    total: int
    warnings: tuple[str, ...]
    alerts: tuple[Alert, ...]


@dataclass(frozen=True)
class AlertHistory:
    """Alerts as they were when they began to fire or were resolved, the latest first."""

    path: ClassVar = "/alerts/history"

    total: int
    changes: tuple[Alert, ...]


@dataclass(frozen=True)
class Silence:
    path: ClassVar = "/silences"

    id: str
    customer: str
    rule: str
    until: str
    reason: str
    created_by: str


@dataclass(frozen=True)
class Silences:
    """Those that have not ended."""

    path: ClassVar = "/silences"

    silences: tuple[Silence, ...]


@dataclass(frozen=True)
class Report(TimeRange):
    """Every customer, and all of them together."""

    customers: tuple[Customer, ...]
    total: Figures


@dataclass(frozen=True)
class SourceReadiness:
    """How far one log is read; sizes and positions in bytes, of a topic's partition in offsets of Kafka."""

    source_id: str
    path: str
    device: int
    inode: int
    epoch: int
    state: str
    position: int
    size: int
    lag_bytes: int
    lag_seconds: float
    last_error: str | None
    format: str = ""  # as of a service of an older version
    lag_messages: int | None = None
    lost_messages: int = 0


@dataclass(frozen=True)
class WarningOfSource:
    """Why the lines of one log are probably not read as they are meant."""

    format: str
    text: str


def _of_ingestion(name: str) -> Any:
    return Field(validation_alias=AliasPath("ingestion", name))


@dataclass(frozen=True)
class Readiness:
    """Whether questions can be answered and lines are being read; `state` is None without a dataflow."""

    path: ClassVar = "/ready"

    ready: bool
    store_error: Annotated[str | None, Field(validation_alias=AliasPath("store", "error"))]
    state: Annotated[str | None, _of_ingestion("state")]
    last_error: Annotated[str | None, _of_ingestion("last_error")]
    commit_error: Annotated[str | None, _of_ingestion("store_error")]
    lost_bytes: Annotated[int, _of_ingestion("lost_bytes")]
    sources: tuple[SourceReadiness, ...]
    # As of a service of an older version.
    warnings: tuple[WarningOfSource, ...] = ()
    reasons: tuple[str, ...] = ()
    restricted: bool = False
    series: Annotated[int | None, Field(validation_alias=AliasPath("store", "series"))] = None
