"""The dataflow on queues and a DuckDB store, within the process of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import Settings
from tailmetrics.status import SourceStatus
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import settings_of
from tests.integration.running import await_that

AWAIT_SECONDS = 30.0


class Consuming:
    """What a running dataflow has brought into its store."""

    def __init__(self, settings: Settings, store: Store, ingestion: Supervisor, metrics: Metrics) -> None:
        self.settings = settings
        self.store = store
        self.ingestion = ingestion
        self.metrics = metrics

    def counts(self) -> tuple[int, int]:
        """Records and rejects."""
        status = asyncio.run(self.store.status())
        return status.records, status.rejects

    def await_counts(self, records: int, rejects: int = 0) -> None:
        await_that(lambda: self.counts() == (records, rejects), AWAIT_SECONDS, lambda: str(self.counts()))

    def status(self) -> SourceStatus:
        """Of the first queue."""
        return next(each for each in self.ingestion.sources() if each.path.startswith("amqp"))

    def await_error(self, text: str) -> SourceStatus:
        await_that(
            lambda: text in (self.status().last_error or ""), AWAIT_SECONDS, lambda: str(self.status())
        )
        return self.status()


@contextmanager
def consuming(folder: Path, *urls: str, **changes: Any) -> Iterator[Consuming]:
    settings = settings_of(folder / "store.duckdb", log_file_path=urls, node_id="node", **changes)
    store = open_store(settings)
    metrics = Metrics()
    ingestion = Supervisor(settings, store, metrics)
    ingestion.start()
    try:
        await_that(lambda: ingestion.state().name == "running", AWAIT_SECONDS)
        yield Consuming(settings, store, ingestion, metrics)
    finally:
        ingestion.stop()
        store.close()


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the store holds; nothing may have it open."""
    with duckdb.connect(str(folder / "store.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def log_of(number: int, lines: int = 1) -> bytes:
    """A log whose lines bear its number and their own in their path."""
    return b"".join(b"2024-10-10 08:00:00 c /%d/%d 200 0.1\n" % (number, line) for line in range(lines))


def paths(folder: Path) -> list[str]:
    return [row[0] for row in rows(folder, "SELECT path FROM records ORDER BY path")]
