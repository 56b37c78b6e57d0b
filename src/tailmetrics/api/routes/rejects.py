"""Lines that could not be read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tailmetrics.api import csv, documents
from tailmetrics.api.context import Context
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import RejectsParameters, only_parameters_of
from tailmetrics.api.schemas import Rejects
from tailmetrics.stats import RejectsQuery

router = APIRouter(tags=["logs"])


@router.get(
    "/rejects",
    summary="Lines that could not be read, newest first",
    operation_id="rejects",
    dependencies=[Depends(only_parameters_of(RejectsParameters))],
    responses={200: {"model": Rejects, "content": csv.DOCUMENTED}, **problem_responses(422, 503)},
)
async def rejects(
    parameters: Annotated[RejectsParameters, Query()], request: Request, services: Context
) -> Response:
    """Each with its log, byte offset and reason, a page at a time: `next_cursor` goes on."""
    async with services.asking() as store:
        answer = documents.rejects(await store.rejects(RejectsQuery(parameters.limit, parameters.cursor)))
    if csv.wants_csv(parameters.format, request.headers.get("accept")):
        return csv.linked(csv.rejects_csv(answer), request, answer["next_cursor"])
    return documents.json_response(answer)
