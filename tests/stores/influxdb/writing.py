"""What tests of writing to InfluxDB write, and what has arrived."""

from __future__ import annotations

from dataclasses import replace

from tailmetrics.ingest.committer import Committer
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stores.influxdb.source_points import StoredSource, assign_lanes
from tailmetrics.stores.influxdb.source_points import committed as after_commit
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import from_us, to_us
from tests.builders import Record, at
from tests.stores.influxdb.stub import Stub

NOON = at("2024-10-10T12:00:00")
NOW_US = to_us(at("2024-10-10T13:00:00"))


def records(number: int, customer_id: str = "a") -> list[Record]:
    return [(NOON, customer_id, f"/{place}", 200, 0.1) for place in range(number)]


def paths(stub: Stub) -> list[str]:
    """The paths of the records that are stored, sorted by their numbers."""
    found = [line.rpartition('path="/')[2].rstrip('"') for line in stub.lines("bucket", "requests_")]
    return sorted(found, key=int)


def committed(store: InfluxDBStore, *batches: Batch) -> list[Batch]:
    """What a committer says it has committed of the batches, which it tries until they are."""
    done: list[Batch] = []
    committer = Committer(store, load_settings(None).commit_options, Metrics(), done.append)
    for batch in batches:
        committer.put(batch)
    committer.close()
    assert committer.failure is None
    return done


def stored(source: Source, **changes: object) -> StoredSource:
    """A source that was committed to just now."""
    [made] = assign_lanes([source], [], NOW_US)
    return after_commit(replace(made, source=replace(source, committed_at=from_us(NOW_US))), **changes)
