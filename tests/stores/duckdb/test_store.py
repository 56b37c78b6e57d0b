"""What is particular to the DuckDB file: who may open it, what a crash leaves, and its limits."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from tailmetrics.errors import SchemaMismatch, StoreBusy, StoreError, StoreGone, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stats import CustomersQuery, StatsQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb import file
from tailmetrics.stores.duckdb.aggregates import Groups, Method, aggregates_sql
from tailmetrics.stores.duckdb.file import DuckDBFile
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.stores.duckdb.writer import Writer
from tailmetrics.stores.results import summary_of
from tailmetrics.windows import parse_every
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, settings_of, source_of
from tests.paths import ROOT
from tests.stores.brute_force import assert_same_summary, expected_summary
from tests.stores.conftest import Ask

DAILY = parse_every("1d")
ONE: list[Record] = [(at("2024-10-10"), "a", "/", 200, 0.1)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "store.duckdb")


def program(body: str) -> list[str]:
    """A command that runs Python with a store `store` of the file named by its first argument."""
    start = """
        import sys
        from pathlib import Path
        from tailmetrics.stores import open_store
        from tests.builders import *
        store = open_store(settings_of(Path(sys.argv[1])))
    """
    return [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(body)]


class TestOpening:
    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b" / "store.duckdb"
        open_store(settings_of(path)).close()
        assert [found.name for found in path.parent.iterdir()] == ["store.duckdb"]

    def test_the_path_may_have_quotes_in_it(self, tmp_path: Path) -> None:
        path = tmp_path / 'it\'s "here"; --.duckdb'
        for _ in range(2):
            open_store(settings_of(path)).close()
        assert path.exists()

    def test_the_store_of_another_program_in_sqlite_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "other.duckdb"
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE t (x)")
        with pytest.raises(StoreError, match="is no DuckDB database"):
            open_store(settings_of(path))

    def test_the_password_of_a_holder_is_masked_however_long_its_command(self) -> None:
        url = f"amqp://guest:{'s3cret' * 100}@127.0.0.1/?queue=x"
        command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()  # its command is not to be seen before it runs
            described = file._describe_process(holder.pid)
        assert ("amqp://guest:***@" in described, "s3cret" in described) == (True, False)

    def test_a_second_process_is_told_who_holds_the_file(self, settings: Settings) -> None:
        body = "print('open', flush=True); sys.stdin.read(); store.close()"
        command = [*program(body), str(settings.store_path)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with pytest.raises(StoreBusy, match=rf"held by process {holder.pid} \(.*python.*\)"):
                open_store(settings)
            holder.communicate()

    def test_a_second_opening_in_one_process_is_refused_until_the_first_ends(
        self, settings: Settings
    ) -> None:
        first = open_store(settings)
        with pytest.raises(StoreBusy, match="this process"):
            open_store(settings)
        first.close()
        open_store(settings).close()

    def test_another_schema_version_is_named(self, settings: Settings) -> None:
        open_store(settings).close()
        with duckdb.connect(str(settings.store_path)) as connection:
            connection.execute("UPDATE meta SET schema_version = 99").fetchall()
        with pytest.raises(SchemaMismatch, match="schema version 99, this program knows version 4"):
            open_store(settings)

    def test_a_file_that_is_no_database_is_left_alone(self, settings: Settings) -> None:
        settings.store_path.write_bytes(b"2024-11-06 06:33:33 cust_40 /api 400 0.316\n" * 500)
        before = settings.store_path.read_bytes()
        with pytest.raises(StoreError, match="is no DuckDB database"):
            open_store(settings)
        assert settings.store_path.read_bytes() == before

    def test_a_database_of_something_else_is_left_alone(self, settings: Settings) -> None:
        with duckdb.connect(str(settings.store_path)) as connection:
            connection.execute("CREATE TABLE mine (a INTEGER)").fetchall()
        with pytest.raises(StoreError, match="something else"):
            open_store(settings)

    def test_a_folder_is_no_database(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="cannot be opened"):
            open_store(settings_of(tmp_path))

    def test_a_folder_that_cannot_be_made_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="cannot be created"):
            open_store(settings_of(tmp_path / "file" / "store.duckdb"))

    def test_the_log_of_a_removed_file_is_not_mistaken_for_a_new_ones(self, settings: Settings) -> None:
        settings.store_path.with_name("store.duckdb.wal").write_bytes(b"committed")
        with pytest.raises(StoreError, match=r"is missing but store\.duckdb\.wal"):
            open_store(settings)

    def test_a_relative_path_stays_what_it_was_when_the_folder_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store = open_store(settings_of(Path("store.duckdb")))
        source = store.register(source_of())
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.write([batch_of(source, ONE)])
        assert store.position(source.source_id) == LINE_BYTES
        store.close()


class TestRunning:
    @pytest.mark.parametrize("change", ["removed", "replaced"])
    def test_a_file_that_went_away_ends_writing(self, settings: Settings, change: str) -> None:
        store = open_store(settings)
        source = store.register(source_of())
        settings.store_path.unlink()
        if change == "replaced":
            settings.store_path.touch()
        with pytest.raises(StoreGone, match=f"was {change}"):
            store.write([batch_of(source, ONE)])
        store.close()

    def test_a_file_that_went_away_is_seen_by_ping(self, settings: Settings, ask: Ask[Any]) -> None:
        store = open_store(settings)
        settings.store_path.unlink()
        with pytest.raises(StoreGone):
            ask(store.ping())
        store.close()

    def test_a_closed_store_says_so(self, settings: Settings, ask: Ask[Any]) -> None:
        store = open_store(settings)
        source = store.register(source_of())
        store.close()
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.write([batch_of(source, ONE)])
        with pytest.raises(StoreUnavailable, match="closed"):
            ask(store.ping())

    def test_a_full_disk_is_an_outage_after_which_writing_goes_on(self, settings: Settings) -> None:
        body = """
            import resource, signal
            from tailmetrics.errors import StoreUnavailable
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            source = store.register(source_of())
            lines = [(at("2024-10-10"), str(number), "/" * number, 200, 0.1) for number in range(2000)]
            batch = batch_of(source, lines)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
            try:
                store.write([batch])
            except StoreUnavailable as error:
                print(type(error).__name__, store.position(source.source_id))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            store.write([batch])
            print(store.position(source.source_id) == batch.checkpoint.position)
            store.close()
        """
        command = [*program(body), str(settings.store_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines() == ["StoreUnavailable 0", "True"]

    def test_a_database_that_duckdb_has_given_up_is_opened_anew(
        self, settings: Settings, ask: Ask[Any]
    ) -> None:
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        source = store.register(source_of())
        first = batch_of(source, ONE)
        store.write([first])
        version = ask(store.status()).version
        store._writer._damaged = True  # what a fatal error of DuckDB leaves
        store.write([batch_of(moved(source, first), ONE)])
        status = ask(store.status())
        store.close()
        assert status.records == 2
        assert status.version != version

    def test_a_commit_that_was_made_although_it_failed_is_known(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        batch = batch_of(store.register(source_of()), ONE)
        move = Writer._move_sources

        def made_and_failed(writer: Writer, *arguments: Any) -> None:
            move(writer, *arguments)
            writer._connection.commit()
            raise duckdb.FatalException("lost")

        with monkeypatch.context() as patch:
            patch.setattr(Writer, "_move_sources", made_and_failed)
            with pytest.raises(StoreUnavailable):
                store.write([batch])
        position = store.position(batch.source_id)
        store.close()
        assert position == batch.checkpoint.position

    def test_a_question_that_takes_too_long_is_ended(self, tmp_path: Path, ask: Ask[Any]) -> None:
        store = open_store(settings_of(tmp_path / "store.duckdb", query_timeout_seconds=0.2))
        assert isinstance(store, DuckDBStore)
        endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
        with pytest.raises(StoreUnavailable, match=r"longer than 0.2 seconds \(QUERY_TIMEOUT_SECONDS\)"):
            ask(store._ask(lambda reader: reader.run(endless)))
        ask(store.ping())
        store.close()

    def test_closing_ends_the_questions_under_way(self, settings: Settings) -> None:
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"

        async def close_while_asking() -> None:
            question = asyncio.ensure_future(store._ask(lambda reader: reader.run(endless)))
            while not any(reader._cursor for reader in store._readers):
                await asyncio.sleep(0.001)
            await asyncio.to_thread(store.close)
            await question

        with pytest.raises(StoreUnavailable, match="was closed"):
            asyncio.run(close_while_asking())

    def test_questions_are_answered_while_batches_are_written(
        self, settings: Settings, ask: Ask[Any]
    ) -> None:
        store = open_store(settings)
        source = store.register(source_of())

        async def both() -> list[int]:
            counts = []
            nonlocal source
            for _ in range(20):
                batch = batch_of(source, ONE * 10)
                writing = asyncio.to_thread(store.write, [batch])
                answer, _ = await asyncio.gather(store.stats(StatsQuery(None, DAILY)), writing)
                counts.append(answer.summary.total_requests)
                source = moved(source, batch)
            return counts

        counts = ask(both())
        store.close()
        assert counts == sorted(counts)
        assert all(count % 10 == 0 for count in counts)

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


class TestCursors:
    def test_one_that_was_given_back_is_lent_again_without_its_transaction(self, settings: Settings) -> None:
        file = DuckDBFile(settings)
        file.open()
        first = file.cursors.borrow()
        first.execute("BEGIN; CREATE TABLE made AS SELECT 1")
        file.cursors.give_back(first)
        again = file.cursors.borrow()
        assert again is first
        with pytest.raises(duckdb.CatalogException):
            again.execute("FROM made")
        file.close()

    def test_one_that_is_given_back_after_the_end_is_closed(self, settings: Settings) -> None:
        file = DuckDBFile(settings)
        file.open()
        cursors = file.cursors
        lent = cursors.borrow()
        lent.begin()
        file.close()
        cursors.give_back(lent)
        with pytest.raises(duckdb.ConnectionException):
            lent.execute("SELECT 1")


class TestCrashes:
    def test_kill_leaves_each_line_once(self, settings: Settings, ask: Ask[Any]) -> None:
        """Positions and records agree after each kill, and nothing that was committed is lost."""
        body = """
            source = store.register(source_of())
            while True:
                batch = batch_of(source, [(at("2024-10-10"), "a", "/", 200, 0.1)] * 50, rejects=[("r", "l")])
                store.write([batch])
                source = moved(source, batch)
                print(source.position, flush=True)
        """
        chance = random.Random(1)  # the same moments in each run
        for _ in range(5):
            command = [*program(body), str(settings.store_path)]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                for _ in range(chance.randint(1, 40)):
                    committed = int(writer.stdout.readline())
                writer.send_signal(signal.SIGKILL)
            store = open_store(settings)
            position = store.position(source_of().source_id)
            status = ask(store.status())
            store.close()
            assert position is not None
            assert position >= committed
            assert (status.records, status.rejects) == (
                position // LINE_BYTES * 50 // 51,
                position // LINE_BYTES // 51,
            )


class TestMemory:
    """Quantiles found in memory and on disk are the same, and the disk is used where memory ends."""

    @pytest.mark.parametrize(("key", "total"), [("customer_id", True), ("customer_id", False), (None, True)])
    @pytest.mark.parametrize("rows", [1, 2, 1000])
    @pytest.mark.parametrize("method", list(Method))
    def test_both_methods_give_the_figures_of_brute_force(
        self, settings: Settings, ask: Ask[Any], *, method: Method, rows: int, key: str | None, total: bool
    ) -> None:
        chance = random.Random(3)  # the same records in each run
        records: list[Record] = [
            (
                at("2024-10-10"),
                f"c{chance.randrange(5)}",
                "/",
                chance.choice((200, 500)),
                chance.choice((None, 0.25, chance.random())),
            )
            for _ in range(rows)
        ]
        store = open_store(settings)
        assert isinstance(store, DuckDBStore)
        store.write([batch_of(store.register(source_of()), records)])
        found = {}
        for sql in aggregates_sql(method, Groups(key, total), "TRUE", "4xx+5xx"):
            for found_key, *row in ask(store._ask(lambda reader, sql=sql: reader.run(sql))):
                found[found_key] = summary_of(*row)
        store.close()
        expected = {}
        if key is not None:
            for name in {record[1] for record in records}:
                expected[name] = expected_summary([record for record in records if record[1] == name])
        if total:
            expected[None] = expected_summary(records)
        assert found.keys() == expected.keys()
        for name, summary in found.items():
            assert_same_summary(summary, expected[name])

    def test_a_customer_with_more_requests_than_memory_is_answered(
        self, tmp_path: Path, ask: Ask[Any]
    ) -> None:
        rows = 3_000_000
        store = open_store(settings_of(tmp_path / "store.duckdb", duckdb_memory_limit="48MB"))
        durations = np.random.default_rng(1).random(rows)
        source = store.register(source_of())
        for begin in range(0, rows, 250_000):
            batch = batch_of(source, one_customer(durations[begin : begin + 250_000]))
            store.write([batch])
            source = moved(source, batch)
        answer = ask(store.stats(StatsQuery("a", DAILY)))
        page = ask(store.customers(CustomersQuery(sort="p99")))
        store.close()
        for summary in (answer.summary, answer.windows[0].summary, page.customers[0].summary):
            assert summary.total_requests == rows
            assert summary.median_latency == pytest.approx(np.median(durations), rel=1e-9)
            assert summary.p99_latency == pytest.approx(np.quantile(durations, 0.99), rel=1e-9)


def one_customer(durations: np.ndarray[Any, Any]) -> pl.DataFrame:
    """Records of the customer `a` at one time."""
    return pl.DataFrame({"duration": durations}).select(
        pl.lit(datetime(2024, 10, 10), pl.Datetime("us")).alias("timestamp"),  # noqa: DTZ001  # as in records
        pl.lit("a").alias("customer_id"),
        pl.lit("/").alias("path"),
        pl.lit(200, pl.Int16).alias("status_code"),
        "duration",
        (pl.int_range(pl.len()) * LINE_BYTES).alias("offset"),
    )
