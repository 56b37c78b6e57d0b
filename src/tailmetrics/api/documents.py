"""Answers as JSON, made of what the store and the dataflow said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import to_json
from starlette.responses import Response

from tailmetrics.api.jobs import Load
from tailmetrics.api.queries import Range
from tailmetrics.api.schemas import (
    Breakdown,
    Customers,
    Figures,
    LoadedFile,
    LoadState,
    LoadStateName,
    Rejects,
    SourceReadiness,
    Stats,
)
from tailmetrics.api.times import formatter
from tailmetrics.stats import Breakdown as BreakdownCounts
from tailmetrics.stats import (
    BreakdownQuery,
    CustomersPage,
    CustomersQuery,
    RejectsPage,
    StatsAnswer,
    Summary,
)
from tailmetrics.status import LoadProgress, SourceStatus

_UTC = ZoneInfo("UTC")


def json_response(content: Any, status: int = 200) -> Response:
    """One of the shapes of `models` as a response; answers are of this moment and not to be kept."""
    return Response(to_json(content), status, {"Cache-Control": "no-store"}, "application/json")


def stats(answer: StatsAnswer) -> Stats:
    query = answer.query
    write = formatter(query.zone)
    return {
        "customer_id": query.customer_id,
        "from": write(answer.start) if answer.start is not None else None,
        "to": write(answer.end) if answer.end is not None else None,
        "every": query.every.text,
        "tz": query.zone.key,
        "failures": query.failures,
        "uptime_method": query.uptime_method,
        **_figures(answer.summary),
        "windows": [
            {"start": write(window.start), "end": write(window.end), **_figures(window.summary)}
            for window in answer.windows
        ],
    }


def customers(page: CustomersPage, query: CustomersQuery, asked: Range) -> Customers:
    write = formatter(asked.zone)
    return {
        "from": write(query.start) if query.start is not None else None,
        "to": write(query.end) if query.end is not None else None,
        "tz": asked.zone.key,
        "failures": query.failures,
        "total": page.total,
        "next_cursor": page.next_cursor,
        "customers": [
            {"customer_id": customer.customer_id, **_figures(customer.summary)} for customer in page.customers
        ],
    }


def breakdown(answer: BreakdownCounts, query: BreakdownQuery, asked: Range) -> Breakdown:
    write = formatter(asked.zone)
    return {
        "customer_id": query.customer_id,
        "from": write(query.start) if query.start is not None else None,
        "to": write(query.end) if query.end is not None else None,
        "tz": asked.zone.key,
        "failures": query.failures,
        "paths_total": answer.paths_total,
        "paths": [
            {"path": each.path, "total_requests": each.requests, "failed_requests": each.failed}
            for each in answer.paths
        ],
        "statuses": [
            {
                "status_code": each.status_code,
                "total_requests": each.requests,
                "failed_requests": each.failed,
            }
            for each in answer.statuses
        ],
    }


def rejects(page: RejectsPage) -> Rejects:
    write = formatter(_UTC)
    return {
        "total": page.total,
        "next_cursor": page.next_cursor,
        "rejects": [
            {
                "source_id": reject.source_id,
                "path": reject.path,
                "offset": reject.offset,
                "reason": reject.reason,
                "line": reject.line,
                "seen_at": write(reject.seen_at),
            }
            for reject in page.rejects
        ],
    }


def sources(statuses: Sequence[SourceStatus]) -> list[SourceReadiness]:
    write = formatter(_UTC)
    return [
        {
            "source_id": status.source_id,
            "path": status.path,
            "device": status.device,
            "inode": status.inode,
            "epoch": status.epoch,
            "state": status.state,
            "position": status.position,
            "size": status.size,
            "lag_bytes": status.lag_bytes,
            "lag_seconds": status.lag_seconds,
            "last_error": status.last_error,
            "updated_at": write(status.updated_at) if status.updated_at is not None else None,
        }
        for status in statuses
    ]


def loaded_file(name: str, progress: LoadProgress) -> LoadedFile:
    return {
        "name": name,
        "bytes": progress.bytes_total,
        "lines": progress.lines,
        "records": progress.records,
        "rejects": progress.rejects,
        "blanks": progress.blanks,
        "already_loaded": progress.already_loaded,
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
        "lines": sum(progress.lines for _, progress in progresses),
        "records": sum(progress.records for _, progress in progresses),
        "rejects": sum(progress.rejects for _, progress in progresses),
        "blanks": sum(progress.blanks for _, progress in progresses),
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
