from __future__ import annotations

import asyncio
from collections.abc import Iterator

from starlette.requests import Request
from starlette.types import Message

from tailmetrics.api.load.forms import Form

LINES = b"2024-10-10 08:00:00 cust_1 / 200 0.1\r\n" * 100
BEGIN = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.log"\r\n\r\n'


def request(pieces: Iterator[bytes]) -> Request:
    """A request whose body is a form and is received in these pieces."""

    async def receive() -> Message:
        piece = next(pieces, b"")
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    return Request({"type": "http", "headers": headers}, receive)


def test_a_file_is_given_on_piece_by_piece() -> None:
    pieces = iter([BEGIN, *[LINES] * 1000, b"\r\n--x--\r\n"])

    async def sizes() -> list[int]:
        form = Form(request(pieces))
        await form.begin()
        return [len(piece) async for piece in form.file()]

    found = asyncio.run(sizes())
    assert sum(found) == 1000 * len(LINES)
    # The end of a piece that may begin the boundary is given with the next one.
    assert max(found) <= len(LINES) + len(b"\r\n--x")


def test_a_file_is_not_read_before_it_is_asked_for() -> None:
    pieces = iter([BEGIN, LINES])
    form = Form(request(pieces))
    asyncio.run(form.begin())
    assert (form.filename, next(pieces)) == ("x.log", LINES)
