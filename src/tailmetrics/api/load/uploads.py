"""Logs that are sent, as files beside the data."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from tailmetrics.errors import LoadError
from tailmetrics.settings import Settings
from tailmetrics.sources import fingerprint
from tailmetrics.tailing.compression import (
    HEAD_BYTES,
    READABLE,
    Compression,
    Decompressed,
    kind_of_content,
    no_log,
)

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WRITE_BYTES = 1024 * 1024  # as much is gathered before it is written, and no more is held in memory

_MOST_TIMES_COMPRESSED = 2  # there are files that hold themselves


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


def check_announced(request: Request, settings: Settings, *, bytes_beside: int = 0) -> None:
    """Raises HTTPException 413 for a body that is larger by what its header says.

    `bytes_beside` are those that it may have beside the log.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > settings.load_max_bytes + bytes_beside:
        raise too_large(announced, settings)


async def written(
    pieces: AsyncIterator[bytes], settings: Settings, *, compressed: Compression | None
) -> Upload:
    """Write a log that comes in pieces to a temporary file beside the data, where there is room for it.

    What begins as compressed is decompressed, and with `compressed` it has to be of that kind. Raises
    HTTPException 413 when it is larger than the settings allow, sent or decompressed, 400 when it is not
    whole, 415 when it is compressed too many times or holds no lines, 507 without room, 503 when the folder
    cannot be written to, and what the pieces raise; nothing is left behind then.
    """
    with _no_room_said(settings.data_folder):
        settings.data_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            prefix=_prefix(settings), dir=settings.data_folder, delete=False
        ) as file:
            path = Path(file.name)
            try:
                sent_bytes = await _write(pieces, file, settings)
                await run_in_threadpool(_decompress_all, path, settings, compressed)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return Upload(path, sent_bytes)


@contextlib.contextmanager
def _no_room_said(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise HTTPException(
                507,
                f"body: found no room for it in {folder} ({error.strerror}); make room there",
            ) from error
        raise HTTPException(
            503,
            f"body: {folder}, where it is kept while it is read, cannot be written to ({error.strerror}); "
            "let the service's user write there",
        ) from error


async def _write(pieces: AsyncIterator[bytes], file: IO[bytes], settings: Settings) -> int:
    """Write all pieces; returns how many bytes they have."""
    size = 0
    gathered = bytearray()
    async for piece in pieces:
        size += len(piece)
        if size > settings.load_max_bytes:
            raise too_large("more", settings)
        gathered += piece
        if len(gathered) >= _WRITE_BYTES:
            await run_in_threadpool(file.write, bytes(gathered))
            gathered.clear()
    file.write(gathered)
    await run_in_threadpool(file.flush)
    return size


def kind_of(path: Path) -> Compression | None:
    """How a log is decompressed when it is read, whatever its name is."""
    return kind_of_content(_beginning(path))


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _decompress_all(path: Path, settings: Settings, kind: Compression | None) -> None:
    """Leave nothing that reading the log would decompress, as that has no limit."""
    times = 0
    while (kind := kind or kind_of(path)) is not None:
        if times == _MOST_TIMES_COMPRESSED:
            raise HTTPException(
                415, f"body: found a {kind.name} in {times} others, expected a log that is compressed once"
            )
        _decompress(path, kind, settings)
        kind = None
        times += 1
    if (found := no_log(_beginning(path))) is not None:
        raise HTTPException(415, f"body: found {found}, expected lines, plain or compressed by {READABLE}")


def _decompress(path: Path, kind: Compression, settings: Settings) -> None:
    """Put what a compressed file holds in its place."""
    plain = path.with_name(f"{path.name}-plain")
    try:
        with Decompressed(path.open("rb"), kind) as stream, plain.open("wb") as file:
            while block := stream.read(_WRITE_BYTES):
                if file.tell() + len(block) > settings.load_max_bytes:
                    raise too_large("more", settings)
                file.write(block)
        plain.replace(path)
    except LoadError as error:
        reason = str(error).removeprefix("not a")
        raise HTTPException(400, f"body: found what is no{reason}, expected one") from None
    finally:
        plain.unlink(missing_ok=True)


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
