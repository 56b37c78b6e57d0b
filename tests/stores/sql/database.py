"""Databases of SQL stores for tests, and statements that are run beside the store."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import sqlalchemy as sa

from tailmetrics.settings import Settings, load_settings
from tailmetrics.stores.sql.store import SqlStore
from tailmetrics.windows import parse_every
from tests import servers
from tests.builders import Record, at

NOON = at("2024-10-10T12:00:00")
ONE: list[Record] = [(NOON, "a", "/", 200, 0.1)]
DAILY, WHOLE = parse_every("1d"), parse_every("none")
SERVERS: dict[str, Callable[[], servers.Server]] = {
    "mariadb": servers.mariadb,
    "postgresql": servers.postgresql,
}
TOLD_SECONDS = 5.0


def settings_of(url: str, **changes: Any) -> Settings:
    return load_settings(None, store_url=url, **changes)


def done(store: SqlStore, work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives in the loop of a store."""
    return store._loop.run(work).result(60)


def run(settings: Settings, *statements: str) -> list[Any]:
    """Run statements beside the store; the rows of the last one."""
    driver = {"mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
    url = sa.make_url(settings.store_url).set(drivername=driver[settings.store.scheme])
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []
