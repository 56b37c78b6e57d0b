"""A session for the dashboard, in exchange for the key."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailmetrics.api.context import Context
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.http.sessions import COOKIE, SESSION_SECONDS, new_session

router = APIRouter(tags=["service"])


class Key(BaseModel):
    model_config = ConfigDict(frozen=True)

    key: str = Field(max_length=1024, description="The value of the setting API_KEY.")


@router.post(
    "/session",
    summary="Begin a session",
    operation_id="begin_session",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "The cookie of the session."}, **problem_responses(400, 401, 413, 422)},
)
async def begin(given: Annotated[Key, Body()], request: Request, services: Context) -> Response:
    """Sets a cookie that stands for the header X-API-Key for twelve hours. Without API_KEY none is needed."""
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    key = services.settings.api_key
    if key is None:
        return response
    if not secrets.compare_digest(
        given.key.encode("utf-8", "surrogatepass"), key.get_secret_value().encode()
    ):
        raise HTTPException(
            401,
            "key: found another value, expected the value of the setting API_KEY",
            headers={"WWW-Authenticate": 'ApiKey realm="tailmetrics"'},
        )
    response.set_cookie(
        COOKIE,
        new_session(key.get_secret_value()),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response
