"""Opening the file: who may, and why it cannot be opened."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailmetrics.errors import StoreBusy, StoreDamaged, StoreError, StoreGone, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb import file, schema
from tests.builders import LINE_BYTES, batch_of, settings_of, source_of
from tests.paths import ROOT
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import ONE, program, some_records


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
        command = [*program(body), str(settings.store.path)]
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

    def test_a_file_that_is_no_database_is_left_alone(self, settings: Settings) -> None:
        settings.store.path.write_bytes(b"2024-11-06 06:33:33 cust_40 /api 400 0.316\n" * 500)
        before = settings.store.path.read_bytes()
        with pytest.raises(StoreError, match="is no DuckDB database"):
            open_store(settings)
        assert settings.store.path.read_bytes() == before

    def test_a_folder_is_no_database(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="cannot be opened"):
            open_store(settings_of(tmp_path))

    def test_a_folder_that_cannot_be_made_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="cannot be created"):
            open_store(settings_of(tmp_path / "file" / "store.duckdb"))

    def test_the_log_of_a_removed_file_is_not_mistaken_for_a_new_ones(self, settings: Settings) -> None:
        settings.store.path.with_name("store.duckdb.wal").write_bytes(b"committed")
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


class TestPresence:
    @pytest.mark.parametrize("change", ["removed", "replaced"])
    def test_a_file_that_went_away_ends_writing(self, settings: Settings, change: str) -> None:
        store = open_store(settings)
        source = store.register(source_of())
        settings.store.path.unlink()
        if change == "replaced":
            settings.store.path.touch()
        with pytest.raises(StoreGone, match=f"was {change}"):
            store.write([batch_of(source, ONE)])
        store.close()

    def test_a_file_that_went_away_is_seen_by_ping(self, settings: Settings, ask: Ask[Any]) -> None:
        store = open_store(settings)
        settings.store.path.unlink()
        with pytest.raises(StoreGone):
            ask(store.ping())
        store.close()


class TestDamage:
    def test_a_file_that_was_cut_is_missed_by_the_next_commit_and_left_as_it_is(
        self, settings: Settings, ask: Ask[Any]
    ) -> None:
        store = open_store(settings)
        source = store.register(source_of())
        os.truncate(settings.store.path, 0)
        with pytest.raises(StoreDamaged, match="it has 0 bytes"):
            store.write([batch_of(source, ONE)])
        with pytest.raises(StoreDamaged):
            ask(store.ping())
        store.close()
        assert settings.store.path.stat().st_size == 0

    def test_a_file_without_its_last_blocks_is_missed(self, settings: Settings) -> None:
        opened = filled(settings)
        opened.open()
        os.truncate(settings.store.path, opened.size() - BLOCK_BYTES)
        opened.check_present()
        opened.check_whole()
        with pytest.raises(StoreDamaged, match="expected at least"):
            opened.check_present()
        opened.close()

    def test_a_block_that_is_not_as_it_was_written_ends_writing_and_is_kept(self, settings: Settings) -> None:
        opened = filled(settings)
        damage_records(settings.store.path)
        opened.open()
        with (
            contextlib.closing(opened.cursor()) as cursor,
            pytest.raises(StoreDamaged, match="checksum"),
            opened.errors_translated(),
        ):
            schema.read_all(cursor)
        with pytest.raises(StoreDamaged, match="checksum"):
            opened.check_present()
        before = settings.store.path.read_bytes()
        opened.close()
        assert settings.store.path.read_bytes() == before

    @pytest.mark.parametrize(("size", "said"), [(0, "it has 0 bytes"), (1000, "Could not read enough")])
    def test_a_file_that_was_cut_before_the_start_is_said_to_be_damaged(
        self, settings: Settings, size: int, said: str
    ) -> None:
        open_store(settings).close()
        os.truncate(settings.store.path, size)
        with pytest.raises(StoreDamaged, match=said):
            open_store(settings)
        assert settings.store.path.stat().st_size == size

    def test_a_damaged_header_is_said_with_what_to_do(self, settings: Settings) -> None:
        open_store(settings).close()
        with settings.store.path.open("r+b") as stream:
            stream.seek(4096 + 16)
            stream.write(b"damaged" * 1000)
        with pytest.raises(StoreDamaged, match="put a backup in its place"):
            open_store(settings)

    def test_a_damaged_log_may_be_moved_away(self) -> None:
        error = duckdb.IOException("Failure while replaying WAL file: Corrupt WAL file")
        said = str(file._opening_error(Path("x.duckdb"), error))
        assert "where only x.duckdb.wal is damaged, move it alone away" in said

    def test_a_full_disk_at_the_opening_may_pass(self) -> None:
        error = duckdb.IOException('Could not write file "x.duckdb.wal": No space left on device')
        assert type(file._opening_error(Path("x.duckdb"), error)) is StoreUnavailable

    def test_a_file_that_was_removed_is_not_made_anew_when_it_is_opened_again(
        self, settings: Settings
    ) -> None:
        opened = file.DuckDBFile(settings)
        opened.open()
        opened.close()
        settings.store.path.unlink()
        with pytest.raises(StoreGone):
            opened.open()
        assert not settings.store.path.exists()


class TestDrafts:
    def test_those_of_processes_that_were_killed_are_removed_at_the_next_start(
        self, settings: Settings
    ) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            ended.wait()
        kept = [f".store.duckdb.{os.getppid()}", ".store.duckdb.x", f".other.duckdb.{ended.pid}"]
        left = [
            f".store.duckdb.{ended.pid}",
            f".store.duckdb.{ended.pid}.wal",
            f".store.duckdb.{os.getpid()}",
        ]
        folder = settings.store.path.parent
        folder.mkdir(exist_ok=True)
        for name in (*kept, *left):
            (folder / name).touch()
        open_store(settings).close()
        assert {path.name for path in folder.iterdir() if path.is_file()} == {"store.duckdb", *kept}


BLOCK_BYTES = 262_144


def filled(settings: Settings) -> file.DuckDBFile:
    """A store of some blocks, closed."""
    store = open_store(settings)
    store.write([batch_of(store.register(source_of()), some_records(20_000))])
    store.close()
    return file.DuckDBFile(settings)


def damage_records(path: Path) -> None:
    """Change some bytes of a block that holds records."""
    with duckdb.connect(str(path), read_only=True) as connection:
        [(block,)] = connection.execute(
            "SELECT max(block_id) FROM (FROM pragma_storage_info('fresh') "
            "UNION ALL FROM pragma_storage_info('settled')) WHERE segment_type = 'VARCHAR'"
        ).fetchall()
    with path.open("r+b") as stream:
        stream.seek(3 * 4096 + block * BLOCK_BYTES + 1000)
        stream.write(b"damaged")
