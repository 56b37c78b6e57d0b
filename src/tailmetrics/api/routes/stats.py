"""Statistics of one customer, or of all together."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from tailmetrics.api import csv, documents
from tailmetrics.api.admission import weight_of
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import (
    AllStatsParameters,
    CustomerId,
    StatsParameters,
    only_parameters_of,
)
from tailmetrics.api.queries import stats_query
from tailmetrics.api.schemas import Stats
from tailmetrics.stats import StatsAnswer, StatsQuery

router = APIRouter(tags=["statistics"])


@router.get(
    "/customers/{customer_id:path}/stats",
    summary="Statistics of one customer",
    operation_id="customer_stats",
    dependencies=[Depends(only_parameters_of(StatsParameters))],
    responses={200: {"model": Stats, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def customer_stats(
    customer_id: Annotated[
        CustomerId,
        Path(
            description="The customer, percent-encoded; it may hold slashes, quotes, spaces and any UTF-8.",
            openapi_examples={"a customer": {"value": "cust_1"}},
        ),
    ],
    parameters: Annotated[StatsParameters, Query()],
    request: Request,
    services: Context,
) -> Response:
    """Totals over the range, and one entry for each window that has requests (with `fill`, for each window).

    A customer without requests in the range has zeros and nulls; one without requests at any time is 404.
    """
    return await _answer(stats_query(parameters, customer_id), parameters, request, services)


@router.get(
    "/stats",
    summary="Statistics of all customers together",
    operation_id="all_stats",
    dependencies=[Depends(only_parameters_of(AllStatsParameters))],
    responses={200: {"model": Stats, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def all_stats(
    parameters: Annotated[AllStatsParameters, Query()], request: Request, services: Context
) -> Response:
    """The same figures over the requests of all customers; `customer_id` is null in the answer."""
    return await _answer(stats_query(parameters, parameters.customer_id), parameters, request, services)


async def _answer(
    query: StatsQuery, parameters: StatsParameters, request: Request, services: Services
) -> Response:
    as_csv = csv.wants_csv(parameters.format, request.headers.get("accept"))
    async with services.asking(weight_of(query)) as store:
        answer = await store.stats(query)
        # Within the turn, so that no more answers are in memory at once than questions are asked.
        return await documents.built(len(answer.windows), lambda: _response(answer, as_csv=as_csv))


def _response(answer: StatsAnswer, *, as_csv: bool) -> Response:
    document = documents.stats(answer)
    return csv.stats_csv(document) if as_csv else documents.json_response(document)
