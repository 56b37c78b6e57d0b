"""Logs that are sent, as files beside the data."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from tailmetrics.settings import Settings
from tailmetrics.sources import fingerprint
from tailmetrics.tailing.log_file import GZIP_BEGINS

_WRITE_BYTES = 1024 * 1024  # as much is gathered before it is written, and no more is held in memory
_GZIP = 31  # zlib's word for the format of gzip with its largest window


@dataclass(frozen=True, slots=True)
class Upload:
    """A log that was sent as so many bytes, compressed or not: `path` exists until it is removed."""

    path: Path
    sent_bytes: int

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def remove_leftovers(settings: Settings) -> None:
    """Remove what a process that was killed left behind; only for the one that reads logs for this store."""
    for path in settings.data_folder.glob(f"{_prefix(settings)}*"):
        path.unlink(missing_ok=True)


async def received(request: Request, settings: Settings, *, compressed: bool) -> Upload:
    """Write the body to a file, as `written` does; one that is announced as too large is not read."""
    check_announced(request, settings)
    return await written(request.stream(), settings, compressed=compressed)


def check_announced(request: Request, settings: Settings, *, bytes_beside: int = 0) -> None:
    """Raises HTTPException 413 for a body that is larger by what its header says.

    `bytes_beside` are those that it may have beside the log.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > settings.load_max_bytes + bytes_beside:
        raise too_large(announced, settings)


async def written(pieces: AsyncIterator[bytes], settings: Settings, *, compressed: bool) -> Upload:
    """Write a log that comes in pieces to a temporary file beside the data, where there is room for it.

    What begins like a gzip is decompressed, and with `compressed` it has to be one. Raises HTTPException 413
    when it is larger than the settings allow, sent or decompressed, 400 when it is no whole gzip, and what
    the pieces raise; nothing is left behind then.
    """
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        prefix=_prefix(settings), dir=settings.data_folder, delete=False
    ) as file:
        sink = _Sink(file, settings, compressed=compressed)
        try:
            gathered = bytearray()
            async for piece in pieces:
                gathered += piece
                if len(gathered) >= _WRITE_BYTES:
                    await run_in_threadpool(sink.write, bytes(gathered))
                    gathered.clear()
            await run_in_threadpool(sink.finish, bytes(gathered))
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
        return Upload(Path(file.name), sink.sent_bytes)


class _Sink:
    """Writes at most so many bytes, decompressed when they are a gzip."""

    def __init__(self, file: IO[bytes], settings: Settings, *, compressed: bool) -> None:
        self.sent_bytes = 0
        self._file = file
        self._settings = settings
        self._written_bytes = 0
        self._gunzip = _Gunzip() if compressed else None

    def write(self, data: bytes) -> None:
        if not self.sent_bytes and data.startswith(GZIP_BEGINS):
            self._gunzip = _Gunzip()
        self.sent_bytes += len(data)
        for piece in [data] if self._gunzip is None else self._gunzip.feed(data):
            self._written_bytes += len(piece)
            # What was sent counts, too: a gzip may go on for ever and hold nothing.
            if max(self._written_bytes, self.sent_bytes) > self._settings.load_max_bytes:
                raise too_large("more", self._settings)
            self._file.write(piece)

    def finish(self, data: bytes) -> None:
        self.write(data)
        if self._gunzip is not None:
            self._gunzip.finish()
        self._file.flush()


class _Gunzip:
    """Decompresses gzip piece by piece, however much comes of a few bytes."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP)
        self._is_whole = True  # nothing at all is an empty log

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._decoder.eof:
                # A file may be several that were put one behind the other, with zeros at the end.
                data = data.lstrip(b"\0")
                self._decoder = zlib.decompressobj(_GZIP)
                continue
            yield from self._member(data)
            self._is_whole = self._decoder.eof
            data = self._decoder.unused_data

    def finish(self) -> None:
        if not self._is_whole:
            raise _no_gzip("it ends too early")

    def _member(self, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = self._decoder.decompress(data, _WRITE_BYTES)
            except zlib.error as error:
                raise _no_gzip(str(error)) from None
            data = self._decoder.unconsumed_tail
            yield piece
            if self._decoder.eof or (not data and len(piece) < _WRITE_BYTES):
                return


def _no_gzip(reason: str) -> HTTPException:
    return HTTPException(400, f"body: found what is no whole gzip file ({reason}), expected one")


def _prefix(settings: Settings) -> str:
    """What names of uploads begin with: other stores may keep theirs in the same folder."""
    return f".load-{fingerprint(settings.store_url.encode())[:8]}-"


def too_large(found: str, settings: Settings) -> HTTPException:
    """For a log of `found` bytes."""
    # A file store is held by the service, whatever is asked to write it.
    command = (
        "stop the service and run `tailmetrics load FILE`"
        if settings.store.is_file
        else "run `tailmetrics load --store-url URL FILE`"
    )
    return HTTPException(
        413,
        f"body: found {found} bytes, expected at most {settings.load_max_bytes}, the setting LOAD_MAX_BYTES; "
        f"raise it, send the log in parts, or {command}, which has no such limit",
    )
