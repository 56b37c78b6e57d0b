"""Alerts, what became of them, and silences."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api import documents
from tailmetrics.api.alerts import (
    AlertHistory,
    Alerts,
    AlertsParameters,
    SilenceAsked,
    SilenceEntry,
    Silences,
    alerts_document,
    history_document,
    silence_entry,
)
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.access import identity_of
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import only_parameters_of
from tailmetrics.api.times import LATEST
from tailmetrics.errors import QueryError
from tailmetrics.objectives.alerts.silences import add_silence, end_silence, silences_at
from tailmetrics.objectives.alerts.states import ALERTS, Book
from tailmetrics.objectives.file import NOT_SET
from tailmetrics.telemetry.log import EventLog
from tailmetrics.windows import length_of

log = EventLog()
router = APIRouter(tags=["alerts"])


@router.get(
    "/alerts",
    summary="Alerts",
    operation_id="alerts",
    dependencies=[Depends(only_parameters_of(AlertsParameters))],
    responses={200: {"model": Alerts}, **problem_responses(422, 503)},
)
async def alerts(parameters: Annotated[AlertsParameters, Query()], services: Context) -> Response:
    """What fires, what is about to, and what was resolved within the last hour.

    Without the setting OBJECTIVES nothing is evaluated, and a warning says so.
    """
    book = await _book(services)
    is_set = services.objectives is not None and services.objectives.path
    problem = None if services.evaluator is None else services.evaluator.problem
    warnings = [*([] if is_set else [NOT_SET]), *filter(None, [problem])]
    return documents.json_response(alerts_document(book.alerts, parameters, book.evaluated_at, warnings))


@router.get(
    "/alerts/history",
    summary="What became of alerts",
    operation_id="alert_history",
    dependencies=[Depends(only_parameters_of(AlertsParameters))],
    responses={200: {"model": AlertHistory}, **problem_responses(422, 503)},
)
async def history(parameters: Annotated[AlertsParameters, Query()], services: Context) -> Response:
    """The last thousand changes: which alerts began to fire or were resolved, when, and with what figures."""
    return documents.json_response(history_document((await _book(services)).history, parameters))


@router.get(
    "/silences",
    summary="Silences",
    operation_id="silences",
    responses={200: {"model": Silences}, **problem_responses(503)},
)
async def silences(services: Context) -> Response:
    """Of which alerts nobody is told, until when, and why."""
    found = await silences_at(services.store, datetime.now(timezone.utc))
    content: Silences = {"silences": [silence_entry(each) for each in found]}
    return documents.json_response(content)


@router.post(
    "/silences",
    summary="Begin a silence",
    operation_id="begin_silence",
    status_code=201,
    responses={201: {"model": SilenceEntry}, **problem_responses(400, 413, 422, 503)},
)
async def begin(asked: Annotated[SilenceAsked, Body()], request: Request, services: Context) -> Response:
    """Alerts that match are evaluated and shown, and not sent; those that still fire at its end are then."""
    now = datetime.now(timezone.utc)
    identity = identity_of(request)
    names = {} if identity is None else identity.names()
    silence = await add_silence(
        services.store,
        customer=asked.customer,
        rule=asked.rule,
        until=_end_of(asked, now),
        reason=asked.reason,
        created_by=asked.created_by or names.get("user") or names.get("key") or "",
        now=now,
    )
    log.info("silence begun", id=silence.id, customer=silence.customer, rule=silence.rule, **names)
    return documents.json_response(silence_entry(silence), 201)


@router.delete(
    "/silences/{silence_id}",
    summary="End a silence",
    operation_id="end_silence",
    responses={200: {"model": SilenceEntry}, **problem_responses(404, 503)},
)
async def end(
    silence_id: Annotated[str, Path(description="As `/silences` has it.")],
    request: Request,
    services: Context,
) -> Response:
    """Alerts that it silenced, and that still fire, are sent with the next evaluation."""
    silence = await end_silence(services.store, silence_id, datetime.now(timezone.utc))
    if silence is None:
        raise HTTPException(
            404, f"found no silence {silence_id!r} that has not ended; `/silences` lists them"
        )
    identity = identity_of(request)
    log.info("silence ended", id=silence.id, **({} if identity is None else identity.names()))
    return documents.json_response(silence_entry(silence))


async def _book(services: Services) -> Book:
    """With the figures of the last evaluation where this process made it, else as it was kept last."""
    evaluator = services.evaluator
    if evaluator is not None and evaluator.is_leading and evaluator.keeper.book.evaluated_at is not None:
        return evaluator.keeper.book
    return Book.from_json((await services.store.note(ALERTS)).text)


def _end_of(asked: SilenceAsked, now: datetime) -> datetime:
    if (asked.until is None) == (asked.for_ is None):
        found = "none" if asked.until is None else "both"
        raise QueryError("until", found, "either `until`, a time, or `for`, such as 2h")
    if asked.until is not None:
        if asked.until > LATEST:
            raise QueryError("until", asked.until.isoformat(), f"a time before {LATEST:%Y-%m-%d}")
        return asked.until
    return now + timedelta(seconds=length_of(asked.for_ or "") or 0)
