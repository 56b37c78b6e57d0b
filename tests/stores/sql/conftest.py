"""The databases that tests of SQL stores run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.settings import Settings
from tailmetrics.stores.sql.store import SqlStore
from tailmetrics.stores.sql.summaries import SqlSummaries
from tests import servers
from tests.stores.conftest import BACKENDS
from tests.stores.sql.database import SERVERS


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> servers.Server:
    return SERVERS[request.param]()


@pytest.fixture
def summaries(store: SqlStore) -> SqlSummaries:
    return SqlSummaries(store._reading, store._engine, store._database)
