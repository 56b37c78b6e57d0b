"""What tests of a real InfluxDB commit, and how many requests it then has."""

from __future__ import annotations

from typing import Any

from tailmetrics.ingest.committer import Committer
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch
from tailmetrics.stats import StatsQuery
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import parse_every
from tests.builders import at
from tests.stores.conftest import Ask

NOON = at("2024-10-10T12:00:00")
TOTAL = parse_every("none")


def committed(store: InfluxDBStore, batch: Batch) -> Batch:
    done: list[Batch] = []
    committer = Committer(store, load_settings(None).commit_options, Metrics(), done.append)
    committer.put(batch)
    committer.close()
    assert committer.failure is None
    return done[0]


def requests_of(store: InfluxDBStore, ask: Ask[Any], customer_id: str | None = "a") -> int:
    return ask(store.stats(StatsQuery(customer_id, TOTAL))).summary.total_requests
