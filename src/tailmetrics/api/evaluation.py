"""Alerts, evaluated beside the API for as long as that runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from fastapi import FastAPI

from tailmetrics.api.ports import Supervisor
from tailmetrics.objectives.alerts.backlog import Backlog
from tailmetrics.objectives.alerts.evaluator import Evaluator
from tailmetrics.objectives.alerts.lease import Lease
from tailmetrics.objectives.file import ObjectivesFile
from tailmetrics.settings import Settings
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import Store
from tailmetrics.telemetry.metrics import Metrics

_END_SECONDS = 1.0  # for the lease to be given back, where a store is slow


def evaluator_of(
    settings: Settings,
    store: Store,
    ingestion: Supervisor | None,
    metrics: Metrics,
    objectives: ObjectivesFile,
) -> Evaluator | None:
    """What evaluates the alerts of the objectives file; None where there is none.

    A file of DuckDB is this process's own; of others one of those that are open to it evaluates.
    """
    if not objectives.path:
        return None
    is_shared = settings.store.scheme != "duckdb"

    async def sources() -> Sequence[SourceStatus]:
        if ingestion is not None and not is_shared:
            return ingestion.sources()
        return (await store.status()).sources

    def by_state() -> Mapping[str, int]:
        return Counter(alert.state for alert in evaluator.keeper.book.alerts) if evaluator.is_leading else {}

    evaluator = Evaluator(
        store,
        objectives.current,
        sources,
        lease=Lease(store) if is_shared else None,
        is_waiting=Backlog().is_waiting,
        observe=metrics.watch_alerts(by_state),
    )
    return evaluator


@contextlib.asynccontextmanager
async def evaluating(app: FastAPI) -> AsyncIterator[None]:
    """The lifespan of an app: its evaluator runs as long as it does."""
    evaluator = app.state.services.evaluator
    if evaluator is None:
        yield
        return
    task = asyncio.create_task(evaluator.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=_END_SECONDS)
