"""What a real InfluxDB lets in."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import batch_of, source_of
from tests.stores.conftest import Ask
from tests.stores.influxdb.real.asking import NOON, requests_of
from tests.stores.influxdb.server import ORG, settings_of_bucket


def test_a_token_for_the_two_buckets_alone_suffices(
    settings: Settings, store: InfluxDBStore, ask: Ask[Any], server: httpx.Client
) -> None:
    store.register(source_of())
    org_id = server.get("/api/v2/orgs", params={"org": ORG}).json()["orgs"][0]["id"]
    permissions = []
    for name in (settings.influxdb_bucket, f"{settings.influxdb_bucket}_meta"):
        bucket = server.get("/api/v2/buckets", params={"org": ORG, "name": name}).json()["buckets"][0]
        resource = {"type": "buckets", "id": bucket["id"], "orgID": org_id}
        permissions += [{"action": action, "resource": resource} for action in ("read", "write")]
    token = server.post("/api/v2/authorizations", json={"orgID": org_id, "permissions": permissions}).json()
    limited = InfluxDBStore(settings_of_bucket(settings.influxdb_bucket, influxdb_token=token["token"]))
    source = limited.register(source_of("other", inode=9))
    limited.write([batch_of(source, [(NOON, "a", "/", 200, 0.1)])])
    assert requests_of(limited, ask) == 1
    limited.close()
    server.delete(f"/api/v2/authorizations/{token['id']}")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"influxdb_token": "wrong"}, "INFLUXDB_TOKEN"),
        ({"influxdb_org": "nobody"}, "INFLUXDB_ORG"),
        ({"influxdb_url": "http://127.0.0.1:9"}, "INFLUXDB_URL"),
    ],
)
def test_a_wrong_setting_is_named_within_five_seconds(
    ask: Ask[Any], wrong: dict[str, str], named: str
) -> None:
    began = time.monotonic()
    store = InfluxDBStore(settings_of_bucket("any", **wrong))
    with pytest.raises(StoreUnavailable, match=named):
        ask(store.status())
    with pytest.raises(StoreUnavailable, match=named):
        store.sources("node")
    store.close()
    assert time.monotonic() - began < 5
