"""The files of the pages, kept in memory and compressed once: a page asks for a dozen of them at a time."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response

STATIC = Path(__file__).parent / "static"

_SMALLEST_COMPRESSED = 1024  # bytes
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


@dataclass(frozen=True, slots=True)
class _Kept:
    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str


class StaticFiles:
    """The files of a folder by their paths within it; there are only those that were there at first."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._paths = {
            path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
        }
        self._kept: dict[str, _Kept] = {}

    def response(self, name: str, asked: Headers) -> Response | None:
        """The file as a response, None when there is none of that name.

        A browser may keep it, but asks each time whether it is still the same.
        """
        file = self._file(name)
        if file is None:
            return None
        headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if file.etag in asked.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if file.compressed is not None and "gzip" in asked.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(file.compressed, headers=headers, media_type=file.media_type)
        return Response(file.content, headers=headers, media_type=file.media_type)

    def _file(self, name: str) -> _Kept | None:
        path = self._paths.get(name)
        if path is None:
            return None
        if name not in self._kept:
            content = path.read_bytes()
            compressed = gzip.compress(content, mtime=0) if len(content) >= _SMALLEST_COMPRESSED else None
            media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
            etag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
            self._kept[name] = _Kept(content, compressed, media_type, etag)
        return self._kept[name]
