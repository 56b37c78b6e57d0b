"""Commits that end at any point, and what those who go on find: each line once, whoever wrote it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Literal

import pytest

from tailmetrics.errors import PositionConflict, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stats import RejectsQuery
from tailmetrics.stores.clickhouse.connection import Connection
from tailmetrics.stores.clickhouse.log import Entry
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tailmetrics.stores.copying import copy
from tailmetrics.stores.in_memory import InMemoryStore
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, source_of
from tests.stores.clickhouse.tables import Tables
from tests.stores.conftest import Ask

pytestmark = pytest.mark.servers

LINES: list[Record] = [(at("2024-10-10T12:00:00"), f"cust_{number}", "/", 200, 0.1) for number in range(3)]
TABLES = ("log", "rejects", "records", "done")
CASES = list(itertools.product(TABLES, ("before", "after")))


When = Literal["before", "after"]


@pytest.fixture
def interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Connection, str, Callable[[Callable[[], None]], None]], None]:
    """Has something else done, once, in place of the next insert into a table over a connection."""

    def interrupted(
        connection: Connection, table: str, instead: Callable[[Callable[[], None]], None]
    ) -> None:
        insert = connection.insert

        def once(into: str, rows: Any, token: str, **settings: int) -> None:
            if into != table:
                insert(into, rows, token, **settings)
                return
            monkeypatch.setattr(connection, "insert", insert)
            instead(lambda: insert(into, rows, token, **settings))

        monkeypatch.setattr(connection, "insert", once)

    return interrupted


def cut(when: When) -> Callable[[Callable[[], None]], None]:
    """The connection is lost before the server hears of an insert, or before its answer comes back."""

    def instead(insert: Callable[[], None]) -> None:
        if when == "after":
            insert()
        raise StoreUnavailable("cut")

    return instead


def two_batches(source: Source) -> tuple[Batch, Batch]:
    first = batch_of(source, LINES, rejects=[("reason", "line")], blanks=1)
    return first, batch_of(moved(source, first), LINES, blanks=2)


def written(store: ClickHouseStore, batches: tuple[Batch, Batch]) -> None:
    """Write what the store does not have yet, as a processor goes on."""
    for batch in batches:
        if store.position(batch.source_id) == batch.start:
            store.write([batch])


def assert_each_once(tables: Tables, batches: tuple[Batch, Batch]) -> None:
    [source_id] = {batch.source_id for batch in batches}
    expected = [
        batch.start + place * LINE_BYTES for batch in batches for place in range(batch.parsed.records.height)
    ]
    assert tables.offsets(source_id) == expected
    assert tables.rejects(source_id) == [3 * LINE_BYTES]


class TestInterrupted:
    """Each case is a source of its own in one store."""

    @pytest.mark.parametrize("who", ["the same writer", "another one"])
    def test_whoever_goes_on_writes_each_line_once(
        self, store: ClickHouseStore, tables: Tables, interrupt: Any, settings: Settings, who: str
    ) -> None:
        other = ClickHouseStore(settings)
        for number, (table, when) in enumerate(CASES):
            batches = two_batches(store.register(source_of(f"{number}.log", inode=number)))
            interrupt(store._connection, table, cut(when))
            with pytest.raises(StoreUnavailable, match="cut"):
                store.write(batches[:1])
            written(store if who == "the same writer" else other, batches)
            assert_each_once(tables, batches)
        status = asyncio.run(other.status())
        other.close()
        number = len(CASES)
        assert (status.records, status.rejects, status.blanks) == (6 * number, number, 3 * number)

    def test_sources_stand_where_their_records_end(
        self, store: ClickHouseStore, settings: Settings, interrupt: Any
    ) -> None:
        """So that whoever begins to read them there is not refused."""
        sources = []
        for number, (table, when) in enumerate(CASES):
            source = store.register(source_of(f"{number}.log", inode=number))
            batches = two_batches(source)
            interrupt(store._connection, table, cut(when))
            with pytest.raises(StoreUnavailable, match="cut"):
                store.write(batches[:1])
            sources.append(source)
        found = {source.source_id: source.position for source in ClickHouseStore(settings).sources("node")}
        end = batches[0].checkpoint.position
        # A writer's next commit brings its last one to an end: only that of the last case is still pending.
        assert [found[source.source_id] for source in sources] == [0, 0, 0, 0, 0, end, end, end]

    def test_a_token_that_a_server_used_up_before_it_was_killed_loses_nothing(
        self, store: ClickHouseStore, tables: Tables, interrupt: Any
    ) -> None:
        for number, table in enumerate(TABLES):
            batches = two_batches(store.register(source_of(f"{number}.log", inode=number)))

            def used_up(insert: Callable[[], None], table: str = table) -> None:
                before = tables.rows(f"SELECT max(_block_number) FROM {table}")[0][0]
                insert()
                tables.rows(f"DELETE FROM {table} WHERE _block_number > {before}")

            interrupt(store._connection, table, used_up)
            store.write(batches[:1])
            store.write(batches[1:])
            assert_each_once(tables, batches)

    def test_an_entry_that_arrives_after_the_writer_gave_it_up_is_ended(
        self, store: ClickHouseStore, tables: Tables, interrupt: Any
    ) -> None:
        batches = two_batches(store.register(source_of()))
        late: list[Callable[[], None]] = []

        def lost(insert: Callable[[], None]) -> None:
            late.append(insert)
            raise StoreUnavailable("timed out")

        def arrives(insert: Callable[[], None]) -> None:
            late[0]()
            insert()

        interrupt(store._connection, "log", lost)
        with pytest.raises(StoreUnavailable, match="timed out"):
            store.write(batches[:1])
        interrupt(store._connection, "log", arrives)
        written(store, batches)
        assert_each_once(tables, batches)

    def test_an_entry_that_needs_no_rows_does_not_hide_one_that_is_pending(
        self, store: ClickHouseStore, tables: Tables, interrupt: Any
    ) -> None:
        batches = two_batches(store.register(source_of()))
        interrupt(store._connection, "records", cut("before"))
        with pytest.raises(StoreUnavailable, match="cut"):
            store.write(batches[:1])
        assert store._writer._log.claim(Entry()) is not None
        written(store, batches)
        assert_each_once(tables, batches)

    def test_a_copy_has_what_the_store_has_once_the_commit_is_ended(
        self, store: ClickHouseStore, settings: Settings, tables: Tables, interrupt: Any, ask: Ask[Any]
    ) -> None:
        for number, table in enumerate(("rejects", "records", "done")):
            batches = two_batches(store.register(source_of(f"{number}.log", inode=number)))
            interrupt(store._connection, table, cut("before"))
            with pytest.raises(StoreUnavailable, match="cut"):
                store.write(batches[:1])
            origin, target = ClickHouseStore(settings), InMemoryStore()
            summary = ask(copy(origin, target, "the old one", lambda *_: None))
            origin.close()
            position = store.position(batches[0].source_id)
            status, rejects = ask(store.status()), ask(store.rejects(RejectsQuery())).rejects
            counted = (summary.records, summary.rejects, summary.blanks)
            assert counted == (status.records, status.rejects, status.blanks)
            assert ask(target.rejects(RejectsQuery())).rejects == rejects
            assert target.position(batches[0].source_id) == position
            written(store, batches)
            assert_each_once(tables, batches)


class TestLateWriter:
    """A writer that is stopped in the midst of a commit, while another one goes on with its source."""

    @pytest.mark.parametrize("table", TABLES)
    def test_it_is_shut_out_or_was_in_time(
        self, store: ClickHouseStore, settings: Settings, tables: Tables, interrupt: Any, table: str
    ) -> None:
        other = ClickHouseStore(settings)
        batches = two_batches(store.register(source_of()))

        def too_late(insert: Callable[[], None]) -> None:
            written(other, batches)
            insert()

        interrupt(store._connection, table, too_late)
        if table == "done":
            store.write(batches[:1])
        else:
            with pytest.raises(PositionConflict):
                store.write(batches[:1])
        other.close()
        assert_each_once(tables, batches)

    def test_another_process_is_given_time_to_end_its_commit(
        self, store: ClickHouseStore, settings: Settings, tables: Tables, interrupt: Any, monkeypatch: Any
    ) -> None:
        """Here by another name, so that it seems to run elsewhere."""
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
        other = ClickHouseStore(settings)
        monkeypatch.undo()
        batches = two_batches(store.register(source_of()))
        interrupt(other._connection, "records", cut("before"))
        with pytest.raises(StoreUnavailable):
            other.write(batches[:1])
        slept: list[float] = []
        monkeypatch.setattr("tailmetrics.stores.clickhouse.pending.time.sleep", slept.append)
        monkeypatch.setattr("tailmetrics.stores.clickhouse.pending.GRACE_SECONDS", 1.0)
        written(store, batches)
        other.close()
        assert slept
        assert_each_once(tables, batches)

    def test_one_that_outlasts_the_memory_of_the_server_takes_its_rows_back(
        self, store: ClickHouseStore, settings: Settings, tables: Tables, interrupt: Any, monkeypatch: Any
    ) -> None:
        other = ClickHouseStore(settings)
        batches = two_batches(store.register(source_of()))

        def forgotten(insert: Callable[[], None]) -> None:
            written(other, batches)
            tables.rows("ALTER TABLE records MODIFY SETTING non_replicated_deduplication_window = 0")
            insert()

        interrupt(store._connection, "records", forgotten)
        monkeypatch.setattr("tailmetrics.stores.clickhouse.pending.GRACE_SECONDS", 0.0)
        with pytest.raises(PositionConflict):
            store.write(batches[:1])
        other.close()
        assert_each_once(tables, batches)
