from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tailmetrics.settings import Settings
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
