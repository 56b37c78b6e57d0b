"""Lines of files that `tailmetrics ship` sent: each file is a source of its own, known by the headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from tailmetrics.formats import detection, has_header
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.framing import framing_of
from tailmetrics.formats.lines import split
from tailmetrics.settings import FormatOptions
from tailmetrics.sources import MESSAGES_NODE, Batch, Checkpoint, Messages, Source

SOURCE: Final = "tailmetrics-source"
OFFSET: Final = "tailmetrics-offset"
END: Final = "tailmetrics-end"
HOST: Final = "tailmetrics-host"
FILE: Final = "tailmetrics-file"
TOO_LONG: Final = "tailmetrics-too-long"
HEADER: Final = "tailmetrics-header"
NODE: Final = f"{MESSAGES_NODE}shipped"
_SOURCE_ID: Final = re.compile("[0-9a-f]{32}")
_NUMBER: Final = re.compile("[0-9]{1,19}")
_MOST_BYTES: Final = 1 << 62  # that any store takes as a position
_SHOWN_CHARACTERS: Final = 80

Told = Callable[[FormatOptions, str, Sequence[Any], Sequence[Any] | None, int], pl.DataFrame | None]


@dataclass(frozen=True, slots=True)
class _Part:
    """Bytes of one file from `begin` to `end`, whole lines; of one over the limit only its beginning."""

    source_id: str
    path: str
    begin: int
    end: int
    data: list[bytes]
    is_too_long: bool
    header: bytes
    message: int  # the first of them in its chunk

    def goes_on_with(self, other: _Part) -> bool:
        return (
            other.begin == self.end
            and other.header == self.header
            and not (self.is_too_long or other.is_too_long)
        )


def batches_of(
    chunk: Messages, format_of: Callable[[FormatOptions], LineFormat], told: Told
) -> Iterator[Batch]:
    """The lines of messages, none with a problem, by the files that they are of: of each in their order.

    What comes twice in the same messages is left out; what the store has already, it knows.
    """
    for part in _parts(chunk):
        data = b"".join(part.data)
        log_format = _format_of_file(chunk.log_format, part.header + data[: detection.HEAD_BYTES])
        read = format_of(log_format).of_source(part.path, chunk.written_ns, part.header)
        if part.is_too_long:
            parsed = read.parse_too_long(data, part.begin)
        else:
            lines = split(data, part.begin)
            one = slice(part.message, part.message + 1)
            fields = told(
                chunk.log_format, chunk.topic, (chunk.headers or [])[one], chunk.keys and chunk.keys[one], 1
            )
            if fields is not None:
                lines = replace(lines, told=fields[np.zeros(len(lines), np.int64)])
            parsed = read.parse_lines(lines)
        begin = Checkpoint(part.begin, 0, "", 0, "")
        yield Batch(
            source_id=part.source_id,
            path=part.path,
            start=part.begin,
            checkpoint=replace(begin, position=part.end),
            parsed=parsed,
            more=chunk.more,
            registers=Source(part.source_id, NODE, 0, 0, 0, part.path, begin),
        )


def _format_of_file(log_format: FormatOptions, head: bytes) -> FormatOptions:
    """The format of a file that a line by itself does not tell, by its directives or blocks."""
    found = detection.of_whole(head, log_format)
    return found if has_header(found.name) or framing_of(found.name).are_blocks else log_format


def _parts(chunk: Messages) -> list[_Part]:
    parts: list[_Part] = []
    open_parts: dict[str, int] = {}  # by source: the place of its last part
    for message, (value, headers) in enumerate(zip(chunk.values, chunk.headers or [], strict=True)):
        part = _part(message, value, dict(headers or ()))
        place = open_parts.get(part.source_id)
        before = None if place is None else parts[place]
        if before is not None and part.begin < before.end:
            if part.end <= before.end:
                continue
            data = [] if part.is_too_long else [part.data[0][before.end - part.begin :]]
            part = replace(part, begin=before.end, data=data or part.data)
        if place is not None and before is not None and before.goes_on_with(part):
            before.data.extend(part.data)
            parts[place] = replace(before, end=part.end)
        else:
            open_parts[part.source_id] = len(parts)
            parts.append(part)
    return parts


def problem_of(value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """Why a message cannot be told as a part of a file, as the reason of a reject; None where it can."""
    text = _texts(headers)
    if not _SOURCE_ID.fullmatch(text[SOURCE]):
        return f"{SOURCE}: {_found(text[SOURCE])}, expected 32 hexadecimal digits"
    for name in (OFFSET, END):
        if not _NUMBER.fullmatch(text.get(name, "")) or int(text[name]) >= _MOST_BYTES:
            return f"{name}: {_found(text.get(name))}, expected the place of a byte in decimal digits"
    for name in (HOST, FILE):
        if "\0" in text.get(name, ""):
            return f"{name}: {_found(text[name])}, expected text without NUL"
    size = int(text[END]) - int(text[OFFSET])
    if TOO_LONG in text:
        return None if size > 0 else f"{END}: {_found(text[END])}, expected more than {OFFSET} {text[OFFSET]}"
    if size == len(value) > 0:
        return None
    return f"{END}: found {size} bytes from {OFFSET} on, expected those of the value, {len(value)}"


def _found(text: str | None) -> str:
    return "found none" if text is None else f"found {text[:_SHOWN_CHARACTERS]!r}"


def _texts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (content or b"").decode("utf-8", "backslashreplace") for name, content in headers}


def _part(message: int, value: bytes, headers: dict[str, bytes | None]) -> _Part:
    """What a message without a problem is of a file."""
    text = _texts(list(headers.items()))
    return _Part(
        source_id=text[SOURCE],
        path=f"{text.get(HOST, '')}:{text.get(FILE, '')}",
        begin=int(text[OFFSET]),
        end=int(text[END]),
        data=[value],
        is_too_long=TOO_LONG in text,
        header=headers.get(HEADER) or b"",
        message=message,
    )
