"""Some requests, the newest or the slowest first, each with its line as long as that is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from tailmetrics.api import csv, documents
from tailmetrics.api.admission import Weight
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import (
    AllRequestsParameters,
    CustomerId,
    RequestsParameters,
    only_parameters_of,
)
from tailmetrics.api.queries import requests_query
from tailmetrics.api.schemas import LoggedRequest, Requests
from tailmetrics.api.times import formatter
from tailmetrics.settings import resolve_node_id
from tailmetrics.sources import Source
from tailmetrics.stores.cursors import cursor_to_request
from tailmetrics.stores.record_pages import place_of_last
from tailmetrics.stores.results import FAILURE_RULES
from tailmetrics.tailing.lines import LineReader
from tailmetrics.tailing.lines import LoggedRequest as Logged

router = APIRouter(tags=["logs"])


@router.get(
    "/customers/{customer_id:path}/requests",
    summary="Requests of one customer, each with its line",
    operation_id="customer_requests",
    dependencies=[Depends(only_parameters_of(RequestsParameters))],
    responses={200: {"model": Requests, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def customer_requests(
    customer_id: Annotated[CustomerId, Path(description="The customer, percent-encoded.")],
    parameters: Annotated[RequestsParameters, Query()],
    request: Request,
    services: Context,
) -> Response:
    """The newest or the slowest of a range, a page at a time: `next_cursor` goes on.

    With `lines` each has the line that it was read from, as long as its file is there and has that line;
    otherwise `line_missing` says why not. Where keys are set, one is needed.
    """
    return await _answer(parameters, customer_id, request, services)


@router.get(
    "/requests",
    summary="Requests of all customers, each with its line",
    operation_id="all_requests",
    dependencies=[Depends(only_parameters_of(AllRequestsParameters))],
    responses={200: {"model": Requests, "content": csv.DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def all_requests(
    parameters: Annotated[AllRequestsParameters, Query()], request: Request, services: Context
) -> Response:
    """The same of all customers together; `customer_id` is null in the answer."""
    return await _answer(parameters, parameters.customer_id, request, services)


async def _answer(
    parameters: RequestsParameters, customer_id: str | None, request: Request, services: Services
) -> Response:
    query, asked = requests_query(parameters, customer_id)
    weight = Weight.USUAL if customer_id is None else Weight.LIGHT
    async with services.asking(weight) as store:
        # One more tells whether there is a further page.
        found = await store.requests(replace(query, limit=query.limit + 1))
        page = found.head(query.limit)
        # Lines may take seconds, and a thread: within the turn, or many of them would hold up all others.
        rows = await asyncio.to_thread(lambda: list(_rows(page, parameters, services)))
    cursor = None
    if found.height > page.height:
        cursor = cursor_to_request(query.order, page["duration"][-1], place_of_last(page))
    write = formatter(asked.zone)
    for row, moment in zip(rows, page["timestamp"], strict=True):
        row["time"] = write(moment)
    if csv.wants_csv(parameters.format, request.headers.get("accept")):
        return csv.linked(csv.requests_csv(rows, with_lines=parameters.lines), request, cursor)
    return documents.json_response(documents.requests(rows, query, parameters.failures, asked, cursor))


def _rows(page: pl.DataFrame, parameters: RequestsParameters, services: Services) -> Iterator[LoggedRequest]:
    """Rows whose time is still to be written."""
    sources = _sources(set(page["source"]), services) if page.height else {}
    failed = FAILURE_RULES[parameters.failures]
    requests = [
        Logged(*row)
        for row in page.select(
            "source", "offset", "timestamp", "customer_id", "path", "status_code", "duration"
        ).iter_rows()
    ]
    lines = None
    if parameters.lines:
        reader = LineReader(services.settings.log_paths, resolve_node_id(services.settings))
        lines = reader.read(requests, sources)
    for place, each in enumerate(requests):
        source = sources.get(each.source_id)
        row: LoggedRequest = {
            "time": "",
            "customer_id": each.customer_id,
            "path": each.path,
            "status_code": each.status_code,
            "duration": each.duration,
            "failed": failed(each.status_code),
            "source_id": each.source_id,
            "source": None if source is None else source.path,
            "offset": each.offset,
        }
        if lines is not None:
            row["line"], row["line_missing"] = lines[place].text, lines[place].missing
        yield row


def _sources(ids: set[str], services: Services) -> Mapping[str, Source]:
    """Those of some ids that are files, under the names that they have now as far as that is known."""
    names = {}
    if services.ingestion is not None:
        names = {status.source_id: status.path for status in services.ingestion.sources()}
    known = {source.source_id: source for source in services.store.sources(None) if source.source_id in ids}
    return {each: replace(source, path=names.get(each, source.path)) for each, source in known.items()}
