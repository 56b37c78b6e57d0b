"""Copies of the file while it is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailmetrics.errors import BackupError, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.base import Contents
from tailmetrics.stores.duckdb import backup
from tailmetrics.stores.duckdb.compactor import Compactor
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import source_of
from tests.stores.duckdb.support import (
    ONE,
    opened_at,
    some_records,
    written,
)


def rows(path: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute('SELECT * EXCLUDE (customer_key) FROM records ORDER BY "offset"').fetchall()


@pytest.mark.usefixtures("short_bulks")
def test_a_copy_holds_what_was_committed_before_whatever_is_written_and_sorted_meanwhile(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "REST_SECONDS", 0.0)
    monkeypatch.setattr(Compactor, "_compact", lambda _: True)  # what it would do is done here
    store = opened_at(tmp_path)
    compactor = store._writer._compactor
    source = store.register(source_of())
    for seed in range(6):
        source = written(store, source, some_records(700, seed))
        if seed % 2:
            compactor._sort()
    source = written(store, source, [*ONE, *ONE])  # not sorted
    copy = tmp_path / "copy.duckdb"
    with store.copying() as snapshot, copy.open("wb") as file:
        first = next(snapshot.pieces)
        for seed in range(6, 12):
            source = written(store, source, some_records(700, seed))
            compactor._sort()
        compactor._merge(sorted(compactor._layout.runs))
        size = file.write(first) + sum(map(file.write, snapshot.pieces))
    assert size == snapshot.size
    store.close()
    assert backup.check(settings, copy) == Contents(8, 4202, 0, 1)
    everything = rows(settings.store.path)
    assert (len(everything), rows(copy)) == (8402, everything[:4202])


def test_no_checkpoint_is_made_while_a_copy_is_taken(tmp_path: Path) -> None:
    store = opened_at(tmp_path)
    source = written(store, store.register(source_of()), ONE)
    with store.copying():
        written(store, source, ONE)
        headers = store._file.read(12_288, 0)
        assert store._file.checkpoint_lock.locked()
        assert store._file.read(12_288, 0) == headers
    store._writer.checkpoint()
    assert store._file.read(12_288, 0) != headers
    store.close()


def test_a_copy_is_broken_off_when_the_file_was_changed_by_a_checkpoint(tmp_path: Path) -> None:
    store = opened_at(tmp_path)
    source = written(store, store.register(source_of()), ONE)
    with store.copying() as snapshot:
        written(store, source, ONE)
        cursor = store._file.cursor()
        cursor.execute("CHECKPOINT")
        with pytest.raises(StoreUnavailable, match="changed too much while the backup was taken"):
            list(_after_headers(snapshot.pieces, store))
        cursor.close()
    store.close()


def _after_headers(pieces: Any, store: DuckDBStore) -> Any:
    """The pieces, the headers having been read before a further checkpoint."""
    yield next(pieces)
    written(store, store.sources(None)[0], ONE)
    cursor = store._file.cursor()
    cursor.execute("CHECKPOINT")
    cursor.close()
    yield from pieces


def test_a_store_that_is_closed_breaks_its_copy_off(tmp_path: Path) -> None:
    store = opened_at(tmp_path)
    written(store, store.register(source_of()), some_records(100_000))
    with store.copying() as snapshot:
        next(snapshot.pieces)
        store.close()
        with pytest.raises(StoreUnavailable, match="was closed meanwhile"):
            list(snapshot.pieces)


def test_one_copy_is_taken_at_a_time(tmp_path: Path) -> None:
    store = opened_at(tmp_path)
    with store.copying(), pytest.raises(StoreUnavailable, match="is being made already"), store.copying():
        pass
    with store.copying() as snapshot:
        assert sum(map(len, snapshot.pieces)) == snapshot.size
    store.close()


def test_the_lock_of_the_file_stays_when_a_copy_was_taken(tmp_path: Path, settings: Settings) -> None:
    store = opened_at(tmp_path)
    with store.copying() as snapshot:
        list(snapshot.pieces)
    assert _opened_by_another_process(settings) == "held"
    store.close()
    assert _opened_by_another_process(settings) == "free"


def _opened_by_another_process(settings: Settings) -> str:
    program = (
        "import duckdb, sys\n"
        "try: duckdb.connect(sys.argv[1]).close(); print('free')\n"
        "except duckdb.IOException: print('held')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(settings.store.path)], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_a_store_of_an_older_version_is_copied_as_it_is(tmp_path: Path, settings: Settings) -> None:
    opened_at(tmp_path).close()
    with duckdb.connect(str(settings.store.path)) as connection:
        connection.execute("UPDATE meta SET schema_version = 6")
    copy = tmp_path / "copy"
    with backup.copying_closed(settings) as snapshot:
        copy.write_bytes(b"".join(snapshot.pieces))
    assert backup.check(settings, copy).schema_version == 6
    assert backup.check(settings, settings.store.path).schema_version == 6


def test_a_database_of_something_else_is_no_backup(tmp_path: Path, settings: Settings) -> None:
    with duckdb.connect(str(tmp_path / "other")) as connection:
        connection.execute("CREATE TABLE meta (schema_version INTEGER); INSERT INTO meta VALUES (7)")
    with pytest.raises(BackupError, match="is damaged, or no backup of a store"):
        backup.check(settings, tmp_path / "other")
