"""The server of an app: uvicorn, with limits that it lacks, ended by others than its own signals."""

from __future__ import annotations

import errno
import math
import socket
import time
from asyncio import AbstractEventLoop, BaseTransport, get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tailmetrics.api.live.broadcast import LiveViews
from tailmetrics.api.parameters import ViewParameters
from tailmetrics.process import room_for_connections
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_FINISH_SECONDS = 1.0
_MOST_HEAD_BYTES = 64 * 1024  # as h11 has it, uvicorn's other parser
_HEAD_SECONDS = 10.0
_BODY_SECONDS = 30.0  # without anything of it, or slower than
_SLOWEST_BODY = 500  # bytes a second
_ACCEPTED_AT_ONCE = 16
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener(socket.socket):
    """A socket that asyncio accepts from a few times in a row, and not again at once after it failed.

    It would try 2,048 times: then so many connections are open before any is refused, and a lack of
    descriptors is told, and tried again, as often (https://github.com/python/cpython/issues/151615).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left = _ACCEPTED_AT_ONCE
        self._fails = False

    def accept(self) -> tuple[socket.socket, Any]:
        if not self._left:
            self._left = _ACCEPTED_AT_ONCE
            raise BlockingIOError
        self._left -= 1
        try:
            accepted = super().accept()
        except OSError as error:
            self._left = 0 if error.errno in _NO_ROOM else _ACCEPTED_AT_ONCE
            if error.errno in _NO_ROOM and not self._fails:
                self._fails = True
                log.warning("connections cannot be accepted, trying again each second", error=error.strerror)
            raise
        self._fails = False
        return accepted


def _note_loop_error(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    if context["message"] != "socket.accept() out of system resource":  # which the listener said
        loop.default_exception_handler(context)


class BoundedHttp(HttpToolsProtocol):
    """Refuses requests whose head has no end, or that do not come in time, and connections beyond a limit.

    httptools would gather a head in memory, however long it is. Counted are bytes that bring neither the end
    of the head nor a part of the body: the line and headers of a request, and what stands between and behind
    the chunks of its body.
    """

    _head_bytes = 0
    _due_at = math.inf  # when what is to come of a request must have come

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._due_at = time.monotonic() + _HEAD_SECONDS
        if len(self.connections) > room_for_connections():
            self._make_room()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        if self._due_at == math.inf and self.is_idle:
            self._due_at = time.monotonic() + _HEAD_SECONDS
        super().data_received(data)
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request's line and headers have more than {_MOST_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        self._due_at = time.monotonic() + _BODY_SECONDS
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        latest = time.monotonic() + _BODY_SECONDS
        self._due_at = min(latest, self._due_at + len(body) / _SLOWEST_BODY)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        self._due_at = math.inf
        super().on_message_complete()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered, nor its body being received."""
        return self.cycle is None or self.cycle.response_complete

    def end_late(self, now: float) -> None:
        """End the connection when a part of its request did not come in time."""
        if self.flow.read_paused or (self.cycle is not None and self.cycle.waiting_for_100_continue):
            # It is the app that takes its time.
            self._due_at = max(self._due_at, now + _BODY_SECONDS)
        elif now > self._due_at:
            if self.is_idle:
                self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n")
                self.transport.close()
            else:
                self.transport.abort()

    def _make_room(self) -> None:
        """End the connection whose client is the next to be late; this one where all are being answered."""
        http = (each for each in self.connections if isinstance(each, BoundedHttp))
        waiting = [each for each in http if each.is_idle or each._due_at < math.inf]
        longest = min(waiting, key=lambda each: each._due_at, default=self)
        longest.transport.abort()
        self.connections.discard(longest)
        log.warning(
            "too many connections, ended the one that was idle the longest", most=room_for_connections()
        )


class HttpServer(uvicorn.Server):
    """Serves an app until `should_exit` is set.

    uvicorn raises the signal that ended it once more; here a signal is an ordinary end. It waits for its
    connections when it ends, and a page's stream of events has no end of its own. Once it answers,
    its loop calls `on_turn` ten times a second.

    With `drain_seconds` it goes on for so long when it is to end, and is not ready; what is being answered
    then has `finish_seconds`.
    """

    def __init__(
        self,
        app: FastAPI,
        on_turn: Callable[[], None] = lambda: None,
        *,
        drain_seconds: float = 0.0,
        finish_seconds: float = _FINISH_SECONDS,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=math.ceil(finish_seconds),
                server_header=False,
                proxy_headers=False,  # who asks is the peer; api/http/access.py says whom to believe more
            )
        )
        self._on_turn = on_turn
        self._drain_seconds = drain_seconds
        self._ends_at: float | None = None
        self._state = app.state
        self._live: LiveViews[ViewParameters] | None = getattr(app.state, "live", None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        get_running_loop().set_exception_handler(_note_loop_error)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        self._on_turn()
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedHttp):
                    connection.end_late(now)
        return await super().on_tick(counter) and not self._drains()

    def end(self) -> None:
        """End; at once when that was said before."""
        if self.should_exit:
            self._ends_at = 0.0
        self.should_exit = True

    def _drains(self) -> bool:
        """Whether requests are taken for a while yet: a balancer looks at /ready now and then only."""
        if self._ends_at is None:
            self._ends_at = time.monotonic() + self._drain_seconds
            self._state.is_ending = True
            if self._drain_seconds:
                log.info("draining", seconds=self._drain_seconds)
        return time.monotonic() < self._ends_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._live is not None:
            self._live.end()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
