from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.clickhouse import upkeep as module
from tailmetrics.stores.clickhouse.log import Entry, Log
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests.builders import LINE_BYTES, Record, batch_of, source_of
from tests.stores.clickhouse.tables import Tables
from tests.stores.conftest import Ask

pytestmark = pytest.mark.servers

NOW = datetime.now(timezone.utc).replace(microsecond=0)


def line(days_ago: float) -> Record:
    return (NOW - timedelta(days=days_ago), "a", "/", 200, 0.1)


class TestRetention:
    def test_what_is_older_is_deleted_counted_and_told_of(
        self, store: ClickHouseStore, settings: Settings, tables: Tables, ask: Ask[Any], caplog: Any
    ) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, [line(9), line(1), line(8), line(6.9)], rejects=[("r", "l")])])
        mark = ask(store.changes(None)).mark
        tables.rows(
            "ALTER TABLE rejects UPDATE seen_us = seen_us - 691200000000 WHERE 1 SETTINGS mutations_sync = 2"
        )
        keeping = ClickHouseStore(settings.model_copy(update={"retention_days": 7}))
        keeping.write([])
        status = ask(keeping.status())
        [span] = ask(keeping.changes(mark)).spans
        keeping.close()
        assert tables.offsets(source.source_id) == [LINE_BYTES, 3 * LINE_BYTES]
        assert (status.records, status.rejects) == (2, 0)
        assert span[0] == int((NOW - timedelta(days=9)).timestamp() * 1e6)

    def test_what_is_pending_is_left_to_its_writer(
        self, store: ClickHouseStore, settings: Settings, tables: Tables
    ) -> None:
        source = store.register(source_of())
        Log(store._connection, "process 1 on elsewhere (x)").claim(Entry(records=1))
        store.write([batch_of(source, [line(9)])])
        keeping = ClickHouseStore(settings.model_copy(update={"retention_days": 7}))
        keeping.write([])
        keeping.close()
        assert tables.offsets(source.source_id) == [0]

    def test_of_two_who_would_delete_the_same_one_does_and_it_counts_once(
        self, store: ClickHouseStore, settings: Settings, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write([batch_of(store.register(source_of()), [line(9), line(1)])])
        keeping = settings.model_copy(update={"retention_days": 7})
        one, other = ClickHouseStore(keeping), ClickHouseStore(keeping)
        delete = one._connection.delete

        def while_other_expires(table: str, where: str) -> None:
            other.write([])
            delete(table, where)

        monkeypatch.setattr(one._connection, "delete", while_other_expires)
        one.write([])
        assert ask(one.status()).records == 1
        assert ask(one.note_names()) == []
        one.close()
        other.close()

    def test_a_delete_that_fails_fails_no_commit_and_is_ended_later_by_another_one(
        self,
        store: ClickHouseStore,
        settings: Settings,
        tables: Tables,
        ask: Ask[Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        source = store.register(source_of())
        keeping = settings.model_copy(update={"retention_days": 7})
        one, other = ClickHouseStore(keeping), ClickHouseStore(keeping)
        store.write([batch_of(source, [line(9), line(1)])])
        delete = one._connection.delete

        def answer_lost(table: str, where: str) -> None:
            delete(table, where)
            raise StoreUnavailable("not done in time")

        monkeypatch.setattr(one._connection, "delete", answer_lost)
        one.write([])
        assert tables.offsets(source.source_id) == [LINE_BYTES]
        monkeypatch.setattr(module, "now", lambda: datetime.now(timezone.utc) + timedelta(minutes=11))
        mark = ask(store.changes(None)).mark
        other.write([])
        assert ask(other.status()).records == 1
        assert ask(other.changes(mark)).spans != ()
        one.close()
        other.close()
