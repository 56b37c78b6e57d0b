"""The line of a request, read again where it was read first, as long as its file is still there.

A file is known by the beginning that its source had, not by its name, and a line by being read as the same
request. So nothing else is ever shown, whatever became of the names.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby

import polars as pl

from tailmetrics.errors import LoadError
from tailmetrics.formats import has_header, open_format
from tailmetrics.formats.detection import head_of, of_whole
from tailmetrics.formats.framing import Framing, framing_of
from tailmetrics.formats.lines import BYTE_ORDER_MARK
from tailmetrics.formats.w3c.directives import header_after, header_before, merged
from tailmetrics.records import REJECT_LINE_BYTES
from tailmetrics.settings import FormatOptions, LogPath
from tailmetrics.sources import Source, fingerprint
from tailmetrics.tailing.log_file import CompressedFile, LogFile, open_log
from tailmetrics.tailing.rotation import LogNames

_MOST_SECONDS = 5.0  # for all lines that are asked for together
_MOST_CHARACTERS = 8_000_000  # of them
_DEEPEST_COMPRESSED = 64 * 1024 * 1024  # bytes that are decompressed to come to a line
_FEW_BYTES = 64 * 1024  # that nearly every line has
_HEADER_BYTES = 4 * 1024 * 1024  # before a line in which its directives are looked for


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """What is stored of a request whose line is looked for; its `time` is aware."""

    source_id: str
    offset: int
    time: datetime
    path: str
    status_code: int


@dataclass(frozen=True, slots=True)
class Line:
    """The line, its bytes that are not UTF-8 as \\xNN, or why it is missing."""

    text: str | None
    missing: str | None = None


class LineReader:
    """Reads lines of the logs that LOG_FILE_PATH and LOG_SOURCES name, on this node."""

    def __init__(self, log_paths: Sequence[LogPath], node_id: str) -> None:
        self._names = LogNames(log_paths)
        self._node_id = node_id

    def read(self, requests: Sequence[LoggedRequest], sources: Mapping[str, Source]) -> list[Line]:
        """The lines of some requests, in their order; `sources` are those that are known, by their ids."""
        until = time.monotonic() + _MOST_SECONDS
        room = _MOST_CHARACTERS
        lines = [Line(None)] * len(requests)
        self._names.add(source.path for source in sources.values())
        places = sorted(range(len(requests)), key=lambda at: (requests[at].source_id, requests[at].offset))
        for source_id, of_source in groupby(places, key=lambda at: requests[at].source_id):
            with contextlib.closing(_Files(sources.get(source_id), self._names, self._node_id)) as files:
                for at in of_source:
                    if time.monotonic() > until or room <= 0:
                        lines[at] = Line(None, "the lines before it took too long; ask for fewer")
                        continue
                    lines[at] = files.line_of(requests[at])
                    room -= len(lines[at].text or "")
        return lines


class _Files:
    """The files that may hold what was read of a source, opened one after another as they are needed."""

    def __init__(self, source: Source | None, names: LogNames, node_id: str) -> None:
        self._opened: list[_Log] = []
        self._closed: Iterator[_Log] = iter(())
        self._missing: str
        if source is None:
            self._missing = "no file is known of its source: a message, a forgotten log, or a store without"
        elif source.node_id != node_id:
            self._missing = f"its log is on the node {source.node_id}, this is {node_id} (NODE_ID): ask there"
        elif not source.inode:
            self._missing = f"{source.path} was sent to the service, which keeps no copy"
        elif (log_format := names.format_of_rotated(source.path)) is None:
            self._missing = f"{source.path} is none of the logs of LOG_FILE_PATH and LOG_SOURCES"
        else:
            self._missing = f"{source.path} was rotated away or deleted"
            self._closed = self._find(source, names, log_format)

    def line_of(self, request: LoggedRequest) -> Line:
        why: str | None = None
        for log in self._logs():
            try:
                line = log.line_of(request)
            except (OSError, LoadError) as error:
                line = Line(None, _said(log.path, error))
            if line.text is not None:
                return line
            why = line.missing
        return Line(None, why or self._missing)

    def close(self) -> None:
        for log in self._opened:
            log.file.close()

    def _logs(self) -> Iterator[_Log]:
        yield from self._opened
        for log in self._closed:
            self._opened.append(log)
            yield log

    def _find(self, source: Source, names: LogNames, log_format: FormatOptions) -> Iterator[_Log]:
        for path in _paths(source, names):
            with contextlib.ExitStack() as closing:
                try:
                    file = open_log(path)
                    closing.callback(file.close)
                    log = _Log(file, path, log_format) if _begins_as(file, source) else None
                except FileNotFoundError:
                    continue
                except (OSError, LoadError) as error:
                    self._missing = _said(path, error)
                    continue
                if log is not None:
                    closing.pop_all()
                    yield log


class _Log:
    """A file that begins as a source did."""

    def __init__(self, file: LogFile, path: str, log_format: FormatOptions) -> None:
        self.file = file
        self.path = path
        self._read = _Forward(file.read).read
        self._options = of_whole(head_of(self._read), log_format)
        self._framing = framing_of(self._options.name)
        self._format = open_format(self._options)
        self._written_ns = os.stat(path).st_mtime_ns  # noqa: PTH116  # as of all files of logs

    def line_of(self, request: LoggedRequest) -> Line:
        """Raises OSError and LoadError."""
        offset = request.offset
        if isinstance(self.file, CompressedFile) and offset > _DEEPEST_COMPRESSED:
            return Line(None, f"it is {offset:,} bytes deep in {self.path}, which is compressed")
        header = self._header(offset)
        if offset and self._read(offset - 1, 1) != b"\n":
            return Line(None, f"no line begins at byte {offset:,} of {self.path} any more")
        line = _frame(self._read, offset, self._framing, self._options.max_line_bytes)
        log_format = self._format.of_source(self.path, self._written_ns, header)
        read = log_format.parse(line, offset).records
        same = read.filter(
            pl.col("offset") == offset,
            pl.col("timestamp") == request.time.astimezone(timezone.utc).replace(tzinfo=None),
            pl.col("status_code") == request.status_code,
            pl.col("path") == request.path,
        )
        if same.is_empty():
            return Line(
                None,
                f"byte {offset:,} of {self.path} reads otherwise now: the file was written anew, or the "
                "settings of its format were changed",
            )
        shown = line.removeprefix(BYTE_ORDER_MARK) if offset == 0 else line
        return Line(shown[:REJECT_LINE_BYTES].rstrip(b"\r\n").decode("utf-8", "backslashreplace"))

    def _header(self, offset: int) -> bytes:
        """The directives in force at an offset, as far as the beginning and what is just before it tell."""
        if not has_header(self._options.name):
            return b""
        longest = self._options.max_line_bytes
        header = header_after(self._read(0, min(offset, _FEW_BYTES)), 0, b"", longest)
        if isinstance(self.file, CompressedFile):  # where going back is slow
            return header
        base = max(0, offset - _HEADER_BYTES)
        later = header_before(
            lambda start, length: self.file.read(base + start, length), offset - base, longest, backwards=True
        )
        return merged(header, later.split(b"\n"))


class _Forward:
    """Reads a file, and keeps what was read last: going back in what is compressed begins anew."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._file_read = read
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        end = self._start + len(self._data)
        if not self._start <= offset <= end:
            self._start, self._data, end = offset, b"", offset
        if offset + length > end:
            kept = self._data[max(0, offset - self._start - 1) :]
            self._start = end - len(kept)
            self._data = kept + self._file_read(end, offset + length - end)
        begin = offset - self._start
        return self._data[begin : begin + length]


def _paths(source: Source, names: LogNames) -> Iterator[str]:
    """Where a source may be: under its name, then, the same inode first, under those of its log beside it."""
    yield source.path
    folder, name = os.path.split(source.path)
    family = names.family(source.path)
    try:
        with os.scandir(folder or ".") as entries:
            found = [
                (entry.inode() != source.inode, entry.name)
                for entry in entries
                if entry.name != name and names.family(os.path.join(folder, entry.name)) == family  # noqa: PTH118
            ]
    except OSError:
        return
    for _, each in sorted(found):
        yield os.path.join(folder, each)  # noqa: PTH118  # names as they were given


def _begins_as(file: LogFile, source: Source) -> bool:
    head = file.read(0, source.checkpoint.head_length)
    return fingerprint(head) == source.checkpoint.head_hash


def _frame(read: Callable[[int, int], bytes], offset: int, framing: Framing, longest: int) -> bytes:
    """The frame that begins at an offset: the last one of a file may lack its end, as may a longer one."""
    data = b""
    for length in (_FEW_BYTES, longest + 2):
        data = read(offset, length)
        end = data.find(b"\n") + 1
        while end:
            if framing.whole(data[:end]):
                return data[:end]
            end = data.find(b"\n", end) + 1
        if len(data) < length:
            break
    return data


def _said(path: str, error: OSError | LoadError) -> str:
    if isinstance(error, OSError):
        return f"{path} cannot be read: {error.strerror or error}"
    return str(error)
