"""The pages: the dashboard, and Swagger UI, from files of the package, so that they need no internet."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api.http.middleware import CONTENT_SECURITY_POLICY
from tailmetrics.api.static_files import StaticFiles

_PAGE_POLICY = f"{CONTENT_SECURITY_POLICY}; img-src 'self' data:"  # Swagger UI's icons are data

router = APIRouter(include_in_schema=False)
_files = StaticFiles()


@router.get("/")
async def dashboard(request: Request) -> Response:
    return _response("index.html", request)


@router.get("/docs")
async def page(request: Request) -> Response:
    response = _response("docs.html", request)
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


@router.get("/static/{name:path}")
async def static_file(name: str, request: Request) -> Response:
    return _response(name, request)


def _response(name: str, request: Request) -> Response:
    response = _files.response(name, request.headers)
    if response is None:
        raise HTTPException(404)
    return response
