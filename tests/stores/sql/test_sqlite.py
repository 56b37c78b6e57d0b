"""SQLite: whose file it is, and what errors mean."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tailmetrics.errors import StoreDamaged, StoreError, StoreGone, StoreUnavailable
from tailmetrics.stores import open_store
from tailmetrics.stores.sql.sqlite import SQLite
from tests.builders import batch_of, source_of
from tests.integration.running import WITHOUT_ROOTS_RIGHTS
from tests.paths import DATA
from tests.stores.sql.database import ONE, settings_of

LOG = DATA / "requests-10k.log"


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    file.write_bytes(b"2024-11-06 06:33:33 cust_40 /api 400 0.316\n" * 500)
    with pytest.raises(StoreError, match="is no SQLite database"):
        open_store(settings_of(f"sqlite:///{file}"))
    assert file.read_bytes().startswith(b"2024-11-06")


def test_a_file_that_is_removed_under_a_running_store_is_missed(tmp_path: Path) -> None:
    store = open_store(settings_of(f"sqlite:///{tmp_path}/x.sqlite"))
    source = store.register(source_of())
    (tmp_path / "x.sqlite").unlink()
    with pytest.raises(StoreGone, match="was removed"):
        store.write([batch_of(source, ONE)])
    store.close()


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ("interrupted", StoreUnavailable, "was stopped"),
        ("database is locked", StoreUnavailable, "x.sqlite: database is locked"),
        ("database or disk is full", StoreUnavailable, "is full"),
        ("attempt to write a readonly database", StoreError, "a folder that this user may write to"),
        ("no such table: main.records", StoreGone, "its tables were removed"),
        ("database disk image is malformed", StoreDamaged, "put a backup in its place"),
        ("datatype mismatch", StoreError, "x.sqlite: datatype mismatch"),
    ],
)
def test_an_error_says_what_can_be_done(
    tmp_path: Path, text: str, expected: type[StoreError], said: str
) -> None:
    translated = SQLite(tmp_path / "x.sqlite", "the store", 7).translate(sqlite3.OperationalError(text))
    assert type(translated) is expected
    assert said in str(translated)


def test_a_file_that_was_cut_is_missed_by_the_next_commit(tmp_path: Path) -> None:
    store = open_store(settings_of(f"sqlite:///{tmp_path}/x.sqlite"))
    source = store.register(source_of())
    os.truncate(tmp_path / "x.sqlite", 0)
    with pytest.raises(StoreDamaged, match="it has 0 bytes"):
        store.write([batch_of(source, ONE)])
    with pytest.raises(StoreDamaged):
        store.check_present()
    store.close()


def test_every_page_is_read_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    store = open_store(settings_of(f"sqlite:///{file}"))
    store.write([batch_of(store.register(source_of()), ONE * 5000)])
    store.close()
    sound = open_store(settings_of(f"sqlite:///{file}"))
    assert sound.verify()
    sound.close()
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(b"damaged" * 5000)
    store = open_store(settings_of(f"sqlite:///{file}"))
    with pytest.raises(StoreDamaged, match="is damaged"):
        store.verify()
    with pytest.raises(StoreDamaged):
        store.check_present()
    store.close()


def test_a_file_that_may_only_be_read_is_told_to_check_and_ends_a_load(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    open_store(settings_of(f"sqlite:///{file}")).close()
    file.chmod(0o444)
    said = {}
    for name, *options in (("check", "--log-file-path", LOG), ("load", LOG)):
        prefix = [] if os.getuid() else WITHOUT_ROOTS_RIGHTS
        command = [*prefix, sys.executable, "-m", "tailmetrics", name, *map(str, options)]
        environment = {**os.environ, "API_PORT": "1", "STORE_URL": f"sqlite:///{file}"}
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        said[name] = (done.returncode, "a file that this user may write" in done.stdout + done.stderr)
    assert said == {"check": (78, True), "load": (69, True)}
