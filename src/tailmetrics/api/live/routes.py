"""What the dashboard shows: once, or as a stream of events for as long as the page is open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.problems import wrong_parameters
from tailmetrics.api.live.broadcast import LiveViews
from tailmetrics.api.live.view import view_json
from tailmetrics.api.parameters import ViewParameters, only_parameters_of
from tailmetrics.api.queries import asked_filter, asked_range, sort_of
from tailmetrics.errors import QueryError
from tailmetrics.status import FAULTY_STATES
from tailmetrics.windows import parse_every

RETRY_MILLISECONDS = 1000

# Not in the OpenAPI document: the shapes follow the page, and a stream has no end that tools could wait for.
router = APIRouter(include_in_schema=False, dependencies=[Depends(only_parameters_of(ViewParameters))])


async def _checked(parameters: Annotated[ViewParameters, Query()]) -> ViewParameters:
    """What was asked for; wrong parameters are refused before a stream begins."""
    asked_range(parameters)
    asked_filter(parameters)
    try:
        sort_of(parameters.sort)
        if parameters.every != "auto":
            parse_every(parameters.every)
    except QueryError as error:
        raise wrong_parameters([error]) from None
    return parameters


def _views(request: Request) -> LiveViews[ViewParameters]:
    return cast(LiveViews[ViewParameters], request.app.state.live)


Asked = Annotated[ViewParameters, Depends(_checked)]
Views = Annotated[LiveViews[ViewParameters], Depends(_views)]


def install(app: FastAPI, services: Services) -> None:
    """Add the routes; `app.state.live` is to be ended before the server waits for its connections."""

    async def compute(asked: ViewParameters) -> bytes:
        return await view_json(services, asked)

    async def version() -> str:
        status = await services.versions.status()
        # What is wrong with a log shows as soon as it is reported, and while no line is committed.
        faults = [(each.path, each.state) for each in status.sources if each.state in FAULTY_STATES]
        return f"{status.version} {hash(tuple(faults))}" if faults else status.version

    app.state.live = LiveViews(compute, version)
    app.include_router(router)


@router.get("/view")
async def view(asked: Asked, services: Context) -> Response:
    return Response(await view_json(services, asked), 200, {"Cache-Control": "no-store"}, "application/json")


@router.get("/live", response_class=EventSourceResponse)
async def live(asked: Asked, views: Views) -> AsyncIterator[ServerSentEvent]:
    async for update in views.follow(asked):
        yield ServerSentEvent(
            raw_data=update.data, event=update.event, id=str(update.number), retry=RETRY_MILLISECONDS
        )
