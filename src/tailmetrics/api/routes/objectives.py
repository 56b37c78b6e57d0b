"""Whether what was promised to customers is kept: their objectives and what is left of the budgets."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime, timezone
from typing import Annotated, cast
from zoneinfo import ZoneInfo

import polars as pl
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from tailmetrics.api import csv, documents
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.objectives import Objectives, objectives_document
from tailmetrics.api.parameters import (
    AllObjectivesParameters,
    CustomerId,
    ObjectivesParameters,
    only_parameters_of,
)
from tailmetrics.api.times import parse_time
from tailmetrics.errors import QueryError
from tailmetrics.objectives.budgets import Budget, Budgets, budgets_at
from tailmetrics.objectives.definitions import Document
from tailmetrics.objectives.file import NOT_SET, ObjectivesFile
from tailmetrics.stats import BreakdownQuery, CountsQuery
from tailmetrics.stores.base import Queries
from tailmetrics.stores.cursors import cursor_to, place_of

router = APIRouter(tags=["objectives"])

_LISTING = "objectives"


@router.get(
    "/customers/{customer_id:path}/objectives",
    summary="Objectives of one customer",
    operation_id="customer_objectives",
    dependencies=[Depends(only_parameters_of(ObjectivesParameters))],
    responses={200: {"model": Objectives, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def customer_objectives(
    customer_id: Annotated[CustomerId, Path(description="The customer, percent-encoded.")],
    parameters: Annotated[ObjectivesParameters, Query()],
    request: Request,
    services: Context,
) -> Response:
    """Each objective that is for this customer: its compliance, its budget, and how fast that burns."""
    return await _answer(parameters, customer_id, request, services)


@router.get(
    "/objectives",
    summary="Objectives of all customers",
    operation_id="objectives",
    dependencies=[Depends(only_parameters_of(AllObjectivesParameters))],
    responses={200: {"model": Objectives, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def objectives(
    parameters: Annotated[AllObjectivesParameters, Query()], request: Request, services: Context
) -> Response:
    """Each objective with each customer that it is for, the one with the least budget left first.

    Without the setting OBJECTIVES there are none, and a warning says so.
    """
    return await _answer(parameters, parameters.customer, request, services)


async def _answer(
    parameters: ObjectivesParameters, customer_id: str | None, request: Request, services: Services
) -> Response:
    file = cast(ObjectivesFile, services.objectives)  # as the app that has these routes has it
    document = file.current()
    at = _moment(parameters.at)
    first = place_of(_LISTING, parameters.cursor, 0)
    _check_name(parameters.objective, document)
    mark = await services.history.refresh()
    async with services.asking() as store, store.snapshot() as queries:

        def count(query: CountsQuery) -> Awaitable[pl.DataFrame]:
            return services.history.counts(queries, query, mark)

        found = await budgets_at(count, document, at, customer_id=customer_id, name=parameters.objective)
        if customer_id is not None and not found.budgets:
            await _check_known(queries, customer_id, at)
    ordered = _ordered(found, parameters.sort)
    page = ordered[first : first + parameters.limit]
    end = first + len(page)
    cursor = cursor_to(_LISTING, end) if page and end < len(ordered) else None
    warnings = [*found.warnings, *([] if file.path else [NOT_SET]), *filter(None, [file.problem])]
    answer = await documents.built(
        len(page), lambda: objectives_document(page, at, len(ordered), cursor, warnings)
    )
    if csv.wants_csv(parameters.format, request.headers.get("accept")):
        return csv.linked(csv.objectives_csv(answer), request, cursor)
    return documents.json_response(answer)


def _moment(text: str | None) -> datetime:
    now = datetime.now(timezone.utc)
    try:
        return now if text is None else parse_time(text, ZoneInfo("UTC"), now)
    except ValueError as error:
        raise QueryError("at", text, str(error)) from None


def _check_name(name: str | None, document: Document) -> None:
    names = [objective.name for objective in document.objectives]
    if name is not None and name not in names:
        expected = f"one of {', '.join(names)}" if names else "none, as there are no objectives"
        raise QueryError("objective", name, expected)


async def _check_known(store: Queries, customer_id: str, at: datetime) -> None:
    """Raises UnknownCustomer."""
    await store.breakdown(BreakdownQuery(customer_id, at, at, top=1))


def _ordered(found: Budgets, sort: str) -> Sequence[Budget]:
    key, descends = sort.removeprefix("-"), sort.startswith("-")
    if key == "customer_id":
        return sorted(found.budgets, key=lambda each: each.customer_id, reverse=descends)
    left = [(each.left_percent, each) for each in found.budgets]
    known = sorted(
        ((percent, each) for percent, each in left if percent is not None),
        key=lambda pair: pair[0],
        reverse=descends,
    )
    return [each for _, each in known] + [each for percent, each in left if percent is None]
