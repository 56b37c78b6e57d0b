"""What a real InfluxDB does not keep is a reject."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from tailmetrics.settings import Settings
from tailmetrics.stats import RejectsQuery
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import LINE_BYTES, Record, batch_of, source_of
from tests.stores.conftest import Ask
from tests.stores.influxdb.real.asking import NOON, committed, requests_of
from tests.stores.influxdb.server import ORG, settings_of_bucket


def test_records_older_than_the_retention_are_rejects(ask: Ask[Any]) -> None:
    store = InfluxDBStore(settings_of_bucket(retention_days=7))
    source = store.register(source_of())
    fresh = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=6)
    done = committed(store, batch_of(source, [(fresh, "a", "/", 200, 0.1), (NOON, "a", "/", 200, 0.1)]))
    assert requests_of(store, ask) == 1
    [reject] = ask(store.rejects(RejectsQuery())).rejects
    store.close()
    assert done.parsed.rejects.height == 1
    assert (reject.offset, reject.reason[:36]) == (LINE_BYTES, "timestamp: found 2024-10-10 12:00:00")


def test_what_the_server_finds_too_old_is_a_reject_too(
    ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = InfluxDBStore(settings_of_bucket(retention_days=7))
    source = store.register(source_of())
    monkeypatch.setattr(store._server, "retention_seconds", 0)
    fresh = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=6)
    committed(store, batch_of(source, [(fresh, "a", "/", 200, 0.1), (NOON, "a", "/", 200, 0.1)]))
    assert requests_of(store, ask) == 1
    [reject] = ask(store.rejects(RejectsQuery())).rejects
    store.close()
    assert "retention policy" in reject.reason


def test_a_record_of_another_shape_than_the_bucket_has_is_a_reject(
    settings: Settings, store: InfluxDBStore, ask: Ask[Any], server: httpx.Client
) -> None:
    source = store.register(source_of())
    line = b'requests_s,customer_id=a,lane=x,status_code=200 duration="text" 1728561600000000000'
    params = {"org": ORG, "bucket": settings.influxdb_bucket}
    server.post("/api/v2/write", params=params, content=line).raise_for_status()
    records: list[Record] = [
        (NOON, "a", "/", 200, 0.1),
        (NOON + timedelta(microseconds=1), "b", "/", 200, 0.1),
    ]
    done = committed(store, batch_of(source, records))
    assert done.parsed.records["customer_id"].to_list() == ["b"]
    assert "field type conflict" in done.parsed.rejects["reason"][0]
