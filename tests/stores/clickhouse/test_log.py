from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tailmetrics.status import SourceStatus
from tailmetrics.stores.clickhouse import log as module
from tailmetrics.stores.clickhouse.connection import Connection
from tailmetrics.stores.clickhouse.log import Entry, Log, Place
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests.builders import source_of
from tests.stores.clickhouse.tables import Tables
from tests.stores.conftest import Ask

pytestmark = pytest.mark.servers


def placed(log: Log, name: str, *, is_gone: bool = False) -> Place:
    return Place(source_of(name, inode=sum(map(ord, name))), 0, log.writer, is_gone=is_gone)


class TestClaim:
    def test_an_entry_follows_the_last_one_and_adds_to_its_sums(self, connection: Connection) -> None:
        log = Log(connection, "one")
        assert [log.claim(Entry(records=2, blanks=1)), log.claim(Entry(records=3, rejects=4))] == [1, 2]
        other = Log(connection, "two").state
        assert (other.number, other.records, other.rejects, other.blanks) == (2, 5, 4, 1)

    def test_of_two_who_know_the_same_state_one_claims_the_next_entry(self, connection: Connection) -> None:
        one, two = Log(connection, "one"), Log(connection, "two")
        assert one.state == two.state
        assert [one.claim(Entry()), two.claim(Entry()), two.claim(Entry())] == [1, None, 2]

    def test_of_many_at_once_each_number_has_one_writer(self, connection: Connection) -> None:
        claimed: list[tuple[int, str]] = []

        def claim(name: str) -> None:
            log, left = Log(connection, name), 5
            while left:
                if number := log.claim(Entry(records=1)):
                    claimed.append((number, name))
                    left -= 1

        threads = [threading.Thread(target=claim, args=(f"writer {number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(number for number, _ in claimed) == list(range(1, 21))
        assert Log(connection, "reader").state.records == 20

    def test_what_is_remembered_of_sources_is_read_anew_when_somebody_was_quicker(
        self, connection: Connection
    ) -> None:
        one, two = Log(connection, "one"), Log(connection, "two")
        source_id = source_of("a").source_id
        assert two.places([source_id]) == {source_id: None}
        one.claim(Entry(places=[Place(source_of("a"), 0, "one")]))
        assert two.claim(Entry()) is None
        found = two.places([source_id])[source_id]
        assert found is not None
        assert (found.source, found.number, found.writer) == (source_of("a"), 1, "one")


class TestLateClaim:
    """A writer that claims a number when the server has forgotten who got it."""

    @pytest.fixture
    def late(self, connection: Connection, tables: Tables) -> Log:
        log, other = Log(connection, "late"), Log(connection, "other")
        assert log.state.number == 0
        for _ in range(3):
            other.claim(Entry(records=1))
        tables.rows("ALTER TABLE log MODIFY SETTING non_replicated_deduplication_window = 0")
        return log

    def test_it_finds_the_first_writer_and_takes_its_entry_back(self, late: Log, tables: Tables) -> None:
        assert late.claim(Entry(records=9, places=[placed(late, "a")])) is None
        assert tables.rows("SELECT entry, writer FROM log ORDER BY entry") == [
            (entry, "other") for entry in "123"
        ]
        assert late.state.records == 3

    def test_it_takes_its_entry_back_where_those_of_its_number_are_deleted(
        self, late: Log, tables: Tables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_CLOCKS_APART", 1)
        tables.rows("DELETE FROM log WHERE entry < 3")
        assert late.claim(Entry(records=9, places=[placed(late, "a")])) is None
        assert tables.rows("SELECT entry, writer FROM log ORDER BY entry") == [("3", "other")]

    def test_what_is_remembered_for_long_is_not_claimed_by(self, late: Log, tables: Tables) -> None:
        late.places(["a"])
        late._state_at -= 60
        assert late.claim(Entry()) is None
        assert tables.rows("SELECT count() FROM log") == [("3",)]
        assert late.claim(Entry()) == 4

    def test_sources_that_are_remembered_for_long_are_read_anew(self, late: Log) -> None:
        place = placed(late, "a")
        source_id = place.source.source_id
        assert late.places([source_id]) == {source_id: None}
        assert Log(late._connection, "other").claim(Entry(places=[place])) == 4
        late._state_at -= 60
        assert late.places([source_id])[source_id] is not None


class TestTrim:
    def entries(self, tables: Tables) -> Sequence[int]:
        rows = tables.rows("SELECT entry FROM log WHERE source_id = '' ORDER BY entry")
        return [int(entry) for (entry,) in rows]

    def test_old_entries_go_but_none_that_is_pending_or_behind_it(
        self, connection: Connection, tables: Tables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "KEPT_ENTRIES", 2)
        log = Log(connection, "one")
        log.claim(Entry(places=[placed(log, "kept"), placed(log, "gone")]))
        log.claim(Entry(places=[placed(log, "gone", is_gone=True)]))
        log.claim(Entry(records=1))
        for _ in range(4):
            log.claim(Entry())
        log.trim()
        assert self.entries(tables) == [3, 4, 5, 6, 7]
        log.done(3)
        log.trim()
        assert self.entries(tables) == [5, 6, 7]
        assert tables.rows("SELECT source FROM log WHERE entry = 0 GROUP BY source") != []
        assert [place.source.path for place in log.of_node("node")] == ["/logs/kept"]
        assert tables.rows("SELECT count() FROM log WHERE is_gone") == [("0",)]

    def test_reports_of_processors_that_ended_days_ago_go(
        self, store: ClickHouseStore, tables: Tables, ask: Ask[Any]
    ) -> None:
        said = SourceStatus("id", "/logs/one.log", 1, 2, 0, 0, 0, 0, 0.0, "live")
        store.report("one", [said])
        tables.rows("INSERT INTO reports SELECT 'other', said_us - 90000000000, 'none' FROM reports")
        Log(store._connection, "one").trim()
        assert tables.rows("SELECT processor FROM reports") == [("one",)]
        assert ask(store.status()).sources == (said,)

    def test_reports_of_days_ago_are_not_read(
        self, store: ClickHouseStore, tables: Tables, ask: Ask[Any]
    ) -> None:
        tables.rows("INSERT INTO reports VALUES ('other', 0, 'no JSON')")
        store.report("one", [])
        ask(store.status())
        assert list(store._heard) == ["one"]


class TestStore:
    def test_marks_and_counts_leave_out_what_is_pending(self, store: ClickHouseStore, ask: Ask[Any]) -> None:
        log = Log(store._connection, "one")
        before = ask(store.changes(None)).mark
        log.claim(Entry(records=5, spans="[[0,60]]"))
        pending = ask(store.changes(before))
        assert (pending.spans, ask(store.status()).records) == ((), 0)
        log.done(1)
        assert ask(store.changes(pending.mark)).spans == ((0, 60),)
        assert ask(store.changes(before)).spans == ((0, 60),)
        assert ask(store.status()).records == 5
