"""Restoring: what is checked before, and what happens to a store that was there."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import duckdb
import pytest

from tailmetrics.errors import BackupError, SchemaMismatch, StoreBusy
from tailmetrics.settings import Settings, load_settings
from tailmetrics.stores import backup, open_store
from tests.builders import Record, at, batch_of, source_of

ONE: list[Record] = [(at("2024-10-10"), "a", "/", 200, 0.1)]


@pytest.fixture(params=["duckdb", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return load_settings(None, store_url=f"{request.param}:///{tmp_path}/data/store")


def filled(settings: Settings, records: int = 1) -> None:
    store = open_store(settings)
    store.write([batch_of(store.register(source_of()), ONE * records)])
    store.close()


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Path:
    """A backup of a store with one record, which is there."""
    filled(settings)
    with backup.draft_of(tmp_path / "backup") as draft:
        backup.write_copy(settings, draft)
    return tmp_path / "backup"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_backup_can_be_read_by_its_owner_alone(copy: Path) -> None:
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_by_force_the_store_that_was_there_is_kept_aside(settings: Settings, copy: Path) -> None:
    path = settings.store.path
    with pytest.raises(BackupError, match="there is a store at"):
        backup.restore(settings, copy, force=False)
    path.unlink()
    filled(settings, records=3)
    contents, aside = backup.restore(settings, copy, force=True)
    assert aside is not None
    assert names(path.parent) == ["store", aside.name]
    assert contents == backup.check(settings, path)
    assert (contents.records, backup.check(settings, aside).records) == (1, 3)


def test_a_damaged_store_is_kept_aside_with_its_log(settings: Settings, copy: Path) -> None:
    path, scheme = settings.store.path, settings.store.scheme
    path.write_bytes(bytes(5000))
    log = Path(f"{path}{'.wal' if scheme == 'duckdb' else '-wal'}")
    log.write_bytes(b"the end of its data")
    _, aside = backup.restore(settings, copy, force=True)
    assert aside is not None
    assert Path(f"{aside}{log.name.removeprefix(path.name)}").read_bytes() == b"the end of its data"
    assert not log.exists()
    assert backup.check(settings, path).records == 1


# DuckDB's lock holds between processes: tests/cli/test_backup.py.
@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_store_that_is_open_is_left_alone(settings: Settings, copy: Path) -> None:
    store = open_store(settings)
    try:
        with pytest.raises(StoreBusy, match="is held by another process"):
            backup.restore(settings, copy, force=True)
        assert store.sources(None)
    finally:
        store.close()


def test_a_damaged_backup_is_refused_and_changes_nothing(settings: Settings, copy: Path) -> None:
    content = bytearray(copy.read_bytes())
    for place in range(3 * 4096, len(content), 512):
        content[place] ^= 0xFF
    copy.write_bytes(content)
    before = settings.store.path.read_bytes()
    with pytest.raises(BackupError, match=r"damaged|cannot be copied or read"):
        backup.restore(settings, copy, force=True)
    assert names(settings.store.path.parent) == ["store"]
    assert settings.store.path.read_bytes() == before


def test_a_backup_of_a_later_version_is_refused_with_both_versions(settings: Settings, copy: Path) -> None:
    if settings.store.scheme == "duckdb":
        with duckdb.connect(str(copy)) as connection:
            connection.execute("UPDATE meta SET schema_version = 99")
    else:
        with sqlite3.connect(copy) as sqlite:
            sqlite.execute("UPDATE store SET schema_version = 99")
        sqlite.close()
    settings.store.path.unlink()
    with pytest.raises(
        SchemaMismatch, match=r"schema version 99, this program knows version \d and those before"
    ):
        backup.restore(settings, copy, force=False)
    assert names(settings.store.path.parent) == []


def test_what_is_no_backup_or_of_another_kind_is_refused(settings: Settings, copy: Path) -> None:
    other = {"duckdb": "sqlite", "sqlite": "duckdb"}[settings.store.scheme]
    with pytest.raises(BackupError, match=f"is of a store in {settings.store.scheme}.*{other}:///"):
        backup.restore(load_settings(None, store_url=f"{other}:////nowhere/store"), copy, force=False)
    copy.write_text("2024-11-06 06:33:33 cust_40 / 200 0.316\n")
    with pytest.raises(BackupError, match="is no backup: found neither"):
        backup.restore(settings, copy, force=True)
    with pytest.raises(BackupError, match="is the store itself"):
        backup.restore(settings, settings.store.path, force=True)


def test_what_a_killed_backup_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    leftover, other = tmp_path / ".backup.99999999", tmp_path / ".backup.1"
    leftover.touch()
    other.touch()  # of a process that lives
    with backup.draft_of(tmp_path / "backup") as draft:
        draft.write_text("whole")
    assert names(tmp_path) == [other.name, "backup"]
