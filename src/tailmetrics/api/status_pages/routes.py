"""Status pages are made, listed and revoked by those with a key, and seen by whoever has their address."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Body, Path, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from typing_extensions import TypedDict

from tailmetrics.api import documents
from tailmetrics.api.admission import Weight
from tailmetrics.api.context import Context, Services
from tailmetrics.api.http.access import identity_of
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import CustomerId
from tailmetrics.api.schemas import Time
from tailmetrics.api.status_pages.page import Promise, State, Status, html_of
from tailmetrics.api.status_pages.tokens import (
    StatusPage,
    add_status_page,
    page_of_token,
    revoke_status_page,
    status_pages,
)
from tailmetrics.api.times import formatter
from tailmetrics.objectives.budgets import Budget, budgets_at
from tailmetrics.stats import BreakdownQuery, Failures, StatsQuery
from tailmetrics.stores.base import Queries
from tailmetrics.telemetry.log import EventLog
from tailmetrics.windows import parse_every, zone_named

DAYS = 42
USUAL_TARGET = 99.0  # per cent, where nothing else was promised
_WRITE = formatter(ZoneInfo("UTC"))
_STATES: dict[str, State] = {"kept": "kept", "at_risk": "partly", "broken": "broken"}
_HEADERS = {"Cache-Control": "private, max-age=30", "X-Robots-Tag": "noindex, nofollow"}

log = EventLog()
router = APIRouter(tags=["status pages"])


class StatusPageAsked(BaseModel):
    """Whose page is to be made, and how its figures are counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: CustomerId
    failures: Failures = Field(default="4xx+5xx", description="Which statuses are failures.")
    tz: str = Field(default="UTC", description="Time zone (IANA name) in which days begin.")


class StatusPageEntry(TypedDict):
    """A page without its token, of which only a hash is kept."""

    id: str
    customer_id: str
    created_at: Time
    failures: Failures
    tz: str


class NewStatusPage(StatusPageEntry):
    path: Annotated[str, Field(description="Of its address, with the token, which is told this once.")]


class StatusPages(TypedDict):
    """Status pages that are not revoked, the oldest first."""

    status_pages: list[StatusPageEntry]


@router.post(
    "/status-pages",
    summary="Make a status page",
    operation_id="make_status_page",
    status_code=201,
    responses={201: {"model": NewStatusPage}, **problem_responses(400, 404, 413, 422, 503)},
)
async def make(asked: Annotated[StatusPageAsked, Body()], request: Request, services: Context) -> Response:
    """A read-only page of one customer at an address that nobody can guess. The token is told this once."""
    zone = zone_named(asked.tz)
    now = datetime.now(timezone.utc)
    async with services.asking(Weight.LIGHT) as store:
        await store.breakdown(BreakdownQuery(asked.customer, now, now, top=1))  # whether there is one
    page, token = await add_status_page(services.store, asked.customer, asked.failures, zone.key, now)
    log.info("status page made", id=page.id, customer=page.customer_id, **_names(request))
    content: NewStatusPage = {**_entry(page), "path": f"/status/{token}"}
    return documents.json_response(content, 201)


@router.get(
    "/status-pages",
    summary="Status pages",
    operation_id="status_pages",
    responses={200: {"model": StatusPages}, **problem_responses(503)},
)
async def pages(services: Context) -> Response:
    """Whose status can be seen, without the tokens."""
    content: StatusPages = {"status_pages": [_entry(each) for each in await status_pages(services.store)]}
    return documents.json_response(content)


@router.delete(
    "/status-pages/{page_id}",
    summary="Revoke a status page",
    operation_id="revoke_status_page",
    responses={200: {"model": StatusPageEntry}, **problem_responses(404, 503)},
)
async def revoke(
    page_id: Annotated[str, Path(description="As `/status-pages` has it.")],
    request: Request,
    services: Context,
) -> Response:
    """Its address is as one that never was, from this moment on."""
    page = await revoke_status_page(services.store, page_id)
    if page is None:
        raise HTTPException(404, f"found no status page {page_id!r}; `/status-pages` lists them")
    log.info("status page revoked", id=page.id, customer=page.customer_id, **_names(request))
    return documents.json_response(_entry(page))


@router.get("/status/{token}", include_in_schema=False)
async def status_page(token: str, services: Context) -> Response:
    async with services.asking(Weight.LIGHT):
        page = await page_of_token(services.store, token)
    if page is None:
        raise HTTPException(404)
    return HTMLResponse(await _html(services, page), headers=_HEADERS)


async def _html(services: Services, page: StatusPage) -> str:
    now = datetime.now(timezone.utc)
    zone = zone_named(page.tz)
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    first = (today - timedelta(days=DAYS - 1)).astimezone(timezone.utc)
    whole, days = parse_every("none"), parse_every("1d")
    async with services.asking(Weight.LIGHT) as store, store.snapshot() as queries:
        hour = await queries.stats(
            StatsQuery(page.customer_id, whole, now - timedelta(hours=1), now, zone, page.failures)
        )
        past = await queries.stats(
            StatsQuery(page.customer_id, days, first, now, zone, page.failures, fill=True)
        )
        windows = tuple(past.windows)
        budgets = await _budgets(services, queries, page.customer_id, now)
    targets = [
        each.objective.target
        for each in budgets
        if each.objective.kind == "availability" and each.objective.failures == page.failures
    ]
    target = max(targets, default=USUAL_TARGET)
    promises = tuple(map(_promise, budgets))
    return html_of(Status(page.customer_id, now, zone, target, hour.summary.uptime, windows, promises))


async def _budgets(services: Services, queries: Queries, customer_id: str, at: datetime) -> Sequence[Budget]:
    if services.objectives is None or not services.objectives.path:
        return ()
    document = services.objectives.current()
    return (await budgets_at(queries.counts, document, at, customer_id=customer_id)).budgets


def _promise(budget: Budget) -> Promise:
    promised = budget.objective
    what = "do not fail"
    if promised.limit_seconds is not None:
        what = f"take less than {promised.limit_seconds:g} s"
    days = promised.period.removesuffix("d")
    span = f"over {days} days" if days.isdigit() else f"in a {promised.period}"
    compliance = None if budget.compliance is None else float(budget.compliance)
    return Promise(
        promised.name, f"{promised.target:g} % that {what} {span}", compliance, _STATES[budget.state]
    )


def _entry(page: StatusPage) -> StatusPageEntry:
    return {
        "id": page.id,
        "customer_id": page.customer_id,
        "created_at": _WRITE(page.created_at),
        "failures": page.failures,
        "tz": page.tz,
    }


def _names(request: Request) -> dict[str, str]:
    identity = identity_of(request)
    return {} if identity is None else identity.names()
