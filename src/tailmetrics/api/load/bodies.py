"""What a request wants to have loaded: its log as a file, or a path that its parameters or its body give."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException

from tailmetrics.api.http.problems import wrong_parameters
from tailmetrics.api.load.forms import FORM_TYPE, MOST_BYTES_BESIDE, Form
from tailmetrics.api.load.uploads import Upload, check_announced, written
from tailmetrics.api.parameters import LoadParameters, check_names
from tailmetrics.errors import QueryError
from tailmetrics.formats import open_format
from tailmetrics.formats.detection import of_whole
from tailmetrics.settings import Settings
from tailmetrics.tailing.compression import READABLE, Compression, kind_of_coding

_FORMATS_WITH_BRACES = ("json", "regex")  # whose lines may begin as JSON does without being any
_URL_ENCODED = "application/x-www-form-urlencoded"  # curl calls every body so
_READ_BYTES = 1024 * 1024
_LONGEST_QUERY_BYTES = 64 * 1024  # a larger body is a log, not a path


async def wanted(
    request: Request, parameters: LoadParameters, settings: Settings
) -> tuple[LoadParameters, Upload | None]:
    """The parameters with those that the body gives, and the log that was sent, None without one."""
    if _media_type(request) == FORM_TYPE:
        return await _of_form(request, parameters, settings)
    given = await _with_body(request, parameters, settings)
    if given.path is None:
        compressed = _compression(request)
        check_announced(request, settings)
        upload = await written(request.stream(), settings, compressed=compressed)
        with _or_removed(upload):
            is_curls = _media_type(request) == _URL_ENCODED
            await run_in_threadpool(_check_line_ends, upload, given, settings, is_curls=is_curls)
        if upload.sent_bytes:
            return given, upload
        upload.remove()
    elif given is parameters and _has_body(request):
        raise wrong_parameters([QueryError("path", given.path, "no path beside a log in the body")])
    return given, None


async def _with_body(request: Request, parameters: LoadParameters, settings: Settings) -> LoadParameters:
    """The parameters, with those that a small body gives instead of a log: as JSON, or as a form.

    Raises HTTPException 400 for a body that was to be JSON and is none, where no line can be such.
    """
    kind = _media_type(request)
    length = request.headers.get("content-length", "")
    if kind not in {"application/json", _URL_ENCODED} or not (
        length.isdecimal() and 0 < int(length) <= _LONGEST_QUERY_BYTES
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
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(body)
        return document if isinstance(document, dict) else None
    return None


def _check_no_broken_json(body: bytes) -> None:
    """A log of JSON lines has a whole document in its first line, whatever comes behind it."""
    first = body.strip().partition(b"\n")[0]
    if first.startswith(b"{") and _as_json(first) is None and _as_json(body) is None:
        raise HTTPException(
            400,
            'body: found what is no JSON, expected {"path": …} or a log; '
            "say format=json for a log of JSON lines",
        )


def _check_line_ends(
    upload: Upload, parameters: LoadParameters, settings: Settings, *, is_curls: bool = False
) -> None:
    """Raises HTTPException 422 for one line that is no request: a log sent with `curl -d` becomes that.

    One that is not too long is loaded as a line, unless the type of the body is curl's own.
    """
    size = upload.path.stat().st_size
    with upload.path.open("rb") as file:
        if size > settings.max_line_bytes:
            if any(b"\n" in block for block in iter(lambda: file.read(_READ_BYTES), b"")):
                return
        else:
            line = file.read() if is_curls else b""
            if not line or b"\n" in line:
                return
            log_format = of_whole(line, settings.format_options(parameters.format))
            if not len(open_format(log_format).parse(line, 0).rejects):
                return
    raise HTTPException(
        422,
        f"body: found one line of {size} bytes that is no request, expected a log with its line ends, which "
        "`curl -d` takes away; send it with `--data-binary @FILE`, `-X POST -T FILE` or `-F file=@FILE`",
    )


@contextlib.contextmanager
def _or_removed(upload: Upload) -> Iterator[None]:
    try:
        yield
    except BaseException:
        upload.remove()
        raise


def _as_form(body: bytes) -> dict[str, object] | None:
    # A log has lines.
    if not body.startswith((b"path=", b"format=", b"wait=")) or b"\n" in body:
        return None
    return dict(parse_qsl(body.decode("utf-8", "replace")))


async def _of_form(
    request: Request, parameters: LoadParameters, settings: Settings
) -> tuple[LoadParameters, Upload | None]:
    """The parameters, with those that the fields of a form give, and its file when it has one."""
    encoding = _encoding(request)
    if encoding != "identity":
        raise HTTPException(
            415, f"Content-Encoding: found {encoding!r}, expected none for a form; its file may be compressed"
        )
    check_announced(request, settings, bytes_beside=MOST_BYTES_BESIDE)
    form = Form(request)
    await form.begin()
    if form.filename is None:
        return _with_fields(form, parameters), None
    upload = await written(form.file(), settings, compressed=_kind_of_type(form.file_type))
    with _or_removed(upload):
        given = _with_fields(form, parameters)
        await run_in_threadpool(_check_line_ends, upload, given, settings)
    return given, upload


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


def _compression(request: Request) -> Compression | None:
    """How the body is said to be compressed. Raises HTTPException 415 for what is no log."""
    kind = _media_type(request)
    if kind.startswith("multipart/"):
        raise HTTPException(415, f"Content-Type: found {kind!r}, expected {FORM_TYPE}, or the log itself")
    encoding = _encoding(request)
    compression = kind_of_coding(encoding)
    if compression is None and encoding != "identity":
        raise HTTPException(415, f"Content-Encoding: found {encoding!r}, expected {READABLE}, or none")
    return compression or _kind_of_type(kind)


def _kind_of_type(media_type: str) -> Compression | None:
    return kind_of_coding(media_type.removeprefix("application/"))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "identity").strip().lower()


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
