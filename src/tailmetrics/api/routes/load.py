"""Loading finished logs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api import answers
from tailmetrics.api.guard import require_key
from tailmetrics.api.ingestion import Ingestion, LoadJob
from tailmetrics.api.models import Loaded
from tailmetrics.api.openapi import problem_responses
from tailmetrics.api.parameters import only_parameters_of
from tailmetrics.api.problems import wrong_parameters
from tailmetrics.api.services import Context
from tailmetrics.api.uploads import received
from tailmetrics.errors import LoadError, QueryError
from tailmetrics.settings import FormatName, Settings
from tailmetrics.tailing.discovery import find_files

DEFAULT_NAME = "upload"

_LONGEST_PAUSE_SECONDS = 0.1  # between two looks at a job


class LoadParameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=255)] | SkipJsonSchema[None] = Field(
        default=None,
        description=f"Name of the log in the body, as /rejects shows it. Default: `{DEFAULT_NAME}`.",
        examples=["requests.log"],
    )
    format: FormatName | SkipJsonSchema[None] = Field(
        default=None, description="Format of the lines in the body. Default: the setting LOG_FORMAT."
    )


def load_router(settings: Settings) -> APIRouter:
    """The route for loads; it asks for a key, and says so in the OpenAPI document, only when one is set."""
    router = APIRouter(tags=["logs"])
    keys = [Depends(require_key)] if settings.api_key is not None else []
    key_problems = (401,) if keys else ()
    router.add_api_route(
        "/load",
        load,
        methods=["POST"],
        summary="Load a finished log",
        operation_id="load",
        dependencies=[*keys, Depends(only_parameters_of(LoadParameters))],
        responses={200: {"model": Loaded}, **problem_responses(*key_problems, 400, 404, 413, 415, 422, 503)},
        openapi_extra={
            "requestBody": {
                "required": False,
                "description": "The log itself; without it the files of LOG_FILE_PATH are loaded.",
                "content": {
                    "text/plain": {
                        "schema": {"type": "string"},
                        "example": "2024-11-06 06:33:33 cust_40 /api/v1/resource1 400 0.316\n",
                    }
                },
            }
        },
    )
    return router


async def load(
    request: Request, parameters: Annotated[LoadParameters, Query()], services: Context
) -> Response:
    """Answers when every line is in the store. What was loaded before is not loaded again.

    An unfinished last line counts as a line. With curl: `--data-binary @requests.log`; `-d` would take the
    line ends away.
    """
    ingestion = services.ingestion
    if ingestion is None:
        raise HTTPException(
            503, "Nothing reads logs in this process: run `tailmetrics up`, or `tailmetrics load FILE`."
        )
    _refuse_what_is_no_log(request)
    settings = services.settings
    async with received(request, settings) as upload:
        if upload.size:
            name = parameters.name or DEFAULT_NAME
            jobs = [(name, ingestion.start_load(upload.path, name, parameters.format))]
        else:
            jobs = _load_configured(ingestion, settings, parameters)
        for _, job in jobs:
            await _ended(job, ingestion)
    return answers.json_response(_loaded(jobs))


def _refuse_what_is_no_log(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/"):
        raise HTTPException(
            415,
            f"Content-Type: found {content_type!r}, expected the log itself; "
            "curl sends it with --data-binary @FILE",
        )
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise HTTPException(415, f"Content-Encoding: found {encoding!r}, expected none")


def _load_configured(
    ingestion: Ingestion, settings: Settings, parameters: LoadParameters
) -> list[tuple[str, LoadJob]]:
    without_body = [
        QueryError(parameter, value, "a log in the body that it speaks of; without one, nothing")
        for parameter, value in (("name", parameters.name), ("format", parameters.format))
        if value is not None
    ]
    if without_body:
        raise wrong_parameters(without_body)
    files, missing = find_files(settings.log_paths)
    if not files:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in missing.items())
        raise HTTPException(404, f"LOG_FILE_PATH: found no log to load ({reasons})")
    return [(file.path, ingestion.start_load(Path(file.path), file.path, file.format_name)) for file in files]


async def _ended(job: LoadJob, ingestion: Ingestion) -> None:
    """Wait without holding a thread, as loads may be long and threads are few."""
    pause = 0.005
    while not job.wait(0):
        if ingestion.state().name == "stopped":
            raise HTTPException(
                503,
                "The service stopped before the load was done; load it again, nothing counts twice.",
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)


def _loaded(jobs: list[tuple[str, LoadJob]]) -> Loaded:
    progresses = [(name, job.progress()) for name, job in jobs]
    failures = [f"{name}: {progress.error}" for name, progress in progresses if progress.state == "failed"]
    if failures:
        raise LoadError("; ".join(failures))
    files = [answers.loaded_file(name, progress) for name, progress in progresses]
    return {
        "files": files,
        "totals": {
            "bytes": sum(file["bytes"] for file in files),
            "lines": sum(file["lines"] for file in files),
            "records": sum(file["records"] for file in files),
            "rejects": sum(file["rejects"] for file in files),
            "blanks": sum(file["blanks"] for file in files),
        },
    }
