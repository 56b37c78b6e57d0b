"""The line of a request, read again where it was read first, as long as its file is still there.

A file is known by the beginning that its source had, not by its name, and a line by being read as the same
request. So nothing else is ever shown, whatever became of the names.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby

from tailmetrics.errors import LoadError
from tailmetrics.formats import has_header, open_format
from tailmetrics.formats.detection import head_of, of_whole
from tailmetrics.formats.framing import LINES, Framing, framing_of
from tailmetrics.formats.lines import BYTE_ORDER_MARK
from tailmetrics.formats.w3c.directives import header_after, header_before, merged
from tailmetrics.records import REJECT_LINE_BYTES
from tailmetrics.settings import FormatOptions, LogPath
from tailmetrics.sources import Source, fingerprint
from tailmetrics.tailing.log_file import CompressedFile, LogFile, open_log
from tailmetrics.tailing.rotation import LogNames

_MOST_SECONDS = 5.0  # for all lines that are asked for together
_MOST_BYTES = 8_000_000  # of them
_DEEPEST_COMPRESSED = 64 * 1024 * 1024  # bytes that are decompressed to come to a line
_FEW_BYTES = 64 * 1024  # that nearly every line has
_HEADER_BYTES = 4 * 1024 * 1024  # before a line in which its directives are looked for

# Time without a zone, customer, path, status and duration of a request.
_Key = tuple[datetime, str, str, int, float | None]


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """What is stored of a request whose line is looked for; its `time` is aware."""

    source_id: str
    offset: int
    time: datetime
    customer_id: str
    path: str
    status_code: int
    duration: float | None


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
        limits = _Limits()
        lines: dict[int, Line] = {}
        self._names.add(source.path for source in sources.values())
        places = sorted(range(len(requests)), key=lambda at: (requests[at].source_id, requests[at].offset))
        for source_id, of_source in groupby(places, key=lambda at: requests[at].source_id):
            here = list(of_source)
            source = sources.get(source_id)
            found = self._lines([requests[at] for at in here], source, limits)
            lines.update(zip(here, found, strict=True))
        return [lines[at] for at in range(len(requests))]

    def _lines(
        self, requests: Sequence[LoggedRequest], source: Source | None, limits: _Limits
    ) -> Sequence[Line]:
        """Those of one source, by rising offset."""
        if source is None:
            why = "no file is known of its source: a message, a forgotten log, or a store without"
        elif source.node_id != self._node_id:
            why = f"its log is on the node {source.node_id}, this is {self._node_id} (NODE_ID): ask there"
        elif not source.inode:
            why = f"{source.path} was sent to the service, which keeps no copy"
        elif (log_format := self._names.format_of_rotated(source.path)) is None:
            why = f"{source.path} is none of the logs of LOG_FILE_PATH and LOG_SOURCES"
        else:
            return self._in_files(requests, source, log_format, limits)
        return [Line(None, why)] * len(requests)

    def _in_files(
        self, requests: Sequence[LoggedRequest], source: Source, log_format: FormatOptions, limits: _Limits
    ) -> Sequence[Line]:
        """From the file that has them, of those that may be the source's."""
        lines = [Line(None, f"{source.path} was rotated away or deleted")] * len(requests)
        for path in _paths(source, self._names):
            left = [at for at, line in enumerate(lines) if line.text is None]
            if not left:
                break
            try:
                with contextlib.closing(open_log(path)) as file:
                    if not _begins_as(file, source):
                        continue
                    found = _Log(file, path, log_format).lines([requests[at] for at in left], limits)
            except FileNotFoundError:
                continue
            except (OSError, LoadError) as error:
                found = [Line(None, _said(path, error))] * len(left)
            for at, line in zip(left, found, strict=True):
                lines[at] = line
        return lines


class _Limits:
    """What all lines of an answer may take together."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _MOST_SECONDS
        self._room = _MOST_BYTES

    def take(self, length: int) -> None:
        self._room -= length

    @property
    def are_reached(self) -> bool:
        return self._room <= 0 or time.monotonic() > self._until


class _Log:
    """A file that begins as a source did."""

    def __init__(self, file: LogFile, path: str, log_format: FormatOptions) -> None:
        self._file = file
        self._path = path
        self._read = _Forward(file.read).read
        self._options = of_whole(head_of(self._read), log_format)
        self._framing = framing_of(self._options.name)
        self._has_header = has_header(self._options.name)
        self._format = open_format(self._options)
        self._written_ns = os.stat(path).st_mtime_ns  # noqa: PTH116  # as of all files of logs

    def lines(self, requests: Sequence[LoggedRequest], limits: _Limits) -> Sequence[Line]:
        """Those of requests by rising offset. Raises OSError and LoadError."""
        frames: list[bytes] = []
        why: list[str] = []
        for request in requests:
            frame, missing = b"", "the lines before it took too long or too much room; ask for fewer"
            if not limits.are_reached:
                frame, missing = self._frame(request.offset)
            limits.take(len(frame))
            frames.append(frame)
            why.append(missing)
        read = self._read_again(requests, frames)
        return [
            _shown(frame) if is_it else Line(None, missing)
            for frame, is_it, missing in zip(frames, read, why, strict=True)
        ]

    def _frame(self, offset: int) -> tuple[bytes, str]:
        """What begins at an offset, empty when nothing does; and what is to be said when it is another."""
        if isinstance(self._file, CompressedFile) and offset > _DEEPEST_COMPRESSED:
            return b"", f"it is {offset:,} bytes deep in {self._path}, which is compressed"
        if offset and self._read(offset - 1, 1) != b"\n":
            return b"", f"no line begins at byte {offset:,} of {self._path} any more"
        frame = _frame(self._read, offset, self._framing, self._options.max_line_bytes)
        otherwise = (
            f"byte {offset:,} of {self._path} reads otherwise now: the file was written anew, or "
            "the settings of its format were changed"
        )
        return frame if offset else frame.removeprefix(BYTE_ORDER_MARK), otherwise

    def _read_again(self, requests: Sequence[LoggedRequest], frames: Sequence[bytes]) -> Sequence[bool]:
        """Whether each frame is read as its request: all at once, where none depends on others."""
        if self._framing == LINES and not self._has_header:
            whole = [frame if frame.endswith(b"\n") else frame + b"\n" for frame in frames]
            begins = [
                1,
                *(1 + end for end in itertools.accumulate(map(len, whole))),
            ]  # at 0 a log would begin
            read = self._requests(b"".join(whole), 1, b"")
            return [read.get(begin) == _key(each) for begin, each in zip(begins, requests, strict=False)]
        return [
            self._requests(frame, each.offset, self._header(each.offset)).get(each.offset) == _key(each)
            for frame, each in zip(frames, requests, strict=True)
        ]

    def _requests(self, data: bytes, offset: int, header: bytes) -> Mapping[int, _Key]:
        """What is read of bytes, by the offset."""
        log_format = self._format.of_source(self._path, self._written_ns, header)
        records = log_format.parse(data, offset).records
        columns = ("offset", "timestamp", "customer_id", "path", "status_code", "duration")
        return {at: tuple(key) for at, *key in records.select(columns).iter_rows()}

    def _header(self, offset: int) -> bytes:
        """The directives in force at an offset, as far as the beginning and what is just before it tell."""
        if not self._has_header:
            return b""
        longest = self._options.max_line_bytes
        header = header_after(self._read(0, min(offset, _FEW_BYTES)), 0, b"", longest)
        if isinstance(self._file, CompressedFile):  # where going back is slow
            return header
        base = max(0, offset - _HEADER_BYTES)
        later = header_before(
            lambda start, length: self._file.read(base + start, length),
            offset - base,
            longest,
            backwards=True,
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


def _key(request: LoggedRequest) -> _Key:
    time = request.time.astimezone(timezone.utc).replace(tzinfo=None)
    return time, request.customer_id, request.path, request.status_code, request.duration


def _shown(frame: bytes) -> Line:
    return Line(frame[:REJECT_LINE_BYTES].rstrip(b"\r\n").decode("utf-8", "backslashreplace"))


def _said(path: str, error: OSError | LoadError) -> str:
    if isinstance(error, OSError):
        return f"{path} cannot be read: {error.strerror or error}"
    return str(error)
