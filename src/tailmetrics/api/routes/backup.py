"""The store's file as it is now, to be kept elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import datetime, timezone

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailmetrics.api.context import Context
from tailmetrics.api.http.access import identity_of
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.backup import server_advice
from tailmetrics.stores.base import Copyable, Snapshot
from tailmetrics.telemetry.log import EventLog

log = EventLog()
router = APIRouter(tags=["service"])

_SLOWEST_PIECE_SECONDS = 30.0  # room of the file cannot be used again while a client takes a backup


@router.post(
    "/backup",
    summary="The store's file as it is now",
    operation_id="backup",
    response_class=Response,
    responses={
        200: {
            "description": "The whole file, consistent; `tailmetrics restore` takes it.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problem_responses(409, 503),
    },
)
async def backup(services: Context, request: Request) -> Response:
    """All that was committed: records, rejects, positions. Reading and committing go on meanwhile.

    `tailmetrics backup` asks for it, and checks what it was given. With curl: `curl -f -X POST -OJ …/backup`.
    """
    store = services.store
    if not isinstance(store, Copyable):
        raise HTTPException(409, _advice(services.settings))
    stack = ExitStack()
    snapshot = await run_in_threadpool(stack.enter_context, store.copying())
    identity = identity_of(request)
    log.info("backup begun", bytes=snapshot.size, **({} if identity is None else identity.names()))
    return _SentSnapshot(snapshot, stack)


def _advice(settings: Settings) -> str:
    if settings.store.is_file:
        return f"{settings.store} is copied without the service: `tailmetrics backup FILE` where that file is"
    return server_advice(settings)


class _SentSnapshot(Response):
    """Sends a snapshot, and ends it with `stack` whether the client took all of it or not."""

    def __init__(self, snapshot: Snapshot, stack: ExitStack) -> None:
        name = f"tailmetrics-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.duckdb"
        headers = {
            "Content-Length": str(snapshot.size),
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
        super().__init__(headers=headers, media_type="application/octet-stream")
        self._snapshot = snapshot
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while piece := await run_in_threadpool(next, self._snapshot.pieces, b""):
                message = {"type": "http.response.body", "body": piece, "more_body": True}
                await asyncio.wait_for(send(message), _SLOWEST_PIECE_SECONDS)
            await send({"type": "http.response.body", "body": b""})
        except StoreUnavailable as error:  # the client sees that it was given too little
            log.warning("a backup was broken off", error=str(error))
        except asyncio.CancelledError:
            log.warning("a backup was broken off, as the service ends")
        except asyncio.TimeoutError:
            log.warning("a backup was broken off, its client took nothing", seconds=_SLOWEST_PIECE_SECONDS)
        finally:
            self._stack.close()
