"""All customers with their totals."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tailmetrics.api import csv, documents
from tailmetrics.api.context import Context
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import CustomersParameters, only_parameters_of
from tailmetrics.api.queries import customers_query
from tailmetrics.api.schemas import Customers

router = APIRouter(tags=["statistics"])


@router.get(
    "/customers",
    summary="All customers with their totals",
    operation_id="customers",
    dependencies=[Depends(only_parameters_of(CustomersParameters))],
    responses={200: {"model": Customers, "content": csv.DOCUMENTED}, **problem_responses(422, 503)},
)
async def customers(
    parameters: Annotated[CustomersParameters, Query()], request: Request, services: Context
) -> Response:
    """Customers with requests in the range, a page at a time: `next_cursor` is the next page's `cursor`."""
    as_csv = csv.wants_csv(parameters.format, request.headers.get("accept"))
    query, asked = customers_query(parameters, as_csv=as_csv)
    async with services.asking() as store:
        page = await store.customers(query)
    if not as_csv:
        return documents.json_response(documents.customers(page, query, asked))
    response = csv.customers_csv(documents.customer(customer) for customer in page.customers)
    return csv.linked(response, request, page.next_cursor)
