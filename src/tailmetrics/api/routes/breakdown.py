"""Requests by path and by status, of one customer or of all together."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from tailmetrics.api import csv, documents
from tailmetrics.api.admission import Weight
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import (
    AllBreakdownParameters,
    BreakdownParameters,
    CustomerId,
    only_parameters_of,
)
from tailmetrics.api.queries import breakdown_query
from tailmetrics.api.schemas import Breakdown

router = APIRouter(tags=["statistics"])


@router.get(
    "/customers/{customer_id:path}/breakdown",
    summary="Requests of one customer by path and by status",
    operation_id="customer_breakdown",
    dependencies=[Depends(only_parameters_of(BreakdownParameters))],
    responses={200: {"model": Breakdown, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def customer_breakdown(
    customer_id: Annotated[CustomerId, Path(description="The customer, percent-encoded.")],
    parameters: Annotated[BreakdownParameters, Query()],
    request: Request,
    services: Context,
) -> Response:
    """The paths with the most requests, and every status, with how many of the requests failed.

    `latencies` gives the 99th percentile of each, too.
    """
    return await _answer(parameters, customer_id, request, services)


@router.get(
    "/breakdown",
    summary="Requests of all customers by path and by status",
    operation_id="all_breakdown",
    dependencies=[Depends(only_parameters_of(AllBreakdownParameters))],
    responses={200: {"model": Breakdown, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def all_breakdown(
    parameters: Annotated[AllBreakdownParameters, Query()], request: Request, services: Context
) -> Response:
    """The same over the requests of all customers; `customer_id` is null in the answer."""
    return await _answer(parameters, parameters.customer_id, request, services)


async def _answer(
    parameters: BreakdownParameters, customer_id: str | None, request: Request, services: Services
) -> Response:
    query, asked = breakdown_query(parameters, customer_id)
    weight = Weight.USUAL if customer_id is None else Weight.LIGHT
    async with services.asking(weight) as store:
        counts = await store.breakdown(query)
    answer = documents.breakdown(counts, query, asked)
    if csv.wants_csv(parameters.format, request.headers.get("accept")):
        return csv.breakdown_csv(answer, parameters.by, latencies=parameters.latencies)
    return documents.json_response(answer)
