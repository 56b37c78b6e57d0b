"""Records themselves, as many as there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tailmetrics.api.context import Context
from tailmetrics.api.http.middleware import ASKED_AS_HEAD
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import RecordsParameters, only_parameters_of
from tailmetrics.api.queries import records_query
from tailmetrics.api.record_formats import RECORD_TEXTS, FrameText

router = APIRouter(tags=["logs"])

_DOCUMENTED: dict[str, Any] = {
    text.media_type.partition(";")[0]: {"schema": {"type": "string"}} for text in RECORD_TEXTS.values()
}


class _Stream(StreamingResponse):
    """Gives up its `place` among the streams however it ends, also when the client is gone before."""

    def __init__(self, content: AsyncIterator[bytes], place: ExitStack, **given: Any) -> None:
        super().__init__(content, **given)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


@router.get(
    "/records",
    summary="Requests themselves, in the order of their times",
    operation_id="records",
    dependencies=[Depends(only_parameters_of(RecordsParameters))],
    response_class=StreamingResponse,
    responses={200: {"content": _DOCUMENTED}, **problem_responses(404, 422, 503)},
)
async def records(
    parameters: Annotated[RecordsParameters, Query()], request: Request, services: Context
) -> Response:
    """All of the range, as a stream: by time, then by source, then by offset in that.

    Requests that are committed while it runs are in it where their time is still to come. A stream that ends
    early is cut off, so that no client takes it for whole.
    """
    query = records_query(parameters)
    text = RECORD_TEXTS[parameters.format]
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="records.{parameters.format}"',
    }
    with ExitStack() as place:
        place.enter_context(services.admission.stream())
        frames = services.records(query)
        # Before anything is sent, so that what is in the way can still be said.
        first = await anext(frames, None)
        if request.scope.get(ASKED_AS_HEAD):
            return Response(headers=headers, media_type=text.media_type)
        content = _written(text, first, frames)
        return _Stream(content, place.pop_all(), headers=headers, media_type=text.media_type)


async def _written(
    text: FrameText, first: pl.DataFrame | None, others: AsyncIterator[pl.DataFrame]
) -> AsyncIterator[bytes]:
    yield text.begin
    if first is not None:
        yield await asyncio.to_thread(text.frame, first)
        async for frame in others:
            yield await asyncio.to_thread(text.frame, frame)
    yield text.end
