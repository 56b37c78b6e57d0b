"""Forms with a file in them (multipart/form-data), read piece by piece: the file is never held as a whole."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

FORM_TYPE = "multipart/form-data"
MOST_BYTES_BESIDE = 64 * 1024  # of a form that are not its file: fields, headers of parts, boundaries

_LONGEST_NAME = 255  # characters
_AS_IT_IS = {b"", b"7bit", b"8bit", b"binary"}

# What is wrong with a form is said in the answer; the parser's warnings are no events of the service.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


class Form:
    """A form on its way: `begin` reads up to its file, `file` gives the file's bytes and reads the rest.

    `fields` are names and values in their order, complete when all was read. `filename` is None until a file
    begins, without folders, and empty when the file has no name; `file_type` is its media type.
    Reading raises HTTPException 400 for what is no whole form, or has too much beside the file, 415 for a
    part that is not sent as it is, and 422 for a second file.
    """

    def __init__(self, request: Request) -> None:
        content_type = request.headers.get("content-type", "")
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise HTTPException(
                400,
                f"Content-Type: found {content_type!r}, expected a boundary in it; "
                "leave this header to the client, which knows its boundary",
            )
        self.fields: list[tuple[str, str]] = []
        self.filename: str | None = None
        self.file_type = ""
        self._stream = request.stream()
        self._bytes_beside = 0
        self._is_whole = False
        self._header = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None  # the part's name, None in a file
        self._field_value = bytearray()
        self._is_in_file = False
        self._file = bytearray()  # bytes of the file that were not given yet
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._on_header,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_part,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _no_form(str(error)) from None

    async def begin(self) -> None:
        """Read until the file begins, or to the end when there is none."""
        async for piece in self._stream:
            self._feed(piece)
            if self.filename is not None:
                return
        self._check_whole()

    async def file(self) -> AsyncIterator[bytes]:
        """The bytes of the file, as they come; what stands behind it in the form is read with it."""
        yield self._taken()
        async for piece in self._stream:
            self._feed(piece)
            yield self._taken()
        self._check_whole()

    def _taken(self) -> bytes:
        taken = bytes(self._file)
        self._file.clear()
        return taken

    def _feed(self, piece: bytes) -> None:
        self._bytes_beside += len(piece)
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _no_form(str(error)) from None
        if self._bytes_beside > MOST_BYTES_BESIDE:
            raise _no_form(f"more than {MOST_BYTES_BESIDE} bytes are not its file")

    def _check_whole(self) -> None:
        if not self._is_whole:
            raise _no_form("it ends too early")

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._header_value)
        self._header.clear()
        self._header_value.clear()

    def _on_part(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data":
            raise _no_form("a part has no Content-Disposition: form-data")
        encoding = self._headers.get(b"content-transfer-encoding", b"").lower()
        if encoding not in _AS_IT_IS:
            raise HTTPException(
                415, f"Content-Transfer-Encoding: found {_text(encoding)!r}, expected the part as it is"
            )
        filename = options.get(b"filename")
        self._field = _text(options.get(b"name", b"")) if filename is None else None
        self._is_in_file = False
        if filename:
            self._begin_file(_text(filename))

    def _begin_file(self, filename: str) -> None:
        if self.filename is not None:
            raise HTTPException(
                422, f"form: found a second file, {filename!r}, expected one; send each in a form of its own"
            )
        self.filename = re.split(r"[/\\]", filename)[-1][:_LONGEST_NAME]
        self.file_type = _text(parse_options_header(self._headers.get(b"content-type"))[0])
        self._is_in_file = True

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._field_value += data[start:end]
            return
        if not self._is_in_file:
            # Only now: browsers send a file without name and content when none was chosen.
            self._begin_file("")
        self._file += data[start:end]
        self._bytes_beside -= end - start

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.fields.append((self._field, _text(bytes(self._field_value))))
            self._field_value.clear()

    def _on_end(self) -> None:
        self._is_whole = True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _no_form(reason: str) -> HTTPException:
    return HTTPException(
        400,
        f"body: found what is no whole form ({reason}), expected one as `curl -F file=@FILE` sends it",
    )
