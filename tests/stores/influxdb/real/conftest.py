"""Stores in buckets of a real InfluxDB. Collected when INFLUXDB_TEST_URL, _TOKEN and _ORG are given."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tailmetrics.settings import Settings
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.stores.influxdb.server import IS_GIVEN, TOKEN, URL, settings_of_bucket

collect_ignore_glob = [] if IS_GIVEN else ["test_*.py"]


@pytest.fixture
def settings() -> Settings:
    return settings_of_bucket()


@pytest.fixture
def store(settings: Settings) -> Iterator[InfluxDBStore]:
    opened = InfluxDBStore(settings)
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[httpx.Client]:
    with httpx.Client(base_url=URL, headers={"Authorization": f"Token {TOKEN}"}, timeout=30) as client:
        yield client
