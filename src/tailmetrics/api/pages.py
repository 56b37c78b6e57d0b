"""The pages: the dashboard, and Swagger UI, from files of the package, so that they need no internet.

Files are kept in memory and compressed once: a page asks for a dozen of them at a time.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api.http.middleware import CONTENT_SECURITY_POLICY

_FOLDER = Path(__file__).parent / "static"
# There are only those that were there at first, whatever a name leads to.
_PATHS = {path.relative_to(_FOLDER).as_posix(): path for path in _FOLDER.rglob("*") if path.is_file()}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
_SMALLEST_COMPRESSED = 1024  # bytes
_PAGE_POLICY = f"{CONTENT_SECURITY_POLICY}; img-src 'self' data:"  # Swagger UI's icons are data

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str


@router.get("/")
async def dashboard(request: Request) -> Response:
    return await static_file("index.html", request)


@router.get("/docs")
async def page(request: Request) -> Response:
    response = await static_file("docs.html", request)
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


@router.get("/static/{name:path}")
async def static_file(name: str, request: Request) -> Response:
    """A browser may keep the file, but asks each time whether it is still the same."""
    if name not in _PATHS:
        raise HTTPException(404)
    file = _read(_PATHS[name])
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.compressed, headers=headers, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)


@cache
def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(
        content,
        gzip.compress(content, mtime=0) if len(content) >= _SMALLEST_COMPRESSED else None,
        _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain",
        f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"',
    )
