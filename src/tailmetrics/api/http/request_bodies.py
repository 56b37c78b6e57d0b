"""Bodies of requests: how much of one is read, and what becomes of one that nobody reads to its end."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 64 * 1024  # of a body that is no log

_LOGS = "/load"  # has a limit of its own
_MOST_DRAINED_BYTES = 64 * 1024 * 1024
_MOST_DRAINED_SECONDS = 10.0


class RequestBodies:
    """Refuses bodies that are larger than MOST_BYTES where no log is expected, and has refusals read.

    Many clients send all before they read: closed on them the connection would be reset, and the answer be
    lost. So the rest of a body is read and thrown away behind the answer, within bounds, and the connection
    closed then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _may_be_large(scope):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, Headers(scope=scope), is_log=scope["path"] == _LOGS)

        async def send_and_drain(message: Message) -> None:
            if body.is_whole:
                await send(message)
            elif message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
                await send(message)
            elif message.get("more_body"):
                await send(message)
            else:
                await send({**message, "more_body": True})
                await body.drain()
                await send({"type": "http.response.body", "body": b""})

        await self._app(scope, body.receive, send_and_drain)


class _Body:
    def __init__(self, receive: Receive, headers: Headers, *, is_log: bool) -> None:
        self.is_whole = False
        self._receive = receive
        self._is_log = is_log
        announced = headers.get("content-length", "")
        self._bytes = int(announced) if announced.isdecimal() else 0
        self._read_bytes = 0
        self._is_held_back = headers.get("expect", "").lower() == "100-continue"

    async def receive(self) -> Message:
        """The next piece. Raises HTTPException 413."""
        self._check()
        message = await self._next()
        self._check()
        return message

    async def drain(self) -> None:
        """Read on to the end, or as far as can be expected of us."""
        if self._is_held_back and not self._read_bytes:
            return  # it comes only when it is asked for
        most = self._read_bytes + _MOST_DRAINED_BYTES

        async def discard() -> None:
            while not self.is_whole and self._read_bytes < most:
                await self._next()

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(discard(), _MOST_DRAINED_SECONDS)

    async def _next(self) -> Message:
        message = await self._receive()
        self._read_bytes += len(message.get("body", b""))
        self.is_whole = not message.get("more_body")  # as is that of a client that has gone
        return message

    def _check(self) -> None:
        found = max(self._bytes, self._read_bytes)
        if found > MOST_BYTES and not self._is_log:
            raise HTTPException(413, f"body: found {found} bytes or more, expected at most {MOST_BYTES}")


def _may_be_large(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding"
        or (name == b"content-length" and not (value.isdigit() and int(value) <= MOST_BYTES))
        for name, value in scope["headers"]
    )
