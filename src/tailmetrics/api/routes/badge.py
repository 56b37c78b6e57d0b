"""The uptime of a customer as a small picture for other pages."""

from __future__ import annotations

import math
from typing import Annotated
from xml.sax.saxutils import escape

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from tailmetrics.api.admission import Weight
from tailmetrics.api.context import Context
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import CustomerId, RangeParameters, only_parameters_of
from tailmetrics.api.queries import asked_range
from tailmetrics.stats import StatsQuery
from tailmetrics.windows import parse_every

MEDIA_TYPE = "image/svg+xml"

# From the uptime of the first column on, in percent; each is dark enough for white text.
_COLORS = ((99.9, "#1b7a3d"), (99.0, "#4d7326"), (95.0, "#8a6100"), (0.0, "#b3400a"))
_UNKNOWN_COLOR = "#5c6673"
_LABEL, _CHARACTER_WIDTH, _PADDING = "uptime", 7, 7

_HEADERS = {
    "Cache-Control": "max-age=60",
    # A badge is there to be shown by pages of other origins.
    "Cross-Origin-Resource-Policy": "cross-origin",
}

router = APIRouter(tags=["statistics"])


@router.get(
    "/customers/{customer_id:path}/badge.svg",
    summary="Uptime of one customer as a picture",
    operation_id="customer_badge",
    response_class=Response,
    dependencies=[Depends(only_parameters_of(RangeParameters))],
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
        **problem_responses(404, 422, 503),
    },
)
async def customer_badge(
    customer_id: Annotated[CustomerId, Path(description="The customer, percent-encoded.")],
    parameters: Annotated[RangeParameters, Query()],
    services: Context,
) -> Response:
    """Percent of the requests in the range that did not fail, rounded down; grey without requests."""
    asked = asked_range(parameters)
    query = StatsQuery(
        customer_id, parse_every("none"), asked.start, asked.end, asked.zone, parameters.failures
    )
    async with services.asking(Weight.LIGHT) as store:
        answer = await store.stats(query)
    return Response(badge(answer.summary.uptime), media_type=MEDIA_TYPE, headers=_HEADERS)


def badge(uptime: float | None) -> str:
    """The picture, SVG; `uptime` in percent."""
    value, color = "no requests", _UNKNOWN_COLOR
    if uptime is not None:
        value = f"{math.floor(uptime * 100 + 1e-9) / 100:g}%"
        color = next(color for least, color in _COLORS if uptime >= least)
    left, right = (len(text) * _CHARACTER_WIDTH + 2 * _PADDING for text in (_LABEL, value))
    text = escape(f"{_LABEL}: {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{text}"><title>{text}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#3b4552"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{color}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:g}" y="14">{_LABEL}</text>'
        f'<text x="{left + right / 2:g}" y="14">{escape(value)}</text></g></svg>\n'
    )
