"""Whose tables these are, and of which version."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tailmetrics.errors import SchemaMismatch, StoreError
from tailmetrics.settings import Settings
from tailmetrics.stats import StatsQuery
from tailmetrics.stores import Store, open_store
from tailmetrics.stores.sql import schema
from tests.builders import batch_of, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import DAILY, ONE, run


def test_tables_of_another_program_are_left_alone(settings: Settings) -> None:
    run(settings, "CREATE TABLE records (x INTEGER)")
    with pytest.raises(StoreError, match="belongs to another program"):
        open_store(settings)


def test_a_later_schema_is_refused_with_both_versions(settings: Settings, store: Store) -> None:
    run(settings, "UPDATE store SET schema_version = 99")
    with pytest.raises(SchemaMismatch, match=r"version 99, this program knows version 4"):
        open_store(settings)


def test_an_earlier_schema_is_brought_up_to_date(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade(connection: sa.Connection, _: sa.TextClause) -> None:
        connection.exec_driver_sql("CREATE TABLE later (x INTEGER)")

    monkeypatch.setattr(schema, "SCHEMA_VERSION", 5)
    monkeypatch.setattr(schema, "_UPGRADES", (*schema._UPGRADES, upgrade))
    open_store(settings).close()
    assert run(settings, "SELECT schema_version FROM store") == [(5,)]
    assert run(settings, "SELECT * FROM later") == []


def test_a_store_from_before_summaries_gets_their_tables(settings: Settings, ask: Ask[Any]) -> None:
    store = open_store(settings)
    store.write([batch_of(store.register(source_of()), ONE)])
    store.close()
    tables = ("journal", "manifests", "blocks", "maker")
    run(settings, *(f"DROP TABLE {table}" for table in tables), "UPDATE store SET schema_version = 2")
    later = open_store(settings)
    later.summarize()
    total = ask(later.stats(StatsQuery(None, DAILY))).summary.total_requests
    later.close()
    assert (total, run(settings, "SELECT schema_version FROM store")) == (1, [(4,)])
    assert run(settings, "SELECT DISTINCT level FROM blocks") in ([("day",)], [(b"day",)])
