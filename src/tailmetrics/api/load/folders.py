"""Files of this machine that may be loaded over HTTP: those below one folder, wherever links lead."""

from __future__ import annotations

from pathlib import Path

from tailmetrics.api.load.uploads import kind_of, too_large
from tailmetrics.errors import LoadError, QueryError
from tailmetrics.settings import Settings
from tailmetrics.tailing.compression import Compression, Decompressed, kind_of_name

_READ_BYTES = 4 * 1024 * 1024


def file_below(settings: Settings, path: str) -> tuple[Path, str]:
    """The file itself, without links, and its name as seen from the folder.

    Raises QueryError for a path that leads elsewhere, HTTPException 413 for a file that is larger than the
    settings allow (decompressed), and LoadError for one that cannot be read.
    """
    if not settings.load_folder:
        raise QueryError("path", path, "no path, as the setting LOAD_FOLDER names no folder to read from")
    # The same for what is not there and what may not be read: nobody learns what is elsewhere.
    expected = f"a file below {settings.load_folder}, the setting LOAD_FOLDER"
    try:
        folder = Path(settings.load_folder).resolve(strict=True)
        file = (folder / path).resolve(strict=True)
        if not file.is_relative_to(folder) or not file.is_file():
            raise QueryError("path", path, expected)
        size = file.stat().st_size
        kind = kind_of_name(file.name) or kind_of(file)
    except (OSError, ValueError, RuntimeError) as error:
        raise QueryError("path", path, expected) from error
    if size > settings.load_max_bytes or (
        kind is not None and _expands_beyond(file, kind, settings.load_max_bytes)
    ):
        raise too_large("more", settings)
    return file, str(file.relative_to(folder))


def _expands_beyond(file: Path, kind: Compression, max_bytes: int) -> bool:
    size = 0
    try:
        with Decompressed(file.open("rb"), kind) as stream:
            while block := stream.read(_READ_BYTES):
                size += len(block)
                if size > max_bytes:
                    return True
    except (OSError, LoadError) as error:
        raise LoadError(f"{file.name}: {error}") from error
    return False
