"""A session for the dashboard, in exchange for a key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api.context import Context
from tailmetrics.api.http.access import CHALLENGE, limited_response
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.http.sessions import COOKIE, MARK, SESSION_SECONDS, new_session
from tailmetrics.telemetry.log import EventLog

log = EventLog()

router = APIRouter(tags=["service"])


class GivenKey(BaseModel):
    model_config = ConfigDict(frozen=True)

    key: str = Field(max_length=1024, description="A key of the settings API_KEY or API_READ_KEY.")


@router.post(
    "/session",
    summary="Begin a session",
    operation_id="begin_session",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "The cookie of the session."},
        **problem_responses(400, 401, 413, 422, 429),
    },
)
async def begin(given: Annotated[GivenKey, Body()], request: Request, services: Context) -> Response:
    """Sets a cookie that stands for the key for twelve hours. Where no key is set, none is needed."""
    response = _empty()
    if not services.access.guards_changes:
        return response
    key = services.access.sign_in(given.key.encode("utf-8", "surrogatepass"), request.scope)
    if isinstance(key, float):
        return limited_response(request.url.path, key)
    if key is None:
        names = " or ".join(each.name for each in services.access.keyring.settings)
        raise HTTPException(
            401,
            f"key: found another value, expected a key of the setting {names}",
            headers={"WWW-Authenticate": CHALLENGE},
        )
    log.info("session begun", key=key.name)
    # What is behind a proxy may itself be asked by plain HTTP; a client that lies about it binds only itself.
    forwarded = request.headers.get("x-forwarded-proto", "").lower()
    is_secure = request.url.scheme == "https" or forwarded.startswith("https")
    for name, value, is_hidden in ((COOKIE, new_session(key.value), True), (MARK, "1", False)):
        response.set_cookie(
            name,
            value,
            max_age=SESSION_SECONDS,
            httponly=is_hidden,
            samesite="strict",
            secure=is_secure,
        )
    return response


@router.post(
    "/session/end",
    summary="End the session",
    operation_id="end_session",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "The browser forgets the cookie."}, **problem_responses(400, 413)},
)
async def end() -> Response:
    """The browser forgets its session. One that was copied before is over with its time, or with its key."""
    response = _empty()
    for name in (COOKIE, MARK):
        response.delete_cookie(name, samesite="strict")
    return response


def _empty() -> Response:
    return Response(status_code=204, headers={"Cache-Control": "no-store"})
