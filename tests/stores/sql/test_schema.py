"""Whose tables these are, and of which version."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tailmetrics.errors import SchemaMismatch, StoreError
from tailmetrics.settings import Settings
from tailmetrics.stores import Store, open_store
from tailmetrics.stores.sql import schema
from tests.stores.sql.database import run


def test_tables_of_another_program_are_left_alone(settings: Settings) -> None:
    run(settings, "CREATE TABLE records (x INTEGER)")
    with pytest.raises(StoreError, match="belongs to another program"):
        open_store(settings)


def test_a_later_schema_is_refused_with_both_versions(settings: Settings, store: Store) -> None:
    run(settings, "UPDATE store SET schema_version = 99")
    with pytest.raises(SchemaMismatch, match=r"version 99, this program knows version 2"):
        open_store(settings)


def test_an_earlier_schema_is_brought_up_to_date(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade(connection: sa.Connection, _: sa.TextClause) -> None:
        connection.exec_driver_sql("CREATE TABLE later (x INTEGER)")

    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(schema, "_UPGRADES", (*schema._UPGRADES, upgrade))
    open_store(settings).close()
    assert run(settings, "SELECT schema_version FROM store") == [(3,)]
    assert run(settings, "SELECT * FROM later") == []
