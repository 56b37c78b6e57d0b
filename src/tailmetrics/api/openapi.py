"""The OpenAPI document: what FastAPI derives from the routes, with every error as a problem."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from tailmetrics.api.problems import MEDIA_TYPE, Problem

DESCRIPTION = """
Statistics per customer from logs that grow, each line counted exactly once.

Latencies are in seconds, uptime in percent, sizes and offsets in bytes. Ranges and windows are half-open:
the beginning is included, the end is not. Every error is a problem (RFC 9457) in `application/problem+json`.
"""

_DESCRIPTIONS = {
    400: "The connection ended before the body did.",
    401: "The header X-API-Key is missing or has another value than the setting API_KEY.",
    403: "The Host is not one of ours, or a page of another origin wants to change something.",
    404: "There is nothing of that name.",
    413: "The log is larger than the setting LOAD_MAX_BYTES.",
    415: "The body is a form or compressed, not the log itself.",
    422: "A parameter is wrong; `errors` names it, what was found and what was expected.",
    500: "An error of the service itself, or a store that cannot be used.",
    503: "The store does not answer now, or nothing reads logs in this process.",
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
        responses[status] = {
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status == 503:
            responses[status]["headers"] = _RETRY_AFTER
    return responses


class DescribedFastAPI(FastAPI):
    """FastAPI whose OpenAPI document knows problems."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            problem = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs", {}))
            schemas["Problem"] = problem
        return super().openapi()
