"""HTTP as the server speaks it: parsed by httptools, with a limit that it lacks."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
