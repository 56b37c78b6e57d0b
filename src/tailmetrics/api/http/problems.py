"""Every error of the API as problem details (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from typing_extensions import NotRequired, TypedDict

from tailmetrics.api.http.middleware import SECURITY_HEADERS
from tailmetrics.errors import (
    FormatError,
    LoadError,
    Overloaded,
    QueryError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    TailmetricsError,
    UnknownCustomer,
)

MEDIA_TYPE = "application/problem+json"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
RETRY_AFTER_SECONDS = 5  # said when the store did not say when to come back

_A_MOMENT = "a time with its offset, such as 2030-01-01T00:00:00Z"

# What is expected, by the type of pydantic's error; other types say it in their message.
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "datetime_from_date_parsing": _A_MOMENT,
    "datetime_parsing": _A_MOMENT,
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text without control characters",
    "string_type": "text",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "timezone_aware": _A_MOMENT,
}

# Errors whose text says all.
_PROBLEMS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (UnknownCustomer, 404, "unknown-customer", "Unknown customer"),
    (FormatError, 422, "not-loaded", "The log cannot be loaded"),
    (LoadError, 422, "not-loaded", "The log cannot be loaded"),
    (StoreError, 500, "store-error", "The store cannot be used"),
)

_LONGEST_SHOWN_VALUE = 200  # characters of a wrong value that are repeated in the answer


class ParameterProblem(TypedDict):
    """One parameter that is wrong."""

    parameter: Annotated[str, Field(description="Name of the parameter.", examples=["from"])]
    value: Annotated[
        str | None, Field(description="What was found; null when nothing was.", examples=["2024-02-30"])
    ]
    expected: Annotated[
        str, Field(description="What would be right.", examples=["a date that exists, such as 2024-10-10"])
    ]


class Problem(TypedDict):
    """Problem details (RFC 9457)."""

    type: Annotated[
        str,
        Field(
            description="Kind of the problem, `about:blank` when the status says all.",
            examples=["urn:tailmetrics:problem:invalid-parameter"],
        ),
    ]
    title: Annotated[str, Field(description="The kind in words.", examples=["A parameter is wrong"])]
    status: Annotated[int, Field(description="HTTP status.", ge=400, le=599, examples=[422])]
    detail: Annotated[
        str,
        Field(
            description="What was found, what was expected, what to do.",
            examples=["from: found '2024-02-30', expected a date that exists, such as 2024-10-10"],
        ),
    ]
    instance: Annotated[str, Field(description="Path of the request.", examples=["/customers/cust_1/stats"])]
    errors: NotRequired[
        Annotated[list[ParameterProblem], Field(description="The parameters that are wrong.")]
    ]


def problem_type(kind: str | None) -> str:
    """The URI of a kind of problem; without one the status says all."""
    return "about:blank" if kind is None else f"urn:tailmetrics:problem:{kind}"


def problem_response(
    path: str,
    status: int,
    detail: str,
    *,
    kind: str | None = None,
    title: str | None = None,
    errors: Sequence[ParameterProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as a response."""
    problem: Problem = {
        "type": problem_type(kind),
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": quote(path),
    }
    if errors:
        problem["errors"] = list(errors)
    return Response(
        to_json(problem),
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def status_of(error: TailmetricsError) -> int:
    """The status of the problem that an error of the package is."""
    if isinstance(error, QueryError):
        return 422
    if isinstance(error, (Overloaded, StoreUnavailable)):
        return 503
    return next((status for kind, status, *_ in _PROBLEMS if isinstance(error, kind)), 500)


def wrong_parameters(problems: Sequence[QueryError]) -> RequestValidationError:
    """The exception for parameters that are wrong, in the form in which FastAPI raises its own."""
    return RequestValidationError(
        [
            {
                "type": "parameter",
                "loc": ("query", error.parameter),
                "msg": error.expected,
                "input": error.value,
            }
            for error in problems
        ]
    )


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_validation)
    app.exception_handler(ClientDisconnect)(_disconnect)
    app.exception_handler(QueryError)(_query)
    app.exception_handler(StoreUnavailable)(_store_unavailable)
    app.exception_handler(Overloaded)(_overloaded)
    for error, status, kind, title in _PROBLEMS:
        app.exception_handler(error)(_handler(status, kind, title))
    app.exception_handler(Exception)(_unexpected)


async def _http(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = "There is nothing at this address; /docs lists what there is."
    elif error.status_code == 405:
        return _method_not_allowed(request, error)
    return problem_response(request.url.path, error.status_code, detail, headers=error.headers)


def _method_not_allowed(request: Request, error: HTTPException) -> Response:
    methods = set((error.headers or {}).get("Allow", "GET").split(", "))  # static files leave it out
    for method in _METHODS - methods:  # of an address with several routes the error knows the first
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            methods.add(method)
    allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    return problem_response(
        request.url.path, 405, f"found {request.method}, expected {allowed}", headers={"Allow": allowed}
    )


async def _validation(request: Request, error: RequestValidationError) -> Response:
    problems: dict[str, ParameterProblem] = {}
    for found in error.errors():
        problem = _parameter_problem(found)
        # Of a parameter that may be left out pydantic also says that it is not None.
        problems.setdefault(problem["parameter"], problem)
    return _wrong_parameters(request, list(problems.values()))


async def _query(request: Request, error: QueryError) -> Response:
    problem: ParameterProblem = {
        "parameter": error.parameter,
        "value": _shown(error.value),
        "expected": error.expected,
    }
    return _wrong_parameters(request, [problem])


def _wrong_parameters(request: Request, problems: list[ParameterProblem]) -> Response:
    detail = "; ".join(
        f"{problem['parameter']}: found {problem['value']!r}, expected {problem['expected']}"
        for problem in problems
    )
    return problem_response(
        request.url.path,
        422,
        detail,
        kind="invalid-parameter",
        title="A parameter is wrong" if len(problems) == 1 else "Parameters are wrong",
        errors=problems,
    )


def _parameter_problem(problem: dict[str, Any]) -> ParameterProblem:
    template = _EXPECTED.get(problem["type"])
    return {
        "parameter": _name_of(problem["loc"]),
        "value": _shown(problem["input"]),
        "expected": str(problem["msg"]) if template is None else template.format(**problem.get("ctx", {})),
    }


def _name_of(place: Sequence[str | int]) -> str:
    """The parameter's name stands after `path`, `query` or `body`; a body as a whole has none."""
    return place[1] if len(place) > 1 and isinstance(place[1], str) else str(place[0])


def _shown(value: object) -> str | None:
    if value is None:
        return None
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_SHOWN_VALUE else text[:_LONGEST_SHOWN_VALUE] + "…"


async def _store_unavailable(request: Request, error: StoreUnavailable) -> Response:
    seconds = RETRY_AFTER_SECONDS if error.retry_after_seconds is None else error.retry_after_seconds
    is_refused = isinstance(error, StoreRefused)
    return problem_response(
        request.url.path,
        503,
        str(error),
        kind="store-refused" if is_refused else "store-unavailable",
        title="The store refuses the service" if is_refused else "The store does not answer",
        headers={"Retry-After": str(max(1, math.ceil(seconds)))},
    )


async def _overloaded(request: Request, error: Overloaded) -> Response:
    return overloaded_response(request.url.path, error)


def overloaded_response(path: str, error: Overloaded, headers: Mapping[str, str] | None = None) -> Response:
    """What is answered where there is no room for a further question."""
    return problem_response(
        path,
        503,
        str(error),
        kind="overloaded",
        title="Too many questions at once",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS), **(headers or {})},
    )


def _handler(status: int, kind: str, title: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        return problem_response(request.url.path, status, str(error), kind=kind, title=title)

    return handle


async def _disconnect(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette's signature
    return problem_response(request.url.path, 400, "The connection ended before the body did.")


async def _unexpected(request: Request, error: Exception) -> Response:  # noqa: ARG001  # its text may tell secrets
    return problem_response(
        request.url.path,
        500,
        "An error of the service itself; its log says more.",
        headers=SECURITY_HEADERS,  # this one answer is given outside of all middleware
    )
