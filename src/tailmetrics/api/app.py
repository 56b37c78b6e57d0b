"""The app, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI

from tailmetrics.api import pages
from tailmetrics.api.cache import CacheMiddleware
from tailmetrics.api.context import Services
from tailmetrics.api.evaluation import evaluating, evaluator_of
from tailmetrics.api.http import problems
from tailmetrics.api.http.access import Access, AccessMiddleware
from tailmetrics.api.http.guard import Guard
from tailmetrics.api.http.middleware import HeadAsGet, QueryTiming, SecurityHeaders, TrailingSlash
from tailmetrics.api.http.openapi import DESCRIPTION, DescribedFastAPI
from tailmetrics.api.http.request_bodies import RequestBodies
from tailmetrics.api.live import routes as live_routes
from tailmetrics.api.live.view import viewed_once
from tailmetrics.api.load import routes as load_routes
from tailmetrics.api.load.uploads import remove_leftovers
from tailmetrics.api.ports import Supervisor
from tailmetrics.api.routes import (
    alerts,
    backup,
    badge,
    breakdown,
    customers,
    latencies,
    objectives,
    probes,
    records,
    rejects,
    requests,
    session,
    stats,
)
from tailmetrics.api.status_pages import routes as status_pages
from tailmetrics.objectives.file import ObjectivesFile
from tailmetrics.settings import Settings
from tailmetrics.stores.base import Store
from tailmetrics.telemetry.metrics import Metrics

_ROUTERS = (
    stats.router,
    breakdown.router,
    latencies.router,
    customers.router,
    rejects.router,
    objectives.router,
    alerts.router,
    records.router,
    requests.router,
    probes.router,
    backup.router,
    badge.router,
    session.router,
    status_pages.router,
    load_routes.router,
)


def create_app(
    settings: Settings,
    store: Store,
    ingestion: Supervisor | None,
    metrics: Metrics,
    objectives_file: ObjectivesFile | None = None,
) -> FastAPI:
    """The API over a store, and over the dataflow when it runs in the same process.

    The caller opens the store before and closes it after the app has ended. Without `objectives_file` the app
    reads it itself. Raises SettingsError when a file that a setting names cannot be used.
    """
    app = DescribedFastAPI(
        title="tailmetrics",
        version=version("tailmetrics"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a slash may be the last character of a customer id
        lifespan=_running,
    )
    services = _services(settings, store, ingestion, metrics, objectives_file or ObjectivesFile(settings))
    if ingestion is not None:
        remove_leftovers(settings)
    _install(app, services, settings.api_host)
    app.add_middleware(RequestBodies)
    app.add_middleware(TrailingSlash)
    app.add_middleware(
        CacheMiddleware,
        versions=services.versions,
        admission=services.admission,
        metrics=metrics,
        access=services.access,
    )
    for router in _ROUTERS:
        app.include_router(router)
    live_routes.install(app, services)
    app.include_router(pages.router)
    return app


def create_probes_app(settings: Settings, store: Store, ingestion: Supervisor, metrics: Metrics) -> FastAPI:
    """What a process without the API says of itself: /health, /ready and /metrics."""
    app = FastAPI(title="tailmetrics", openapi_url=None, redirect_slashes=False)
    services = Services(settings, store, ingestion, metrics, Access(settings))
    _install(app, services, settings.metrics_host)
    app.add_middleware(RequestBodies)
    app.add_middleware(TrailingSlash)
    app.include_router(probes.router)
    return app


@contextlib.asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """What goes on beside the answers; a store that this process writes to needs its time for that first."""
    services = app.state.services
    seen = viewed_once(services) if services.ingestion is None else contextlib.nullcontext()
    async with seen, evaluating(app):
        yield


def _services(
    settings: Settings,
    store: Store,
    ingestion: Supervisor | None,
    metrics: Metrics,
    objectives: ObjectivesFile,
) -> Services:
    evaluator = evaluator_of(settings, store, ingestion, metrics, objectives)
    access = Access(settings)
    return Services(
        settings, store, ingestion, metrics, access, settings.access_warning, objectives, evaluator
    )


def _install(app: FastAPI, services: Services, host: str) -> None:
    """What an app has around its routes."""
    app.state.services = services
    if services.ingestion is not None:
        ingestion = services.ingestion
        services.metrics.watch_sources(ingestion.sources)
        services.metrics.watch_lost_bytes(lambda: ingestion.state().lost_bytes)
    # The one added last is the first that a request meets.
    if services.access.guards_changes:
        app.add_middleware(AccessMiddleware, access=services.access)
    app.add_middleware(Guard, host=host, names=services.settings.api_allowed_hosts)
    app.add_middleware(QueryTiming, metrics=services.metrics)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SecurityHeaders)
    problems.install(app)
