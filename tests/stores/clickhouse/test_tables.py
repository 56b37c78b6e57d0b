from __future__ import annotations

import pytest

from tailmetrics.errors import SchemaMismatch, StoreError, StoreGone, StoreRefused
from tailmetrics.settings import Settings, load_settings
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests import servers
from tests.stores.clickhouse.front import READER, WRITER
from tests.stores.clickhouse.tables import Tables

pytestmark = pytest.mark.servers


def opened(settings: Settings) -> ClickHouseStore:
    store = ClickHouseStore(settings)
    store.close()
    return store


class TestPrepare:
    def test_tables_of_another_version_are_named(self, settings: Settings, tables: Tables) -> None:
        opened(settings)
        tables.rows("TRUNCATE TABLE store", "INSERT INTO store VALUES (9, 'id')")
        with pytest.raises(SchemaMismatch, match="has schema version 9, this program knows version 1"):
            opened(settings)

    def test_a_table_of_another_program_is_left_alone(self, settings: Settings, tables: Tables) -> None:
        tables.rows("CREATE TABLE records (a Int8) ENGINE = Memory")
        with pytest.raises(StoreError, match="has a table records but no table store"):
            opened(settings)
        assert tables.rows("SHOW TABLES") == [("records",)]

    def test_a_table_that_was_removed_is_named(self, settings: Settings, tables: Tables) -> None:
        opened(settings)
        tables.rows("DROP TABLE rejects SYNC")
        with pytest.raises(StoreGone, match="removed: rejects"):
            opened(settings)

    def test_a_view_that_was_dropped_is_there_again(self, settings: Settings, tables: Tables) -> None:
        opened(settings)
        tables.rows("DROP VIEW daily_stats SYNC")
        opened(settings)
        assert ("daily_stats",) in tables.rows("SHOW TABLES")

    def test_a_beginning_that_was_interrupted_is_gone_on_with(
        self, settings: Settings, tables: Tables
    ) -> None:
        opened(settings)
        tables.rows("TRUNCATE TABLE store", "DROP TABLE notes SYNC")
        opened(settings)
        assert ("notes",) in tables.rows("SHOW TABLES")

    def test_a_database_that_is_missing_is_made_by_whoever_runs_the_server(
        self, clickhouse: servers.Server
    ) -> None:
        store = ClickHouseStore(load_settings(None, store_url=clickhouse.url("nowhere")))
        with pytest.raises(StoreRefused, match="CREATE DATABASE nowhere"):
            store.check_access(writes=False)
        store.close()

    def test_a_wrong_password_is_told_without_showing_it(self, clickhouse: servers.Server) -> None:
        store = ClickHouseStore(load_settings(None, store_url=clickhouse.url("default", password="wr0ng")))  # noqa: S106
        with pytest.raises(StoreRefused, match="the user or the password is wrong") as refused:
            store.check_access(writes=False)
        store.close()
        assert "wr0ng" not in str(refused.value)


class TestCheckAccess:
    def test_who_may_only_read_is_told_so_before_anything_is_to_be_written(
        self, settings: Settings, tables: Tables, clickhouse: servers.Server
    ) -> None:
        opened(settings)
        reader = ClickHouseStore(load_settings(None, store_url=clickhouse.url(tables.database, user=READER)))
        reader.check_access(writes=False)
        with pytest.raises(StoreRefused, match="this user may only read"):
            reader.check_access(writes=True)
        reader.close()

    def test_who_may_not_delete_is_told_so_before_anything_is_to_be_deleted(
        self, settings: Settings, tables: Tables, clickhouse: servers.Server
    ) -> None:
        opened(settings)
        writer = ClickHouseStore(load_settings(None, store_url=clickhouse.url(tables.database, user=WRITER)))
        writer.check_access(writes=False)
        with pytest.raises(StoreRefused, match=r"may not delete from records; .*GRANT .*ALTER DELETE"):
            writer.check_access(writes=True)
        with pytest.raises(
            StoreRefused, match=r"Not enough privileges.*on a cluster also GRANT CLUSTER, REMOTE"
        ):
            writer._connection.delete("rejects", "1")
        writer.close()

    def test_who_may_do_all_is_not_refused_by_a_server_that_cannot_be_asked(
        self, store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.check_access(writes=True)
        client = store._connection._opened()
        command = client.command
        monkeypatch.setattr(
            client,
            "command",
            lambda sql, *given, **named: command(sql.replace("CHECK GRANT", "CHECK RIGHT"), *given, **named),
        )
        store.check_access(writes=True)
        assert store._connection.may_delete("log")
