"""The service about itself: alive, ready, and its metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any, Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api import documents
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.service_schemas import (
    Health,
    IngestionReadiness,
    Readiness,
    Serving,
    StoreReadiness,
    WarningOfSource,
)
from tailmetrics.errors import StoreError
from tailmetrics.objectives.notifications.outbox import delivery_status
from tailmetrics.status import SourceStatus

STORE_ANSWER_SECONDS = 5.0  # a store that takes longer to answer a ping counts as away

_ENDING = "this process was told to end, and answers what still comes for a while"
_SHOWN_WITH_A_KEY = "the reason is shown to those with a key"

router = APIRouter(tags=["service"])


@router.get(
    "/health",
    summary="Whether the process answers",
    operation_id="health",
    responses={200: {"model": Health}, **problem_responses()},
)
async def health() -> Response:
    """Looks at nothing else; for restarting a process that hangs."""
    content: Health = {"status": "alive", "version": version("tailmetrics")}
    return documents.json_response(content)


@router.get(
    "/serving",
    summary="Whether requests are to be sent to this process",
    operation_id="serving",
    responses={
        200: {"model": Serving},
        503: {"model": Serving, "description": "Its store does not answer it, or the process is ending."},
        **problem_responses(),
    },
)
async def serving(request: Request, services: Context) -> Response:
    """For a balancer of several processes: looks at nothing that is the same for all, as a missing log."""
    reason = _ENDING if _is_ending(request) else None
    if reason is None and await _store_error(services.store.ping()) is not None:
        reason = "its store does not answer it; /ready says more"
    content: Serving = {"serving": reason is None, "reason": reason}
    return documents.json_response(content, 503 if reason else 200)


@router.get(
    "/ready",
    summary="Whether the store answers and lines are being read",
    operation_id="ready",
    responses={
        200: {"model": Readiness},
        503: {
            "model": Readiness,
            "description": "The store does not answer, no lines are being read, a path never had a file, or "
            "the process is ending.",
        },
        **problem_responses(),
    },
)
async def ready(request: Request, services: Context) -> Response:
    """A path that never had a file, for 3 seconds after the start, is a reason not to be ready.

    A log that is away for now, cannot be read or has no format yet is shown under `sources`, one whose lines
    are probably read in a wrong format or unit under `warnings`. The service is ready all the same. Where
    reading needs a key, nothing but what is ready is said without one.
    """
    error, statuses = await _look(services)
    store: StoreReadiness = {"answers": error is None, "error": error}
    series = await _series(services) if error is None else None
    if series is not None:
        store["series"] = series
    ingestion = ingestion_readiness(services)
    crash = ingestion["last_error"] if ingestion["state"] not in {"running", None} else None
    faults = (status.fault for status in statuses)
    ending = _ENDING if _is_ending(request) else None
    reasons = [*filter(None, (ending, error, ingestion["store_error"], crash, *faults))]
    content: Readiness = {
        "ready": not reasons and ingestion["state"] in {"running", None},
        "reasons": reasons,
        "store": store,
        "ingestion": ingestion,
        "sources": documents.sources(statuses),
        "warnings": [
            *documents.warnings(statuses, services.access_warning, series),
            *_key_warnings(services),
            *_objective_warnings(services),
            *_alert_warnings(services),
        ],
    }
    if not services.access.may_read(request.scope):
        content = _without_names(content)
    return documents.json_response(content, 200 if content["ready"] else 503)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses={
        200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}},
        **problem_responses(),
    },
)
async def metrics(services: Context) -> Response:
    """Lines, bytes, rejects by field, seconds of commits, lag of each log, and answered requests."""
    return Response(services.metrics.render(), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/metrics/customers",
    summary="Metrics for Prometheus by customer",
    operation_id="customer_metrics",
    response_class=Response,
    responses={
        200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}},
        **problem_responses(404),
    },
)
async def customer_metrics(services: Context) -> Response:
    """Requests by status class and durations, of METRICS_CUSTOMERS_MAX customers and of all others together.

    They are counted as they are committed by this process, from 0 on.
    """
    if services.ingestion is None or not services.metrics.customers.is_on:
        found = (
            "METRICS_CUSTOMERS_MAX=0, expected the number of customers"
            if services.ingestion is not None
            else "a process that only answers questions, expected one that reads lines (up or ingest)"
        )
        raise HTTPException(404, f"/metrics/customers: found {found}")
    return Response(services.metrics.render_customers(), media_type=CONTENT_TYPE_LATEST)


def _key_warnings(services: Services) -> list[WarningOfSource]:
    return [_warning("keys", path, text) for path, text in services.access.keyring.problems()]


def _warning(
    kind: Literal["keys", "objectives", "alerts", "receivers"], path: str, text: str
) -> WarningOfSource:
    return {"source_id": "", "path": path, "format": "", "kind": kind, "text": text}


def _objective_warnings(services: Services) -> list[WarningOfSource]:
    file = services.objectives
    if file is None:
        return []
    file.current()
    text, path = file.problem, file.path
    return [] if text is None else [_warning("objectives", path, text)]


def _alert_warnings(services: Services) -> list[WarningOfSource]:
    """Where this process evaluates alerts: why it does not get on, and what receivers were not told."""
    evaluator, file = services.evaluator, services.objectives
    if evaluator is None or file is None:
        return []
    waiting = delivery_status(evaluator.keeper.book.outbox) if evaluator.is_leading else ()
    problem = evaluator.problem
    found = [] if problem is None else [_warning("alerts", file.path, f"alerts are not evaluated: {problem}")]
    return [*found, *(_warning("receivers", file.path, str(each)) for each in waiting)]


def _without_names(content: Readiness) -> Readiness:
    """What a probe needs to know; texts of errors may tell paths and hosts."""
    ingestion, store = content["ingestion"], content["store"]
    errors = (ingestion["last_error"], ingestion["store_error"], store["error"])
    last, commits, answer = (None if error is None else _SHOWN_WITH_A_KEY for error in errors)
    return {
        "ready": content["ready"],
        "store": {"answers": store["answers"], "error": answer},
        "ingestion": {**ingestion, "last_error": last, "store_error": commits},
        "sources": [],
        "warnings": [],
        "reasons": [_SHOWN_WITH_A_KEY] if content["reasons"] else [],
        "restricted": True,
    }


async def _look(services: Services) -> tuple[str | None, tuple[SourceStatus, ...]]:
    """Why the store does not answer, None when it does, and what is known of the sources."""
    if services.ingestion is not None:
        return await _store_error(services.store.ping()), tuple(services.ingestion.sources())
    known: list[SourceStatus] = []

    async def look() -> None:
        known.extend((await services.store.status()).sources)

    return await _store_error(look()), tuple(known)


async def _store_error(asking: Coroutine[Any, Any, None]) -> str | None:
    """Why the store does not answer what it is asked, None when it does."""
    try:
        await asyncio.wait_for(asking, STORE_ANSWER_SECONDS)
    except asyncio.TimeoutError:
        return f"no answer within {STORE_ANSWER_SECONDS:g} seconds"
    except StoreError as error:
        return str(error)
    return None


def _is_ending(request: Request) -> bool:
    return getattr(request.app.state, "is_ending", False)


async def _series(services: Services) -> int | None:
    with contextlib.suppress(StoreError, asyncio.TimeoutError):
        return await asyncio.wait_for(services.store.series(), STORE_ANSWER_SECONDS)
    return None


def ingestion_readiness(services: Services) -> IngestionReadiness:
    if services.ingestion is None:
        return {"state": None, "last_error": None, "store_error": None, "lost_bytes": 0}
    state = services.ingestion.state()
    return {
        "state": state.name,
        "last_error": state.last_error,
        "store_error": state.store_error,
        "lost_bytes": state.lost_bytes,
    }
