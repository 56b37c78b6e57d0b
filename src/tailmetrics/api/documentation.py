"""The pages: the dashboard, and Swagger UI, from files of the package, so that they need no internet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from tailmetrics.api.middleware import CONTENT_SECURITY_POLICY

STATIC = Path(__file__).parent / "static"

_PAGE_POLICY = f"{CONTENT_SECURITY_POLICY}; img-src 'self' data:"  # Swagger UI's icons are data

_ASKED_FOR_EACH_TIME = {"Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def dashboard() -> FileResponse:
    return FileResponse(STATIC / "index.html", headers=_ASKED_FOR_EACH_TIME)


@router.get("/docs")
async def page() -> FileResponse:
    return FileResponse(STATIC / "docs.html", headers={"Content-Security-Policy": _PAGE_POLICY})


def mount_static(app: FastAPI) -> None:
    app.mount("/static", GZipMiddleware(_Files(directory=STATIC), minimum_size=1024), name="static")


class _Files(StaticFiles):
    """Files that a browser may keep, but asks for each time whether they are still the same."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers.update(_ASKED_FOR_EACH_TIME)
        return response
