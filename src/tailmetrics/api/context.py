"""What the routes work with, handed to them by FastAPI instead of through globals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, cast

import polars as pl
from fastapi import Depends, Request

from tailmetrics.api.admission import Admission, Weight
from tailmetrics.api.http.access import Access
from tailmetrics.api.jobs import LoadJobs
from tailmetrics.api.ports import Supervisor
from tailmetrics.api.versions import Versions
from tailmetrics.objectives.alerts.evaluator import Evaluator
from tailmetrics.objectives.file import ObjectivesFile
from tailmetrics.objectives.history import History
from tailmetrics.settings import Settings
from tailmetrics.stats import RecordsQuery
from tailmetrics.stores.base import Reads, Store
from tailmetrics.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """`ingestion` is None in a process that only answers requests.

    `access_warning` is what is to be said of who may ask, None when there is nothing; `objectives` is None in
    an app that answers no queries, `evaluator` where nothing is promised.
    """

    settings: Settings
    store: Store
    ingestion: Supervisor | None
    metrics: Metrics
    access: Access
    access_warning: str | None = None
    objectives: ObjectivesFile | None = None
    evaluator: Evaluator | None = None
    jobs: LoadJobs = field(default_factory=LoadJobs)
    admission: Admission = field(default_factory=Admission)
    history: History = field(init=False)
    versions: Versions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", History(self.store))
        object.__setattr__(self, "versions", Versions(self.store, self.settings.cache_seconds))

    @asynccontextmanager
    async def asking(self, weight: Weight = Weight.USUAL) -> AsyncIterator[Reads]:
        """The store, when it is one's turn to ask it something. Raises Overloaded."""
        async with self.admission.turn(self.settings.query_timeout_seconds, weight):
            yield self.store

    async def records(self, query: RecordsQuery) -> AsyncIterator[pl.DataFrame]:
        """The records of a query, each frame in a turn of its own. Raises Overloaded."""
        frames = self.store.records(query)
        while True:
            async with self.asking():
                frame = await anext(frames, None)
            if frame is None:
                return
            yield frame


def _of_request(request: Request) -> Services:
    return cast(Services, request.app.state.services)


Context = Annotated[Services, Depends(_of_request)]
