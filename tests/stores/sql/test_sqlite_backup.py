"""Copies of an SQLite file while it is written."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from tailmetrics.errors import BackupError
from tailmetrics.settings import load_settings
from tailmetrics.stores import open_store
from tailmetrics.stores.sql import sqlite_backup
from tests.builders import LINE_BYTES, batch_of, moved, source_of
from tests.stores.duckdb.support import some_records


def test_a_copy_is_of_one_commit_and_commits_go_on(tmp_path: Path) -> None:
    store = open_store(load_settings(None, store_url=f"sqlite:///{tmp_path}/store"))
    source = store.register(source_of())
    ended, copied = threading.Event(), []

    def copy() -> None:
        while len(copied) < 5:
            target = tmp_path / f"copy-{len(copied)}"
            sqlite_backup.copy(tmp_path / "store", target)
            copied.append(target)
        ended.set()

    thread = threading.Thread(target=copy)
    thread.start()
    commits = 0
    while not ended.is_set():
        batch = batch_of(source, some_records(500, commits))
        store.write([batch])
        source, commits = moved(source, batch), commits + 1
    thread.join()
    store.close()
    for target in copied:
        records = sqlite_backup.check(target).records
        with sqlite3.connect(target) as connection:
            [(position,)] = connection.execute("SELECT position FROM sources")
        connection.close()
        assert records % 500 == 0
        assert position == records * LINE_BYTES
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [*(f"copy-{n}" for n in range(5)), "store"]


def test_a_database_of_something_else_is_no_backup(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)")
    connection.close()
    with pytest.raises(BackupError, match="no such table: store"):
        sqlite_backup.check(tmp_path / "other")
