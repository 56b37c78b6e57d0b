"""Loading finished logs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api import documents
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.guard import require_key
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.http.problems import wrong_parameters
from tailmetrics.api.jobs import Load
from tailmetrics.api.load.folders import file_below
from tailmetrics.api.load.forms import FORM_TYPE, MOST_BYTES_BESIDE, Form
from tailmetrics.api.load.uploads import Upload, check_announced, received, written
from tailmetrics.api.parameters import check_names, only_parameters_of
from tailmetrics.api.ports import Ingestion, LoadJob
from tailmetrics.api.schemas import Loaded, LoadState
from tailmetrics.errors import LoadError, QueryError
from tailmetrics.settings import FormatName, Settings
from tailmetrics.tailing.discovery import find_files

DEFAULT_NAME = "upload"

_FORMATS_WITH_BRACES = ("json", "regex")  # whose lines may begin as JSON does without being any
_GZIP_TYPES = ("application/gzip", "application/x-gzip")
_LONGEST_QUESTION_BYTES = 64 * 1024  # a larger body is a log, not a path

_FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "The log, or compressed by gzip. `name`, `format`, `path` and `wait` may be "
            "further fields, which go before the parameters.",
        }
    },
}


# Not every store can hold a NUL, and no file has one in its name.
_LogName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]


class LoadParameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: _LogName | SkipJsonSchema[None] = Field(
        default=None,
        description="Name of the log in the body, as /rejects shows it. Default: that of the file in a form, "
        f"else `{DEFAULT_NAME}`.",
        examples=["requests.log"],
    )
    format: FormatName | SkipJsonSchema[None] = Field(
        default=None, description="Format of the lines. Default: the setting LOG_FORMAT."
    )
    path: Annotated[str, Field(min_length=1, max_length=4096)] | SkipJsonSchema[None] = Field(
        default=None,
        description="A file below the setting LOAD_FOLDER, to be loaded instead of the body; a body "
        '`{"path": …}` in JSON does the same.',
        examples=["2024/requests.log.gz"],
    )
    wait: bool = Field(
        default=False, description="Answer with 200 when every line is in the store, instead of at once."
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
        status_code=202,
        dependencies=[*keys, Depends(only_parameters_of(LoadParameters))],
        responses={
            200: {"model": Loaded, "description": "With `wait`: every line is in the store."},
            202: {
                "model": LoadState,
                "description": "A job was begun, which `Location` leads to.",
                "headers": {"Location": {"schema": {"type": "string"}, "description": "The job."}},
            },
            **problem_responses(*key_problems, 400, 404, 413, 415, 422, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": False,
                "description": "The log itself, or compressed by gzip, or a form with it as a file; without "
                "a body the files of LOG_FILE_PATH are loaded.",
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
    router.add_api_route(
        "/load/{job}",
        load_state,
        methods=["GET"],
        summary="How far a load is",
        operation_id="load_state",
        responses={200: {"model": LoadState}, **problem_responses(404, 422)},
    )
    return router


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
    upload = None
    if _media_type(request) == FORM_TYPE:
        parameters, upload = await _of_form(request, parameters, services.settings)
    else:
        asked = parameters
        parameters = await _with_body(request, asked, services.settings)
        if parameters is asked and asked.path is not None and _has_body(request):
            raise wrong_parameters([QueryError("path", asked.path, "no path beside a log in the body")])
    if upload is None:
        begun = await _begin(request, parameters, services, ingestion)
    else:
        begun = _begin_upload(upload, parameters, services, ingestion)
    if parameters.wait:
        await begun.ended
        return documents.json_response(_loaded(begun))
    response = documents.json_response(documents.load_state(begun), 202)
    response.headers["Location"] = f"/load/{begun.job_id}"
    return response


async def load_state(
    job: Annotated[str, PathParameter(description="What POST /load answered with as `job`.", max_length=64)],
    services: Context,
) -> Response:
    """Bytes, lines, rejects and state of a job; the last thousand that ended are remembered."""
    return documents.json_response(documents.load_state(services.jobs.get(job)))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "identity").strip().lower()


async def _with_body(request: Request, parameters: LoadParameters, settings: Settings) -> LoadParameters:
    """The parameters, with those that a small body gives instead of a log: as JSON, or as a form.

    Raises HTTPException 400 for a body that was to be JSON and is none, where no line can be such.
    """
    kind = _media_type(request)
    length = request.headers.get("content-length", "")
    if kind not in {"application/json", "application/x-www-form-urlencoded"} or not (
        length.isdecimal() and 0 < int(length) <= _LONGEST_QUESTION_BYTES
    ):
        return parameters
    body = await request.body()
    if kind == "application/json":
        given = _as_json(body)
        if given is None and (parameters.format or settings.log_format) not in _FORMATS_WITH_BRACES:
            _check_no_broken_json(body)
    else:
        given = _as_form(body)
    if given is None or "path" not in given or not given.keys() <= {"path", "format", "wait"}:
        return parameters
    return _validated({**parameters.model_dump(exclude_unset=True), **given})


def _as_json(body: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _check_no_broken_json(body: bytes) -> None:
    """A log of JSON lines has a whole document in its first line, whatever comes behind it."""
    first = body.strip().partition(b"\n")[0]
    if not first.startswith(b"{"):
        return
    for document in (first, body):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(document)
            return
    raise HTTPException(
        400,
        'body: found what is no JSON, expected {"path": …} or a log; say format=json for a log of JSON lines',
    )


def _as_form(body: bytes) -> dict[str, object] | None:
    # curl calls every body a form; a log has lines.
    if not body.startswith((b"path=", b"format=", b"wait=")) or b"\n" in body:
        return None
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


async def _of_form(
    request: Request, parameters: LoadParameters, settings: Settings
) -> tuple[LoadParameters, Upload | None]:
    """The parameters, with those that the fields of a form give, and its file when it has one."""
    encoding = _encoding(request)
    if encoding != "identity":
        raise HTTPException(
            415, f"Content-Encoding: found {encoding!r}, expected none for a form; its file may be a gzip"
        )
    check_announced(request, settings, bytes_beside=MOST_BYTES_BESIDE)
    form = Form(request)
    await form.begin()
    if form.filename is None:
        return _with_fields(form, parameters), None
    upload = await written(form.file(), settings, compressed=form.file_type in _GZIP_TYPES)
    try:
        return _with_fields(form, parameters), upload
    except BaseException:
        upload.remove()
        raise


def _with_fields(form: Form, parameters: LoadParameters) -> LoadParameters:
    check_names(
        LoadParameters, ImmutableMultiDict(form.fields), "; curl sends a file with an @: -F file=@FILE"
    )
    names = {"name": form.filename} if form.filename else {}
    # A field that was left empty is one that was not filled in.
    fields = {name: value for name, value in form.fields if value}
    parameters = _validated({**names, **parameters.model_dump(exclude_unset=True), **fields})
    if form.filename is None and parameters.path is None:
        raise HTTPException(
            422, "form: found no file and no path, expected one of them; curl sends a file with -F file=@FILE"
        )
    if form.filename is not None and parameters.path is not None:
        raise wrong_parameters([QueryError("path", parameters.path, "no path beside a file")])
    return parameters


def _validated(given: Mapping[str, object]) -> LoadParameters:
    try:
        return LoadParameters.model_validate(given)
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None


async def _begin(
    request: Request, parameters: LoadParameters, services: Services, ingestion: Ingestion
) -> Load:
    settings = services.settings
    if parameters.path is not None:
        if parameters.name is not None:
            raise wrong_parameters([QueryError("name", parameters.name, "no name beside a path")])
        try:
            file, name = await run_in_threadpool(file_below, settings, parameters.path)
        except QueryError as error:
            raise wrong_parameters([error]) from None
        part = ingestion.start_load(file, name, parameters.format)
        return services.jobs.add(ingestion, [(name, part)], None)
    upload = await received(request, settings, compressed=_is_compressed(request))
    if upload.sent_bytes:
        return _begin_upload(upload, parameters, services, ingestion)
    upload.remove()
    return services.jobs.add(ingestion, _load_configured(ingestion, settings, parameters), None)


def _begin_upload(
    upload: Upload, parameters: LoadParameters, services: Services, ingestion: Ingestion
) -> Load:
    try:
        name = parameters.name or DEFAULT_NAME
        part = ingestion.start_load(upload.path, name, parameters.format)
        return services.jobs.add(ingestion, [(name, part)], upload)
    except BaseException:
        upload.remove()
        raise


def _is_compressed(request: Request) -> bool:
    """Whether the body is said to be a gzip. Raises HTTPException 415 for what is no log."""
    kind = _media_type(request)
    if kind.startswith("multipart/"):
        raise HTTPException(415, f"Content-Type: found {kind!r}, expected {FORM_TYPE}, or the log itself")
    encoding = _encoding(request)
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise HTTPException(415, f"Content-Encoding: found {encoding!r}, expected gzip or none")
    return encoding != "identity" or kind in _GZIP_TYPES


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
        reasons = reasons or "it names queues only, which are read all the time"
        raise HTTPException(404, f"LOG_FILE_PATH: found no log to load ({reasons})")
    return [(file.path, ingestion.start_load(Path(file.path), file.path, file.format_name)) for file in files]


def _loaded(load: Load) -> Loaded:
    progresses = load.progresses()
    if any(progress.state not in {"done", "failed"} for _, progress in progresses):
        raise HTTPException(
            503, "The service stopped before the load was done; load it again, nothing counts twice."
        )
    failures = [f"{name}: {progress.error}" for name, progress in progresses if progress.state == "failed"]
    if failures:
        raise LoadError("; ".join(failures))
    files = [documents.loaded_file(name, progress) for name, progress in progresses]
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
