"""Opening the file: who may, and why it cannot be opened."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.errors import StoreBusy, StoreError, StoreGone
from tailmetrics.settings import Settings
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb import file
from tests.builders import LINE_BYTES, batch_of, settings_of, source_of
from tests.paths import ROOT
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import ONE, program


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
