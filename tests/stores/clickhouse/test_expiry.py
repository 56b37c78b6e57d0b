from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stats import RejectsQuery
from tailmetrics.stores.clickhouse import expiry as module
from tailmetrics.stores.clickhouse.log import Entry, Log
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests.builders import LINE_BYTES, Record, batch_of, moved, source_of
from tests.stores.clickhouse.tables import Tables
from tests.stores.conftest import Ask

pytestmark = pytest.mark.servers

Pair = tuple[ClickHouseStore, ClickHouseStore]

NOW = datetime.now(timezone.utc).replace(microsecond=0)
EARLIER = "seen_us = seen_us - 691200000000"  # by eight days


def line(days_ago: float) -> Record:
    return (NOW - timedelta(days=days_ago), "a", "/", 200, 0.1)


@pytest.fixture
def keeping(store: ClickHouseStore, settings: Settings) -> Iterator[Pair]:
    """Two of the same store, who both keep a week."""
    week = settings.model_copy(update={"retention_days": 7})
    one, other = ClickHouseStore(week), ClickHouseStore(week)
    yield one, other
    one.close()
    other.close()


class TestRetention:
    def test_what_is_older_is_deleted_counted_and_told_of(
        self, store: ClickHouseStore, settings: Settings, tables: Tables, ask: Ask[Any], caplog: Any
    ) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, [line(9), line(1), line(8), line(6.9)], rejects=[("r", "l")])])
        mark = ask(store.changes(None)).mark
        tables.rows(f"ALTER TABLE rejects UPDATE {EARLIER} WHERE 1 SETTINGS mutations_sync = 2")
        keeping = ClickHouseStore(settings.model_copy(update={"retention_days": 7}))
        keeping._writer._expiry.expire()
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
        keeping._writer._expiry.expire()
        keeping.close()
        assert tables.offsets(source.source_id) == [0]

    def test_of_two_who_would_delete_the_same_one_does_and_it_counts_once(
        self, store: ClickHouseStore, keeping: Pair, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write([batch_of(store.register(source_of()), [line(9), line(1)])])
        one, other = keeping
        delete = one._connection.delete

        def while_other_expires(table: str, where: str) -> None:
            other._writer._expiry.expire()
            delete(table, where)

        monkeypatch.setattr(one._connection, "delete", while_other_expires)
        one._writer._expiry.expire()
        assert ask(one.status()).records == 1
        assert ask(one.note_names()) == []

    def test_a_delete_that_fails_fails_no_commit_and_is_ended_later_by_another_one(
        self,
        store: ClickHouseStore,
        keeping: Pair,
        tables: Tables,
        ask: Ask[Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        source = store.register(source_of())
        one, other = keeping
        store.write([batch_of(source, [line(9), line(1)])])
        delete = one._connection.delete

        def answer_lost(table: str, where: str) -> None:
            delete(table, where)
            raise StoreUnavailable("not done in time")

        monkeypatch.setattr(one._connection, "delete", answer_lost)
        one._writer._expiry.expire()
        assert tables.offsets(source.source_id) == [LINE_BYTES]
        monkeypatch.setattr(module, "now", lambda: datetime.now(timezone.utc) + timedelta(minutes=11))
        mark = ask(store.changes(None)).mark
        other._writer._expiry.expire()
        assert ask(other.status()).records == 1
        assert ask(other.changes(mark)).spans != ()

    @pytest.mark.parametrize(
        ("is_made", "ended_by"),
        [
            (False, lambda store: store._writer._expiry.expire()),
            (True, lambda store: store._writer._expiry.expire()),
            (False, lambda store: store.all_sources()),
        ],
        ids=["before it", "behind it", "before a copy"],
    )
    def test_rejects_whose_writer_dies_at_their_delete_count_once(
        self,
        store: ClickHouseStore,
        keeping: Pair,
        tables: Tables,
        ask: Ask[Any],
        monkeypatch: pytest.MonkeyPatch,
        *,
        is_made: bool,
        ended_by: Callable[[ClickHouseStore], object],
    ) -> None:
        source = store.register(source_of())
        batch = batch_of(source, rejects=[("r", "1"), ("r", "2")])
        store.write([batch])
        tables.rows(f"ALTER TABLE rejects UPDATE {EARLIER} WHERE 1 SETTINGS mutations_sync = 2")
        store.write([batch_of(moved(source, batch), rejects=[("r", "3")])])
        one, other = keeping
        delete = one._connection.delete

        def killed(table: str, where: str) -> None:
            if is_made:
                delete(table, where)
            raise StoreUnavailable("killed")

        monkeypatch.setattr(one._connection, "delete", killed)
        one._writer._expiry.expire()
        assert ask(store.status()).rejects == 3
        monkeypatch.setattr(module, "now", lambda: datetime.now(timezone.utc) + timedelta(minutes=11))
        ended_by(other)
        assert tables.rejects(source.source_id) == [2 * LINE_BYTES]
        assert ask(store.status()).rejects == ask(store.rejects(RejectsQuery())).total == 1

    def test_no_commit_waits_for_it_but_the_end_does(
        self,
        store: ClickHouseStore,
        settings: Settings,
        tables: Tables,
        ask: Ask[Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        source = store.register(source_of())
        first = batch_of(source, [line(9), line(1)])
        second = batch_of(moved(source, first), [line(2)])
        store.write([first])
        keeping = ClickHouseStore(settings.model_copy(update={"retention_days": 7}))
        delete, is_asked, may_go_on = keeping._connection.delete, threading.Event(), threading.Event()

        def slow(table: str, where: str) -> None:
            is_asked.set()
            assert may_go_on.wait(60)
            delete(table, where)

        monkeypatch.setattr(keeping._connection, "delete", slow)
        monkeypatch.setattr(module, "_SECONDS_AT_CLOSE", 60.0)
        keeping.write([second])
        assert is_asked.wait(60)
        keeping.write([batch_of(moved(source, second), [line(3)])])
        assert tables.offsets(source.source_id) == [0, LINE_BYTES, 2 * LINE_BYTES, 3 * LINE_BYTES]
        may_go_on.set()
        keeping.close()
        assert tables.offsets(source.source_id) == [LINE_BYTES, 2 * LINE_BYTES, 3 * LINE_BYTES]
        assert ask(store.status()).records == 3
