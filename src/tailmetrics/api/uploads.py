"""The body of a request as a file beside the data."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from tailmetrics.settings import Settings
from tailmetrics.sources import fingerprint

_WRITE_BYTES = 1024 * 1024  # as much is gathered before it is written, and no more is held in memory


@dataclass(frozen=True, slots=True)
class Upload:
    """A log that was sent: `path` exists until the context ends; `size` in bytes."""

    path: Path
    size: int


def remove_leftovers(settings: Settings) -> None:
    """Remove what a process that was killed left behind; only for the one that reads logs for this store."""
    for path in settings.data_folder.glob(f"{_prefix(settings)}*"):
        path.unlink(missing_ok=True)


@asynccontextmanager
async def received(request: Request, settings: Settings) -> AsyncIterator[Upload]:
    """Write the body to a temporary file beside the data, where there is room for what it holds.

    Raises HTTPException 413 when it is larger than the settings allow.
    """
    max_bytes = settings.load_max_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(announced, max_bytes)
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=_prefix(settings), dir=settings.data_folder) as file:
        gathered = bytearray()
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > max_bytes:
                raise _too_large("more", max_bytes)
            gathered += piece
            if len(gathered) >= _WRITE_BYTES:
                await run_in_threadpool(file.write, bytes(gathered))
                gathered.clear()
        file.write(gathered)
        file.flush()
        yield Upload(Path(file.name), size)


def _prefix(settings: Settings) -> str:
    """What names of uploads begin with: other stores may keep theirs in the same folder."""
    return f".load-{fingerprint(settings.store_url.encode())[:8]}-"


def _too_large(found: str, max_bytes: int) -> HTTPException:
    return HTTPException(
        413,
        f"body: found {found} bytes, expected at most {max_bytes}, the setting LOAD_MAX_BYTES; "
        "send it in parts, or run `tailmetrics load` on the file",
    )
