"""The OpenAPI document: what FastAPI derives from the routes, with every error as a problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from tailmetrics.api.http.access import KEY_HEADER, Access
from tailmetrics.api.http.problems import MEDIA_TYPE, Problem, problem_type

DESCRIPTION = """
Statistics per customer from logs that grow, each line counted exactly once.

Latencies are in seconds, uptime in percent, sizes and offsets in bytes. Ranges and windows are half-open:
the beginning is included, the end is not. Every error is a problem (RFC 9457) in `application/problem+json`.
"""


@dataclass(frozen=True, slots=True)
class _Documented:
    """What a status means, and the title and detail of an example; `kind` None where the status says all."""

    description: str
    title: str
    detail: str
    kind: str | None = None


_DOCUMENTED = {
    400: _Documented(
        "The connection ended before the body did, or the body is not whole: a compressed file or a form.",
        "Bad Request",
        "The connection ended before the body did.",
    ),
    401: _Documented(
        "The header X-API-Key, or a session, is missing, or its value is none of the keys that are set.",
        "Unauthorized",
        "X-API-Key: found nothing, expected a key of the setting API_KEY or API_READ_KEY",
    ),
    403: _Documented(
        "The Host is not one of ours, a page of another origin wants to change something, or a key may only "
        "read.",
        "Refused",
        "Host: found 'example.org', expected one of 127.0.0.1, ::1, localhost; further names go into the "
        "setting API_ALLOWED_HOSTS",
        "refused",
    ),
    404: _Documented(
        "There is nothing of that name.",
        "Unknown customer",
        "no requests of customer 'cust_99' in the store",
        "unknown-customer",
    ),
    409: _Documented(
        "The store is no file that the service has for itself: what to do instead.",
        "Conflict",
        "sqlite:///data/tailmetrics.sqlite is copied without the service: `tailmetrics backup FILE` "
        "where that file is",
    ),
    413: _Documented(
        "The body is larger than is allowed, a log than the setting LOAD_MAX_BYTES.",
        "Request Entity Too Large",
        "body: found 20000000000 bytes, expected at most 10737418240, the setting LOAD_MAX_BYTES; raise "
        "it, send the log in parts, or stop the service and run `tailmetrics load FILE`, which has no such "
        "limit",
    ),
    415: _Documented(
        "The body is compressed in a way that is not read, or holds no log.",
        "Unsupported Media Type",
        "Content-Encoding: found 'br', expected gzip, xz, bzip2 or zstd, or none",
    ),
    422: _Documented(
        "A parameter is wrong; `errors` names it, what was found and what was expected.",
        "A parameter is wrong",
        "from: found '2024-02-30', expected a date and time that exist, such as 2024-10-10 or "
        "2024-10-10T08:00:00Z",
        "invalid-parameter",
    ),
    429: _Documented(
        "Many wrong keys came from the client's address.",
        "Too many wrong keys",
        "many wrong keys came from this address; no key of it is looked at for some seconds",
        "wrong-keys",
    ),
    500: _Documented(
        "An error of the service itself, or a store that cannot be used.",
        "Internal Server Error",
        "An error of the service itself; its log says more.",
    ),
    503: _Documented(
        "The store does not answer now, too much is asked at once, or nothing reads logs in this process.",
        "The store does not answer",
        "the question took longer than 30 seconds",
        "store-unavailable",
    ),
    507: _Documented(
        "The disk has no room for the log while it is read.",
        "Insufficient Storage",
        "body: found no room for it in data (No space left on device); make room there",
    ),
}

_SCHEME = "APIKeyHeader"
_SCHEME_DESCRIBED = {
    "type": "apiKey",
    "in": "header",
    "name": KEY_HEADER,
    "description": "A key of the settings API_KEY, API_READ_KEY or their files; those of API_KEY may also "
    "change something. `Authorization: Bearer KEY` does as well, and the cookie of POST /session.",
}

_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with problems of these statuses; 403 and 500 always may."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 403, 500}):
        documented = _DOCUMENTED[status]
        schema = {"$ref": "#/components/schemas/Problem"}
        responses[status] = {
            "description": documented.description,
            "content": {MEDIA_TYPE: {"schema": schema, "example": _example(status, documented)}},
        }
        if status in {429, 503}:
            responses[status]["headers"] = _RETRY_AFTER
    return responses


def _example(status: int, documented: _Documented) -> Problem:
    example: Problem = {
        "type": problem_type(documented.kind),
        "title": documented.title,
        "status": status,
        "detail": documented.detail,
        "instance": "/customers/cust_1/stats",
    }
    if status == 422:
        parameter, _, rest = documented.detail.partition(": found ")
        value, _, expected = rest.partition(", expected ")
        example["errors"] = [{"parameter": parameter, "value": value.strip("'"), "expected": expected}]
    return example


def _describe_keys(document: dict[str, Any], access: Access) -> None:
    """Say of each operation that needs a key that it does."""
    methods = {"get", "post", "put", "delete", "patch"}
    for path, item in document["paths"].items():
        for method in methods & item.keys():
            if access.needed(method.upper(), path) is not None:
                item[method]["security"] = [{_SCHEME: []}]
                item[method]["responses"] |= {
                    str(status): response for status, response in problem_responses(401, 429).items()
                }
                document["components"]["securitySchemes"] = {_SCHEME: _SCHEME_DESCRIBED}


class DescribedFastAPI(FastAPI):
    """FastAPI whose OpenAPI document knows problems, and which operations need a key."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            problem = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs", {}))
            schemas["Problem"] = problem
            _describe_keys(document, self.state.services.access)
        return super().openapi()
