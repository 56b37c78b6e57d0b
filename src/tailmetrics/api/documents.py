"""Documents of the API, made of what the store and the dataflow said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import pydantic_core
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api.filters import filter_document
from tailmetrics.api.jobs import Load
from tailmetrics.api.queries import Range
from tailmetrics.api.schemas import (
    Breakdown,
    Customer,
    Customers,
    Figures,
    Filtered,
    LoggedRequest,
    PartLatency,
    RejectedLine,
    Rejects,
    Requests,
    Stats,
    Window,
)
from tailmetrics.api.service_schemas import (
    LineTotals,
    Loaded,
    LoadedFile,
    LoadState,
    LoadStateName,
    SourceReadiness,
    WarningOfSource,
)
from tailmetrics.api.times import formatter
from tailmetrics.errors import LoadError
from tailmetrics.sources import place_in
from tailmetrics.stats import Breakdown as BreakdownCounts
from tailmetrics.stats import (
    BreakdownQuery,
    CustomersPage,
    CustomersQuery,
    CustomerStats,
    Failures,
    PathCount,
    RejectsPage,
    RequestFilter,
    RequestsQuery,
    StatsAnswer,
    StatusCount,
    Summary,
)
from tailmetrics.status import LoadProgress, SourceStatus

_UTC = ZoneInfo("UTC")
MANY_SERIES = 1_000_000  # of which InfluxDB has some gigabytes in memory
_FEW_WINDOWS = 1000  # take less time than it takes to go to another thread and back

_Built = TypeVar("_Built")


def to_json(content: Any) -> bytes:
    """JSON; a float that JSON lacks is null."""
    return pydantic_core.to_json(content, inf_nan_mode="null")


def json_response(content: Any, status: int = 200) -> Response:
    """One of the shapes of `schemas` as a response, which is of this moment and not to be kept."""
    return Response(to_json(content), status, {"Cache-Control": "no-store"}, "application/json")


async def built(windows: int, make: Callable[[], _Built]) -> _Built:
    """What `make` builds, beside the event loop where it is of many windows."""
    return make() if windows <= _FEW_WINDOWS else await asyncio.to_thread(make)


def stats(answer: StatsAnswer) -> Stats:
    """The document, whose windows can be gone through once."""
    query = answer.query
    write = formatter(query.zone)
    # Made while they are written: a list of many dictionaries takes more memory than what is written of them.
    windows = (
        {"start": write(window.start), "end": write(window.end), **_figures(window.summary)}
        for window in answer.windows
    )
    return {
        "customer_id": query.customer_id,
        "from": write(answer.start) if answer.start is not None else None,
        "to": write(answer.end) if answer.end is not None else None,
        "every": query.every.text,
        "tz": query.zone.key,
        "failures": query.failures,
        **_filter(query.only),
        "uptime_method": query.uptime_method,
        **_figures(answer.summary),
        "windows": cast(list[Window], windows),
    }


def customers(page: CustomersPage, query: CustomersQuery, asked: Range) -> Customers:
    write = formatter(asked.zone)
    return {
        "from": write(query.start) if query.start is not None else None,
        "to": write(query.end) if query.end is not None else None,
        "tz": asked.zone.key,
        "failures": query.failures,
        **_filter(query.only),
        "total": page.total,
        "next_cursor": page.next_cursor,
        "customers": [customer(each) for each in page.customers],
    }


def customer(stats: CustomerStats) -> Customer:
    return {"customer_id": stats.customer_id, **_figures(stats.summary)}


def breakdown(answer: BreakdownCounts, query: BreakdownQuery, asked: Range) -> Breakdown:
    write = formatter(asked.zone)
    return {
        "customer_id": query.customer_id,
        "from": write(query.start) if query.start is not None else None,
        "to": write(query.end) if query.end is not None else None,
        "tz": asked.zone.key,
        "failures": query.failures,
        **_filter(query.only),
        "paths_total": answer.paths_total,
        "paths": [
            {
                "path": each.path,
                "total_requests": each.requests,
                "failed_requests": each.failed,
                **_p99(query, each),
            }
            for each in answer.paths
        ],
        "statuses": [
            {
                "status_code": each.status_code,
                "total_requests": each.requests,
                "failed_requests": each.failed,
                **_p99(query, each),
            }
            for each in answer.statuses
        ],
    }


def requests(
    rows: Sequence[LoggedRequest], query: RequestsQuery, failures: Failures, asked: Range, cursor: str | None
) -> Requests:
    write = formatter(asked.zone)
    return {
        "customer_id": query.customer_id,
        "from": write(query.start) if query.start is not None else None,
        "to": write(query.end) if query.end is not None else None,
        "tz": asked.zone.key,
        "failures": failures,
        **_filter(query.only),
        "sort": query.order,
        "next_cursor": cursor,
        "requests": list(rows),
    }


def rejects(page: RejectsPage) -> Rejects:
    write = formatter(_UTC)
    lines: list[RejectedLine] = [
        {
            "source_id": reject.source_id,
            "path": reject.path,
            "offset": reject.offset,
            "place": place_in(reject.path, reject.offset),
            "reason": reject.reason,
            "line": reject.line,
            "seen_at": write(reject.seen_at),
        }
        for reject in page.rejects
    ]
    return {"total": page.total, "next_cursor": page.next_cursor, "rejects": lines}


def sources(statuses: Sequence[SourceStatus]) -> list[SourceReadiness]:
    write = formatter(_UTC)
    return [
        cast(
            SourceReadiness,
            {
                **{name: getattr(status, name) for name in SourceReadiness.__annotations__},
                "updated_at": write(status.updated_at) if status.updated_at is not None else None,
            },
        )
        for status in statuses
    ]


def warnings(
    statuses: Sequence[SourceStatus], access: str | None = None, series: int | None = None
) -> list[WarningOfSource]:
    """Those of sources, and behind them what is to be said of `access` to the service, and of `series`."""
    found: list[WarningOfSource] = [
        {
            "source_id": status.source_id,
            "path": status.path,
            "format": status.format,
            "kind": each.kind,
            "text": each.text,
        }
        for status in statuses
        for each in status.warnings
    ]
    if access is not None:
        found.append({"source_id": "", "path": "", "format": "", "kind": "access", "text": access})
    if series is not None and series >= MANY_SERIES:
        text = (
            f"InfluxDB has {series:,} series, each of which takes some 3 KB of its memory: one for each "
            "customer, status and lane. LOG_CUSTOMER says who is a customer, RETENTION_DAYS how long one "
            "stays; from a million on PostgreSQL is the better store"
        )
        found.append({"source_id": "", "path": "", "format": "", "kind": "series", "text": text})
    return found


def loaded(progresses: Sequence[tuple[str, LoadProgress]]) -> Loaded:
    """What became of logs. Raises LoadError when one failed, HTTPException 503 when one was given up."""
    if any(progress.state not in {"done", "failed"} for _, progress in progresses):
        raise HTTPException(
            503, "The service stopped before the load was done; load it again, nothing counts twice."
        )
    if failures := [f"{name}: {each.error}" for name, each in progresses if each.state == "failed"]:
        raise LoadError("; ".join(failures))
    files = [loaded_file(name, progress) for name, progress in progresses]
    return {
        "files": files,
        "totals": {
            "bytes": sum(progress.bytes_total for _, progress in progresses),
            **_line_totals(progresses),
        },
    }


def load_state(load: Load) -> LoadState:
    """How far a job is: it failed when one of its logs did, and is done when all are."""
    progresses = load.progresses()
    states = {progress.state for _, progress in progresses}
    state: LoadStateName = "running"
    if states <= {"done", "failed"}:
        state = "failed" if "failed" in states else "done"
    elif states == {"queued"}:
        state = "queued"
    return {
        "job": load.job_id,
        "state": state,
        "bytes": sum(progress.bytes_done for _, progress in progresses),
        "bytes_total": sum(progress.bytes_total for _, progress in progresses),
        **_line_totals(progresses),
        "error": "; ".join(f"{name}: {each.error}" for name, each in progresses if each.error) or None,
        "files": [
            {
                **loaded_file(name, progress),
                "bytes_done": progress.bytes_done,
                "state": progress.state,
                "error": progress.error,
            }
            for name, progress in progresses
        ],
    }


def loaded_file(name: str, progress: LoadProgress) -> LoadedFile:
    return {
        "name": name,
        "bytes": progress.bytes_total,
        **_line_totals([(name, progress)]),
        "already_loaded": progress.already_loaded,
        "warning": progress.warning(name),
        "reasons": [{"reason": each.text, "lines": each.lines} for each in progress.reasons],
    }


def _filter(only: RequestFilter) -> Filtered:
    found = filter_document(only)
    return {"filter": found} if found else {}


def _p99(query: BreakdownQuery, part: PathCount | StatusCount) -> PartLatency:
    return {"p99_latency": part.p99_latency} if query.latencies else {}


def _line_totals(progresses: Sequence[tuple[str, LoadProgress]]) -> LineTotals:
    return {
        "lines": sum(progress.lines for _, progress in progresses),
        "records": sum(progress.records for _, progress in progresses),
        "rejects": sum(progress.rejects for _, progress in progresses),
        "blanks": sum(progress.blanks for _, progress in progresses),
    }


def _figures(summary: Summary) -> Figures:
    return {
        "total_requests": summary.total_requests,
        "successful_requests": summary.successful_requests,
        "failed_requests": summary.failed_requests,
        "uptime": summary.uptime,
        "average_latency": summary.average_latency,
        "median_latency": summary.median_latency,
        "p99_latency": summary.p99_latency,
    }
