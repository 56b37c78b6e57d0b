"""How records are sorted in the background: none is missed or doubled, and the old ones are deleted."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailmetrics.stats import BreakdownQuery, CustomersQuery, RejectsQuery, StatsQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb.compactor import Compactor
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import Record, batch_of, moved, settings_of, source_of
from tests.paths import ROOT
from tests.stores.brute_force import assert_same_summary, expected_summary
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import (
    BULK,
    DAILY,
    DEADLINE_SECONDS,
    is_merged,
    opened_at,
    places_of,
    rows_of,
    some_records,
    table_sizes,
    wait_until,
    written,
)


@pytest.fixture
def store(tmp_path: Path, small_runs: None) -> Iterator[DuckDBStore]:
    opened = opened_at(tmp_path)
    yield opened
    opened.close()


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

    def test_nothing_is_sorted_while_it_rests(
        self, tmp_path: Path, small_runs: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compact, goes_on = Compactor._compact, threading.Event()
        # What is sorted by hand is not sorted beside it, too: both would delete the same rows.
        monkeypatch.setattr(Compactor, "_compact", lambda sorter: not goes_on.is_set() or compact(sorter))
        with contextlib.closing(opened_at(tmp_path)) as store:
            sorting = threading.Thread(target=store._writer._compactor._sort)
            with store._writer.resting(DEADLINE_SECONDS):
                store.write([batch_of(store.register(source_of()), some_records(5500))])
                sorting.start()
                sorting.join(0.2)
                assert (sorting.is_alive(), places_of(store)) == (True, [])
            sorting.join(DEADLINE_SECONDS)
            assert places_of(store) != []
            goes_on.set()
            wait_until(lambda: is_merged(store))

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

    def test_it_goes_on_after_the_store_was_opened_again(self, tmp_path: Path, small_runs: None) -> None:
        settings = settings_of(tmp_path / "store.duckdb")
        store = open_store(settings)
        store.write([batch_of(store.register(source_of()), some_records(5500))])
        store.close()
        again = open_store(settings)
        assert isinstance(again, DuckDBStore)
        wait_until(lambda: is_merged(again))
        again.close()


@pytest.mark.slow
class TestMemory:
    def test_it_is_not_taken_away_while_records_are_sorted(self, tmp_path: Path) -> None:
        store = open_store(settings_of(tmp_path / "store.duckdb"))
        assert isinstance(store, DuckDBStore)
        sorter = store._writer._compactor
        moments = []
        with sorter._transaction():
            sorter.while_idle(lambda: moments.append("in the middle"))
        sorter.while_idle(lambda: moments.append("at rest"))
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
    def test_old_lines_are_deleted_after_the_retention(self, tmp_path: Path, ask: Ask[Any]) -> None:
        path = tmp_path / "store.duckdb"
        store = open_store(settings_of(path))
        now = datetime.now(timezone.utc)
        source = store.register(source_of())
        records: list[Record] = [(now - timedelta(days=days), "a", "/", 200, 0.1) for days in range(10)]
        batch = batch_of(source, records)
        store.write([batch])
        store.close()
        store = open_store(settings_of(path, retention_days=5))
        store.write([batch_of(moved(source, batch), blanks=1)])
        status = ask(store.status())
        answer = ask(store.stats(StatsQuery("a", DAILY)))
        store.close()
        assert (status.records, answer.summary.total_requests) == (5, 5)

    @pytest.mark.parametrize(("age_days", "left"), [(9, 0), (0, 50)])
    def test_rejects_that_were_only_counted_go_with_the_last_of_the_others(
        self, tmp_path: Path, ask: Ask[Any], age_days: int, left: int
    ) -> None:
        path = tmp_path / "store.duckdb"
        store = open_store(settings_of(path, max_rejects_kept=100))
        store.write([batch_of(store.register(source_of()), rejects=[("r", "l")] * 50)])
        store.close()
        with duckdb.connect(str(path)) as connection:
            connection.execute(f"UPDATE rejects SET seen_at = seen_at - INTERVAL {age_days} DAY")
        store = open_store(settings_of(path, retention_days=5, max_rejects_kept=100))
        found = (ask(store.status()).rejects, ask(store.rejects(RejectsQuery())).total)
        store.close()
        assert found == (left, left)

    def test_numbered_records_are_deleted_too(self, tmp_path: Path, ask: Ask[Any], short_bulks: None) -> None:
        store = opened_at(tmp_path)
        written(store, store.register(source_of()), rows_of(BULK))
        store.close()
        store = opened_at(tmp_path, retention_days=1)
        found = (table_sizes(store)["numbered"], ask(store.status()).records)
        store.close()
        assert found == (0, 0)
