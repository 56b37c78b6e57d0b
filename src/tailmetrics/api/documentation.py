"""The pages about the API: Swagger UI from files of the package, so that it needs no internet."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from tailmetrics.api.middleware import CONTENT_SECURITY_POLICY

STATIC = Path(__file__).parent / "static"

_PAGE_POLICY = f"{CONTENT_SECURITY_POLICY}; img-src 'self' data:"  # Swagger UI's icons are data

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> RedirectResponse:
    return RedirectResponse("/docs")


@router.get("/docs")
async def page() -> FileResponse:
    return FileResponse(STATIC / "docs.html", headers={"Content-Security-Policy": _PAGE_POLICY})


def mount_static(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
