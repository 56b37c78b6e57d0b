"""Stores on ClickHouse's engine, and what is really in their tables."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tailmetrics.settings import Settings, load_settings
from tailmetrics.stores.clickhouse.address import Address
from tailmetrics.stores.clickhouse.connection import Connection
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests import servers
from tests.stores.clickhouse.tables import Tables


@pytest.fixture
def clickhouse() -> servers.Server:
    return servers.clickhouse()


@pytest.fixture
def settings(clickhouse: servers.Server) -> Settings:
    return load_settings(None, store_url=clickhouse.new_database())


@pytest.fixture
def tables(settings: Settings, clickhouse: servers.Server) -> Tables:
    return Tables(clickhouse, urlsplit(settings.store_url).path[1:])


@pytest.fixture
def store(settings: Settings) -> Iterator[ClickHouseStore]:
    opened = ClickHouseStore(settings)
    yield opened
    opened.close()


@pytest.fixture
def connection(settings: Settings, store: ClickHouseStore) -> Iterator[Connection]:
    """One of its own to the store's database."""
    opened = Connection(Address.of(settings.store))
    yield opened
    opened.close()
