"""Messages of a partition into a batch: all of them at once, each line with its place in Kafka."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.formats import has_header
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.customers import told_names
from tailmetrics.formats.framing import framing_of
from tailmetrics.formats.lines import BYTE_ORDER_MARK, LF, Lines, split
from tailmetrics.queues.kafka.shipped import FILE, HOST, SOURCE, batches_of, problem_of
from tailmetrics.records import REJECT_LINE_BYTES, REJECT_SCHEMA, ParsedLines, no_lines, no_records
from tailmetrics.settings import FormatOptions
from tailmetrics.sources import LINE_BITS, MOST_LINES_OF_MESSAGE, Batch, Checkpoint, Messages, ended, packed

Headers = list[tuple[str, bytes | None]] | None
FormatOf = Callable[[FormatOptions], LineFormat]
_HEADER = "kafka:header:"
_ENVELOPE_HEADERS = {"envelope:host": HOST, "envelope:file": FILE}  # as `ship` sends them


def batch_of(chunk: Messages, format_of: FormatOf) -> Batch:
    """The lines of messages; those that were shipped from a file are of that file's source.

    Shipped ones whose headers cannot be read are rejects of the partition.
    """
    source = chunk.partition.source
    plain, shipped, unread = chunk, tuple[Batch, ...](), list[tuple[int, str, bytes]]()
    if chunk.headers is not None:
        is_shipped = np.array([any(name == SOURCE for name, _ in each or ()) for each in chunk.headers])
        if is_shipped.any():
            plain = _only(chunk, ~is_shipped)
            readable, unread = _readable(_only(chunk, is_shipped))
            shipped = tuple(batches_of(readable, format_of, _told))
    parsed = _parsed(plain, format_of) if len(plain) else no_lines()
    if unread:
        parsed = replace(parsed, rejects=pl.concat([parsed.rejects, _rejects(unread)]).sort("offset"))
    return Batch(
        source_id=source.source_id,
        path=source.path,
        start=chunk.start,
        checkpoint=Checkpoint(packed(chunk.end), 0, "", 0, ""),
        parsed=parsed,
        more=chunk.more,
        partition=chunk.partition,
        shipped=shipped,
        message_bytes=plain.size + sum(len(value) for _, _, value in unread),
    )


def _readable(chunk: Messages) -> tuple[Messages, list[tuple[int, str, bytes]]]:
    """Shipped messages that are parts of files, and of the others offset, problem and value."""
    problems = [
        problem_of(value, each or ()) for value, each in zip(chunk.values, chunk.headers or [], strict=True)
    ]
    if not any(problems):
        return chunk, []
    unread = [
        (offset, problem, value)
        for offset, problem, value in zip(chunk.offsets.tolist(), problems, chunk.values, strict=True)
        if problem is not None
    ]
    return _only(chunk, np.array([problem is None for problem in problems])), unread


def _only(chunk: Messages, chosen: npt.NDArray[np.bool_]) -> Messages:
    values = chunk.values
    places = np.flatnonzero(chosen).tolist()
    return _at(chunk, places, [values[place] for place in places])


def _at(chunk: Messages, places: list[int], values: list[bytes]) -> Messages:
    """The messages at some places, which have these values."""
    data, lengths = ended(values)
    return replace(
        chunk,
        data=data,
        lengths=lengths,
        offsets=chunk.offsets[places],
        headers=chunk.headers and [chunk.headers[place] for place in places],
        keys=chunk.keys and [chunk.keys[place] for place in places],
    )


def _parsed(chunk: Messages, format_of: FormatOf) -> ParsedLines:
    read = format_of(chunk.log_format).of_source(chunk.partition.source.path, chunk.written_ns)
    if chunk.size > MOST_LINES_OF_MESSAGE and chunk.lengths.max() > MOST_LINES_OF_MESSAGE:
        many = np.array([value.count(b"\n") > MOST_LINES_OF_MESSAGE for value in chunk.values])
        if many.any():
            parsed = _together([_parsed(_only(chunk, ~many), format_of)]) if not many.all() else no_lines()
            rejects = pl.concat([parsed.rejects, _too_many(_only(chunk, many))]).sort("offset")
            return ParsedLines(parsed.records, rejects, parsed.blanks)
    joined = _joined(chunk)
    if not _is_whole_by_itself(chunk.log_format.name, joined.data):
        return read.parse_lines(_lines(chunk, joined))
    # What a line means may depend on lines before it: on those of its message, then, and of no other.
    parts = []
    for place, value in enumerate(chunk.values):
        one = _at(chunk, [place], [value])
        parts.append(read.parse_lines(_lines(one, _joined(one))))
    return _together(parts)


def _is_whole_by_itself(format_name: str, data: bytes) -> bool:
    framing = framing_of(format_name)
    has_parts = framing.wrapper is not None and framing.wrapper.may_have_parts(data)
    return framing.are_blocks or has_header(format_name) or has_parts


@dataclass(frozen=True, slots=True)
class _Joined:
    """Messages as lines, the last of each ended; message i begins at `starts[i]`."""

    data: bytes
    starts: npt.NDArray[np.int64]


def _joined(chunk: Messages) -> _Joined:
    data, lengths = chunk.data, chunk.lengths
    if BYTE_ORDER_MARK in data:
        data, lengths = ended([value.removeprefix(BYTE_ORDER_MARK) for value in chunk.values])
    lengths = lengths + 1
    ends = np.cumsum(lengths)
    array = np.frombuffer(data, np.uint8)
    is_ended = (lengths > 1) & (array[ends - 2] == LF)
    if is_ended.any():
        kept = np.ones(len(array), np.bool_)
        kept[ends[is_ended] - 1] = False
        data = array[kept].tobytes()
        ends = np.cumsum(lengths - is_ended)
    starts = np.zeros(len(chunk), np.int64)
    starts[1:] = ends[:-1]
    return _Joined(data, starts)


def _lines(chunk: Messages, joined: _Joined) -> Lines:
    """The lines, each with its place in Kafka as its offset, and what the messages tell of it."""
    lines = split(joined.data, 1)  # a byte order mark at 0 would be left out
    told = _told(chunk.log_format, chunk.topic, chunk.headers, chunk.keys, len(chunk))
    if len(lines) == len(chunk):
        return replace(lines, offsets=chunk.offsets << LINE_BITS, told=told)
    firsts = np.searchsorted(lines.starts, joined.starts)
    counts = np.diff(firsts, append=len(lines))
    which = np.repeat(np.arange(len(counts)), counts)
    numbers = np.arange(len(lines)) - firsts[which]
    offsets = (chunk.offsets[which] << LINE_BITS) | numbers
    return replace(lines, offsets=offsets, told=None if told is None else told[which])


def _told(
    log_format: FormatOptions,
    topic: str,
    headers: Sequence[Headers] | None,
    keys: Sequence[bytes | None] | None,
    count: int,
) -> pl.DataFrame | None:
    """The fields of LOG_CUSTOMER that messages tell, a row for each message."""
    names = told_names(log_format.customer)
    if not names:
        return None
    columns: dict[str, list[str | None]] = {}
    for name in names:
        header = _ENVELOPE_HEADERS.get(name, name.removeprefix(_HEADER))
        if name == "kafka:topic":
            columns[name] = [topic] * count
        elif name == "kafka:key":
            columns[name] = list(map(_text, keys or [None] * count))
        else:
            columns[name] = [_text(dict(each or ()).get(header)) for each in headers or [None] * count]
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))


def _text(value: Any) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else None


def _too_many(chunk: Messages) -> pl.DataFrame:
    reason = f"line: found a message of more than {MOST_LINES_OF_MESSAGE} lines, expected at most so many"
    return _rejects(
        [(offset, reason, value) for offset, value in zip(chunk.offsets.tolist(), chunk.values, strict=True)]
    )


def _rejects(messages: Sequence[tuple[int, str, bytes]]) -> pl.DataFrame:
    """Messages as rejects: of each its offset, the reason and its value."""
    rows = [
        (
            packed(offset),
            reason,
            value[:REJECT_LINE_BYTES].decode("utf-8", "backslashreplace").partition("\n")[0],
        )
        for offset, reason, value in messages
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")


def _together(parts: Sequence[ParsedLines]) -> ParsedLines:
    return ParsedLines(
        pl.concat([no_records(), *(part.records for part in parts)]),
        pl.concat([part.rejects for part in parts]),
        sum(part.blanks for part in parts),
    )
