"""Loading finished logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathParameter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api import documents
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.access import identity_of
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.http.problems import wrong_parameters
from tailmetrics.api.jobs import Load
from tailmetrics.api.load.bodies import wanted
from tailmetrics.api.load.folders import file_below
from tailmetrics.api.load.forms import FORM_TYPE
from tailmetrics.api.load.uploads import Upload
from tailmetrics.api.parameters import DEFAULT_NAME, LoadParameters, only_parameters_of
from tailmetrics.api.ports import LoadJob, Supervisor
from tailmetrics.api.service_schemas import Loaded, LoadState
from tailmetrics.errors import QueryError
from tailmetrics.settings import Settings
from tailmetrics.tailing.discovery import find_files
from tailmetrics.telemetry.log import EventLog

log = EventLog()
router = APIRouter(tags=["logs"])

_FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "The log, or compressed by gzip, xz, bzip2 or zstd. `name`, `format`, `origin`, "
            "`path` and "
            "`wait` may be further fields, which go before the parameters.",
        }
    },
}


@router.post(
    "/load",
    summary="Load a finished log",
    operation_id="load",
    status_code=202,
    dependencies=[Depends(only_parameters_of(LoadParameters))],
    responses={
        200: {"model": Loaded, "description": "With `wait`: every line is in the store."},
        202: {
            "model": LoadState,
            "description": "A job was begun, which `Location` leads to.",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "The job."}},
        },
        **problem_responses(400, 404, 413, 415, 422, 503, 507),
    },
    openapi_extra={
        "requestBody": {
            "required": False,
            "description": "The log itself, also compressed, or a form with it as a file; without a "
            "body the files of LOG_FILE_PATH and LOG_SOURCES are loaded.",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": "2024-11-06 06:33:33 cust_40 /api/v1/resource1 400 0.316\n",
                },
                FORM_TYPE: {"schema": _FORM_SCHEMA},
            },
        }
    },
)
async def load(
    request: Request, parameters: Annotated[LoadParameters, Query()], services: Context
) -> Response:
    """Answers with a job at once, or with `wait` when all is done. What was loaded before adds nothing.

    An unfinished last line counts as a line. With curl: `-F file=@requests.log`, or `--data-binary
    @requests.log`; `-d` would take the line ends away.
    """
    ingestion = services.ingestion
    if ingestion is None:
        raise HTTPException(
            503, "Nothing reads logs in this process: run `tailmetrics up`, or `tailmetrics load FILE`."
        )
    services.jobs.check_room()
    parameters, upload = await wanted(request, parameters, services.settings)
    begun = await _begin(parameters, upload, services, ingestion)
    if (identity := identity_of(request)) is not None:
        log.info("load begun", job=begun.job_id, **identity.names())
    if parameters.wait:
        await begun.ended
        return documents.json_response(documents.loaded(begun.progresses()))
    response = documents.json_response(documents.load_state(begun), 202)
    response.headers["Location"] = f"/load/{begun.job_id}"
    return response


@router.get(
    "/load/{job}",
    summary="How far a load is",
    operation_id="load_state",
    responses={200: {"model": LoadState}, **problem_responses(404, 422)},
)
async def load_state(
    job: Annotated[str, PathParameter(description="What POST /load answered with as `job`.", max_length=64)],
    services: Context,
) -> Response:
    """Bytes, lines, rejects and state of a job; the last thousand that ended are remembered."""
    return documents.json_response(documents.load_state(services.jobs.get(job)))


async def _begin(
    parameters: LoadParameters, upload: Upload | None, services: Services, ingestion: Supervisor
) -> Load:
    try:
        if upload is not None:
            name = parameters.name or DEFAULT_NAME
            job = ingestion.start_load(upload.path, name, parameters.format, parameters.origin)
            parts = [(name, job)]
        elif parameters.path is not None:
            parts = [await _load_below(ingestion, services.settings, parameters, parameters.path)]
        else:
            parts = _load_configured(ingestion, services.settings, parameters)
        return services.jobs.add(ingestion, parts, upload)
    except BaseException:
        if upload is not None:
            upload.remove()
        raise


async def _load_below(
    ingestion: Supervisor, settings: Settings, parameters: LoadParameters, path: str
) -> tuple[str, LoadJob]:
    if parameters.name is not None:
        raise wrong_parameters([QueryError("name", parameters.name, "no name beside a path")])
    if parameters.origin is not None:
        raise wrong_parameters([QueryError("origin", parameters.origin, "no origin beside a path")])
    try:
        file, name = await run_in_threadpool(file_below, settings, path)
    except QueryError as error:
        raise wrong_parameters([error]) from None
    return name, ingestion.start_load(file, name, parameters.format)


def _load_configured(
    ingestion: Supervisor, settings: Settings, parameters: LoadParameters
) -> list[tuple[str, LoadJob]]:
    without_body = [
        QueryError(parameter, value, "a log in the body that it speaks of; without one, nothing")
        for parameter, value in (
            ("name", parameters.name),
            ("format", parameters.format),
            ("origin", parameters.origin),
        )
        if value is not None
    ]
    if without_body:
        raise wrong_parameters(without_body)
    files, missing = find_files(settings.log_paths)
    if not files:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in missing.items())
        reasons = reasons or "it names queues only, which are read all the time"
        setting = "LOG_SOURCES" if settings.log_sources else "LOG_FILE_PATH"
        raise HTTPException(404, f"{setting}: found no log to load ({reasons})")
    return [(file.path, ingestion.start_load(Path(file.path), file.path, None)) for file in files]
