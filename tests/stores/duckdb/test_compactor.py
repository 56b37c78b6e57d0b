"""How records are sorted in the background: never is one missed or doubled, and room comes back."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
import structlog

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stats import BreakdownQuery, CustomersQuery, StatsQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb import compactor, file, layout, merge
from tailmetrics.stores.duckdb import layout as duckdb_layout
from tailmetrics.stores.duckdb.compactor import Settler
from tailmetrics.stores.duckdb.layout import Layout
from tailmetrics.stores.duckdb.merge import Merge
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.windows import parse_every
from tests.builders import Record, at, batch_of, moved, settings_of, source_of
from tests.paths import ROOT
from tests.stores.brute_force import assert_same_summary, expected_summary
from tests.stores.conftest import Ask

DAILY = parse_every("1d")
SMALL_RUN = 1000
DEADLINE_SECONDS = 30


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a thousand records, sorted at once, so that some thousand records show what millions would."""
    monkeypatch.setattr(duckdb_layout, "RUN_RECORDS", SMALL_RUN)
    monkeypatch.setattr(duckdb_layout, "FEW_RECORDS", 1)
    monkeypatch.setattr(compactor, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(compactor, "_IDLE_SECONDS", 0.05)


@pytest.fixture
def store(tmp_path: Path, small_runs: None) -> Iterator[DuckDBStore]:
    opened = open_store(settings_of(tmp_path / "store.duckdb"))
    assert isinstance(opened, DuckDBStore)
    yield opened
    opened.close()


def some_records(number: int, seed: int = 1) -> list[Record]:
    chance = random.Random(seed)
    return [
        (
            at("2024-10-10") + timedelta(seconds=chance.randrange(10 * 86_400)),
            f"cust_{chance.randrange(20)}",
            f"/{chance.randrange(5)}",
            chance.choice([200, 404, 500]),
            chance.choice([None, chance.random()]),
        )
        for _ in range(number)
    ]


def layout_of(store: DuckDBStore) -> Layout:
    """How the records lie by what is in the file."""
    cursor = store._file.cursor()
    try:
        runs = cursor.execute("SELECT run, count(*) FROM settled GROUP BY run").fetchall()
        [(unsorted, deleted)] = cursor.execute(
            "SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM numbered), "
            "(SELECT records FROM deleted)"
        ).fetchall()
    finally:
        cursor.close()
    return Layout(dict(runs), unsorted, deleted)


def stored_in(store: DuckDBStore) -> int:
    """Sorted records in the file, those that were deleted and still take room included."""
    cursor = store._file.cursor()
    try:
        [(number,)] = cursor.execute(
            "SELECT estimated_size FROM duckdb_tables() WHERE table_name = 'settled'"
        ).fetchall()
    finally:
        cursor.close()
    return int(number)


def places_of(store: DuckDBStore) -> list[tuple[int, datetime]]:
    """Keys and times of the sorted records, as they lie."""
    cursor = store._file.cursor()
    try:
        return cursor.execute("SELECT customer_key, timestamp FROM settled ORDER BY rowid").fetchall()
    finally:
        cursor.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_merged(store: DuckDBStore) -> bool:
    return list(layout_of(store).runs.values()) == [store._writer.counts.records]


class TestWhatIsDue:
    def test_a_run_of_unsorted_records_is_sorted_at_an_ordinary_pace(self) -> None:
        layout = Layout(unsorted=duckdb_layout.RUN_RECORDS)
        assert layout.wants_seal(busy=False, idle=False)

    def test_a_load_at_full_speed_is_not_disturbed(self) -> None:
        layout = Layout({1: 1, 2: 1}, unsorted=duckdb_layout.RUN_RECORDS)
        assert not layout.wants_seal(busy=True, idle=False)
        assert not layout.wants_merge(busy=True, idle=False)

    def test_a_load_that_does_not_end_is_disturbed_after_all(self) -> None:
        layout = Layout(unsorted=300 * duckdb_layout.RUN_RECORDS)
        assert layout.wants_seal(busy=True, idle=False)

    def test_few_unsorted_records_stay_as_they_are(self) -> None:
        assert not Layout(unsorted=1000).wants_seal(busy=False, idle=True)

    def test_runs_are_merged_when_the_records_have_doubled(self) -> None:
        assert not Layout({1: 10, 2: 5, 3: 4}).wants_merge(busy=False, idle=False)
        assert Layout({1: 10, 2: 5, 3: 5}).wants_merge(busy=False, idle=False) == [1, 2, 3]

    def test_runs_are_merged_sooner_when_there_is_time(self) -> None:
        assert Layout({1: 10, 2: 1}).wants_merge(busy=False, idle=True) == [1, 2]

    def test_one_run_alone_stays_as_it_is(self) -> None:
        assert not Layout({1: 10}).wants_merge(busy=False, idle=True)

    def test_many_runs_are_merged_in_stages(self) -> None:
        alike = dict.fromkeys(range(1, 101), duckdb_layout.RUN_RECORDS)
        stages = [Layout(alike).wants_merge(busy=False, idle=False)]
        large = {101: 32 * duckdb_layout.RUN_RECORDS}
        rest = {run: records for run, records in alike.items() if run > 32}
        stages.append(Layout({**large, **rest}).wants_merge(busy=False, idle=False))
        assert stages == [list(range(1, 33)), list(range(33, 65))]

    def test_few_runs_beside_a_large_one_wait_until_they_are_many(self) -> None:
        small = dict.fromkeys(range(2, 34), duckdb_layout.RUN_RECORDS)
        layout = Layout({1: 1000 * duckdb_layout.RUN_RECORDS, **small})
        assert layout.wants_merge(busy=False, idle=True) == list(range(2, 34))
        del small[2]
        assert not Layout({1: 1000 * duckdb_layout.RUN_RECORDS, **small}).wants_merge(busy=False, idle=True)

    def test_many_deleted_records_are_a_reason_to_write_the_others_anew(self) -> None:
        assert Layout({1: 100}, deleted=26).wants_merge(busy=False, idle=False) == [1]
        assert not Layout({1: 100}, deleted=25).wants_merge(busy=False, idle=True)


class TestSorting:
    def test_all_answers_stay_the_same(self, store: DuckDBStore, ask: Ask[Any]) -> None:
        records = some_records(5500)
        source = store.register(source_of())
        for begin in range(0, len(records), 500):
            batch = batch_of(source, records[begin : begin + 500])
            store.write([batch])
            source = moved(source, batch)
        wait_until(lambda: is_merged(store))
        mine = [row for row in records if row[1] == "cust_3"]
        assert_same_summary(ask(store.stats(StatsQuery("cust_3", DAILY))).summary, expected_summary(mine))
        assert_same_summary(
            ask(store.stats(StatsQuery(None, DAILY))).summary, expected_summary(records, "4xx+5xx")
        )
        assert ask(store.customers(CustomersQuery())).total == 20
        breakdown = ask(store.breakdown(BreakdownQuery("cust_3")))
        assert sum(path.requests for path in breakdown.paths) == len(mine)

    def test_records_lie_by_customer_and_time(self, store: DuckDBStore) -> None:
        source = store.register(source_of())
        store.write([batch_of(source, some_records(5500))])
        wait_until(lambda: is_merged(store))
        found = places_of(store)
        assert found == sorted(found)

    def test_no_moment_misses_or_doubles_a_record(self, store: DuckDBStore, ask: Ask[Any]) -> None:
        """Asked again and again while records are sorted and merged."""
        number = 20_500
        source = store.register(source_of())
        store.write([batch_of(source, some_records(number))])
        counts = set()

        async def watch() -> None:
            while not is_merged(store):
                counts.add((await store.stats(StatsQuery(None, DAILY))).summary.total_requests)

        ask(asyncio.wait_for(watch(), DEADLINE_SECONDS))
        assert counts == {number}

    def test_stages_leave_one_run_with_each_record_once(
        self, store: DuckDBStore, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        merged: list[int] = []
        merge = Settler._merge

        def note(settler: Settler, runs: Sequence[int]) -> None:
            merged.append(len(runs))
            merge(settler, runs)

        monkeypatch.setattr(duckdb_layout, "MERGED_RUNS", 3)
        monkeypatch.setattr(Settler, "_merge", note)
        records = some_records(20 * SMALL_RUN)
        store.write([batch_of(store.register(source_of()), records)])
        wait_until(lambda: is_merged(store))
        assert max(merged) < 6
        assert_same_summary(
            ask(store.stats(StatsQuery(None, DAILY))).summary, expected_summary(records, "4xx+5xx")
        )

    @pytest.mark.parametrize("customers", [1, 3])
    def test_a_slice_is_short_however_few_customers_have_the_records(
        self, store: DuckDBStore, monkeypatch: pytest.MonkeyPatch, customers: int
    ) -> None:
        slices: list[int] = []
        note = merge.note_run

        def noted(cursor: duckdb.DuckDBPyConnection, run: int, records: int) -> None:
            slices.append(records)
            note(cursor, run, records)

        monkeypatch.setattr(merge, "note_run", noted)
        records = [
            (time, f"c{place % customers}", *others)
            for place, (time, _, *others) in enumerate(some_records(20 * SMALL_RUN))
        ]
        store.write([batch_of(store.register(source_of()), records)])
        wait_until(lambda: is_merged(store))
        found = places_of(store)
        assert (max(slices) < 4 * SMALL_RUN, len(found), found) == (True, len(records), sorted(found))

    def test_records_of_one_customer_and_time_are_merged_too(self, store: DuckDBStore) -> None:
        store.write(
            [batch_of(store.register(source_of()), [(at("2024-10-10"), "c", "/", 200, 0.1)] * 20 * SMALL_RUN)]
        )
        wait_until(lambda: is_merged(store))
        assert len(places_of(store)) == 20 * SMALL_RUN

    def test_a_merge_goes_on_where_it_was_when_memory_was_short(
        self, store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[int] = []
        move = Merge.move

        def short_of_memory_once(merge: Merge, cursor: duckdb.DuckDBPyConnection) -> None:
            tried.append(merge._left[0].low)
            if len(tried) == 3:
                raise StoreUnavailable("DuckDB: Out of Memory Error")
            move(merge, cursor)

        monkeypatch.setattr(compactor, "_SECONDS_AFTER_AN_ERROR", 0.01)
        monkeypatch.setattr(Merge, "move", short_of_memory_once)
        source = store.register(source_of())
        store.write([batch_of(source, some_records(10 * SMALL_RUN))])
        wait_until(lambda: is_merged(store))
        assert [tried.count(low) for low in sorted(set(tried))] == [1, 1, 2, *[1] * (len(set(tried)) - 3)]

    def test_it_goes_on_after_the_store_was_opened_again(self, tmp_path: Path, small_runs: None) -> None:
        settings = settings_of(tmp_path / "store.duckdb")
        store = open_store(settings)
        store.write([batch_of(store.register(source_of()), some_records(5500))])
        store.close()
        again = open_store(settings)
        assert isinstance(again, DuckDBStore)
        wait_until(lambda: is_merged(again))
        again.close()


class TestMemory:
    def test_it_is_not_taken_away_while_records_are_sorted(self, tmp_path: Path) -> None:
        store = open_store(settings_of(tmp_path / "store.duckdb"))
        assert isinstance(store, DuckDBStore)
        settler = store._writer._settler
        moments = []
        with settler._transaction():
            settler.while_at_rest(lambda: moments.append("in the middle"))
        settler.while_at_rest(lambda: moments.append("at rest"))
        store.close()
        assert moments == ["at rest"]


@pytest.mark.slow
class TestCrashes:
    def test_kill_leaves_each_record_once(self, tmp_path: Path, ask: Ask[Any]) -> None:
        path = tmp_path / "store.duckdb"
        program = textwrap.dedent(
            """
            import itertools
            import sys
            from pathlib import Path
            from tailmetrics.stores import open_store
            from tailmetrics.stores.duckdb import compactor, dictionary
            from tailmetrics.stores.duckdb import layout as duckdb_layout
            from tests.builders import *
            dictionary.BULK_RECORDS = 200
            duckdb_layout.RUN_RECORDS, duckdb_layout.FEW_RECORDS = 500, 1
            duckdb_layout.MERGED_RUNS = 3
            compactor._LOOK_SECONDS = compactor._IDLE_SECONDS = 0.01
            store = open_store(settings_of(Path(sys.argv[1])))
            source = store.register(source_of())
            for number in itertools.count():  # by turns as texts and as numbers
                rows = [(at("2024-10-10"), f"cust_{place % 7}", "/", 200, 0.1) for place in range(200)]
                batch = batch_of(source, rows)
                store.write([store.prepare(batch) if number % 2 else batch])
                source = moved(source, batch)
                print(source.position, flush=True)
            """
        )
        chance = random.Random(1)  # the same moments in each run
        for _ in range(5):
            command = [sys.executable, "-c", program, str(path)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                for _ in range(chance.randint(20, 60)):
                    writer.stdout.readline()
                writer.send_signal(signal.SIGKILL)
            store = open_store(settings_of(path))
            position = store.position(source_of().source_id)
            counted = ask(store.stats(StatsQuery(None, DAILY))).summary.total_requests
            customers = ask(store.customers(CustomersQuery(limit=10))).customers
            store.close()
            assert counted * 54 == position
            assert sum(customer.summary.total_requests for customer in customers) == counted


class TestRetention:
    def test_the_room_of_deleted_records_comes_back(
        self, tmp_path: Path, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "store.duckdb"
        now = datetime.now(timezone.utc)
        chance = random.Random(1)
        ages = [timedelta(days=10 if place % 10 else 0) for place in range(200_000)]
        records: list[Record] = [
            (now - age, "a", f"/{chance.random()}", 200, chance.random()) for age in ages
        ]
        store = open_store(settings_of(path))
        store.write([batch_of(store.register(source_of()), records)])
        store.close()
        before = path.stat().st_size
        monkeypatch.setattr(duckdb_layout, "FEW_RECORDS", 1)
        monkeypatch.setattr(compactor, "_LOOK_SECONDS", 0.01)
        monkeypatch.setattr(compactor, "_IDLE_SECONDS", 0.05)
        store = open_store(settings_of(path, retention_days=5))
        wait_until(lambda: path.stat().st_size < before / 2)
        kept = ask(store.status()).records
        store.close()
        assert kept == 20_000

    def test_a_store_of_which_nothing_is_left_becomes_small(
        self, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        path = tmp_path / "store.duckdb"
        chance = random.Random(1)
        records: list[Record] = [
            (at("2024-10-10"), "a", f"/{chance.random()}", 200, chance.random()) for _ in range(200_000)
        ]
        store = open_store(settings_of(path))
        store.write([batch_of(store.register(source_of()), records)])
        store.close()
        before = path.stat().st_size
        request.getfixturevalue("small_runs")
        with structlog.testing.capture_logs() as events:
            store = open_store(settings_of(path, retention_days=5))
            try:
                wait_until(lambda: path.stat().st_size < before / 2)
            finally:
                store.close()
        assert events == []


@pytest.mark.slow
class TestRoom:
    def test_it_comes_back_although_somebody_read_what_was_moved(
        self, store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(duckdb_layout, "RUN_RECORDS", 100_000)
        reading = store._file.cursors.borrow()
        reading.begin()
        reading.execute("SELECT count(*) FROM records").fetchall()
        store.write([batch_of(store.register(source_of()), some_records(200_000))])
        wait_until(lambda: is_merged(store))
        in_all = stored_in(store)
        store._file.cursors.give_back(reading)
        wait_until(lambda: store.is_settled)
        assert (in_all >= 400_000, stored_in(store) < 300_000) == (True, True)


class TestUpgrade:
    def test_a_file_of_the_first_version_is_taken_over(self, tmp_path: Path, ask: Ask[Any]) -> None:
        path = tmp_path / "store.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute(file._SCHEMA)
            connection.execute(
                "INSERT INTO records "
                "SELECT 1, range * 54, TIMESTAMP '2024-10-10', 'a', '/', 200, 0.1 FROM range(10)"
            )
        store = open_store(settings_of(path))
        answer = ask(store.stats(StatsQuery("a", DAILY)))
        store.close()
        assert answer.summary.total_requests == 10

    def test_a_file_of_the_second_version_is_taken_over_and_merged(
        self, tmp_path: Path, ask: Ask[Any], small_runs: None
    ) -> None:
        path = tmp_path / "store.duckdb"
        key = layout.key_of("customer_id")
        with duckdb.connect(str(path)) as connection:
            connection.execute(file._SCHEMA)
            connection.execute(file._UPGRADES[1])
            connection.execute("UPDATE meta SET schema_version = 2")
            for run in range(2):
                connection.execute(
                    "INSERT INTO settled SELECT 1, $run * 540 + range * 54, "
                    "TIMESTAMP '2024-10-10' + to_seconds(range), 'c' || range % 3 AS customer_id, "
                    f"'/', 200, 0.1, {key} AS key FROM range(10) ORDER BY key",
                    {"run": run},
                )
            connection.execute("UPDATE layout SET base = 10, tail = 10, runs = 1")
        store = open_store(settings_of(path))
        assert isinstance(store, DuckDBStore)
        wait_until(lambda: layout_of(store).deleted == 0)
        found = places_of(store)
        answer = ask(store.stats(StatsQuery("c0", DAILY)))
        store.close()
        assert answer.summary.total_requests == 8
        assert found == sorted(found)


class TestDailyStats:
    def test_the_view_gives_the_figures_of_each_day(self, tmp_path: Path) -> None:
        path = tmp_path / "store.duckdb"
        store = open_store(settings_of(path))
        rows: list[Record] = [
            (at("2024-10-10T01:00:00"), "a", "/", 200, 0.1),
            (at("2024-10-10T23:00:00"), "a", "/", 500, 0.3),
            (at("2024-10-11T00:00:00"), "a", "/", 200, None),
        ]
        store.write([batch_of(store.register(source_of()), rows)])
        store.close()
        with duckdb.connect(str(path), read_only=True) as connection:
            found = connection.execute("SELECT * FROM daily_stats ORDER BY day").fetchall()
        first, second = found
        assert first[:6] == ("a", at("2024-10-10").date(), 2, 1, 1, 50)
        assert first[6:] == pytest.approx((0.2, 0.2, 0.298))
        assert second[2:] == (1, 1, 0, 100, None, None, None)
