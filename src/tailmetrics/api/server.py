"""The server of an app: uvicorn, with a limit that its parser lacks, ended by others than its own signals."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tailmetrics.api.live.broadcast import LiveViews
from tailmetrics.api.parameters import ViewParameters

_SHUTDOWN_SECONDS = 1
_MOST_HEAD_BYTES = 64 * 1024  # as h11 has it, uvicorn's other parser


class BoundedHttp(HttpToolsProtocol):
    """Refuses requests whose head has no end: httptools would gather it in memory, however long it is.

    Counted are bytes that bring neither the end of the head nor a part of the body: the line and headers of a
    request, and what stands between and behind the chunks of its body.
    """

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request's line and headers have more than {_MOST_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()


class HttpServer(uvicorn.Server):
    """Serves an app until `should_exit` is set.

    uvicorn raises the signal that ended it once more; here a signal is an ordinary end. It waits for its
    connections when it ends, and a page's stream of events has no end of its own.
    """

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
                server_header=False,
            )
        )
        self._live: LiveViews[ViewParameters] | None = getattr(app.state, "live", None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._live is not None:
            self._live.end()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
