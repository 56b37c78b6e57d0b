"""Room in the file: it comes back after records were moved or deleted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import structlog

from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb import compactor
from tailmetrics.stores.duckdb import layout as duckdb_layout
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import Record, at, batch_of, settings_of, source_of
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import (
    BULK,
    is_merged,
    opened_at,
    requests_of,
    rows_of,
    some_records,
    stored_in,
    wait_until,
    written,
)


@pytest.fixture
def store(tmp_path: Path, small_runs: None) -> Iterator[DuckDBStore]:
    opened = opened_at(tmp_path)
    yield opened
    opened.close()


def test_the_room_of_deleted_records_comes_back(
    tmp_path: Path, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.duckdb"
    now = datetime.now(timezone.utc)
    chance = random.Random(1)
    ages = [timedelta(days=10 if place % 10 else 0) for place in range(200_000)]
    records: list[Record] = [(now - age, "a", f"/{chance.random()}", 200, chance.random()) for age in ages]
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
    tmp_path: Path, request: pytest.FixtureRequest
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
    assert [event["event"] for event in events] == ["deleted by RETENTION_DAYS"]


def test_room_comes_back_although_somebody_read_what_was_moved(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_layout, "RUN_RECORDS", 100_000)
    reading = store._file.cursors.borrow()
    reading.begin()
    reading.execute("SELECT count(*) FROM records").fetchall()
    store.write([batch_of(store.register(source_of()), some_records(200_000))])
    wait_until(lambda: is_merged(store))
    in_all = stored_in(store)
    store._file.cursors.give_back(reading)
    wait_until(lambda: store.is_compacted)
    assert (in_all >= 400_000, stored_in(store) < 300_000) == (True, True)


def test_names_stay_when_they_are_written_anew(store: DuckDBStore, ask: Ask[Any], short_bulks: None) -> None:
    written(store, store.register(source_of()), rows_of(BULK, 1, 1))
    store._writer._compactor._vacuum.move_small_tables()
    assert requests_of(store, ask) == ({"c0": BULK}, {"/0": BULK})
