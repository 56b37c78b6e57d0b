"""The schema of the file: files of other versions, and what others may read in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailmetrics.errors import SchemaMismatch, StoreError
from tailmetrics.settings import Settings
from tailmetrics.stats import RejectsQuery, StatsQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb import layout, schema
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import Record, at, batch_of, settings_of, source_of
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import (
    BULK,
    DAILY,
    layout_of,
    opened_at,
    places_of,
    requests_of,
    rows_of,
    wait_until,
    written,
)


def test_a_database_of_something_else_is_left_alone(settings: Settings) -> None:
    with duckdb.connect(str(settings.store.path)) as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)").fetchall()
    with pytest.raises(StoreError, match="something else"):
        open_store(settings)


def test_another_schema_version_is_named(settings: Settings) -> None:
    open_store(settings).close()
    with duckdb.connect(str(settings.store.path)) as connection:
        connection.execute("UPDATE meta SET schema_version = 99").fetchall()
    with pytest.raises(SchemaMismatch, match="schema version 99, this program knows version 8"):
        open_store(settings)


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path, ask: Ask[Any]) -> None:
    path = tmp_path / "store.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(schema.UPGRADES[0])
        connection.execute(
            "INSERT INTO records "
            "SELECT 1, range * 54, TIMESTAMP '2024-10-10', 'a', '/', 200, 0.1 FROM range(10)"
        )
    store = open_store(settings_of(path))
    answer = ask(store.stats(StatsQuery("a", DAILY)))
    store.close()
    assert answer.summary.total_requests == 10


def test_a_file_of_the_second_version_is_taken_over_and_merged(
    tmp_path: Path, ask: Ask[Any], small_runs: None
) -> None:
    path = tmp_path / "store.duckdb"
    key = layout.key_of("customer_id")
    with duckdb.connect(str(path)) as connection:
        connection.execute(schema.UPGRADES[0])
        connection.execute(schema.UPGRADES[1])
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


def test_a_file_of_the_third_version_is_taken_over(tmp_path: Path, ask: Ask[Any], short_bulks: None) -> None:
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        connection.execute(schema.UPGRADES[0])
        connection.execute(schema.UPGRADES[1])
        connection.execute(schema.UPGRADES[2])
        connection.execute("UPDATE meta SET schema_version = 3")
        connection.execute(
            "INSERT INTO fresh SELECT 1, range * 54, TIMESTAMP '2024-10-10', 'a', '/', 200, 0.1 "
            "FROM range(10)"
        )
    store = opened_at(tmp_path)
    written(store, store.register(source_of()), rows_of(BULK, 1, 1))
    found = requests_of(store, ask)
    store.close()
    assert found == ({"a": 10, "c0": BULK}, {"/": 10, "/0": BULK})


def test_a_file_of_the_fourth_version_keeps_its_rejects(tmp_path: Path, ask: Ask[Any]) -> None:
    path = tmp_path / "store.duckdb"
    with duckdb.connect(str(path)) as connection:
        for step in schema.UPGRADES[:4]:
            connection.execute(step)
        connection.execute("UPDATE meta SET schema_version = 4")
        connection.execute(
            "INSERT INTO sources SELECT 1, 'id', 'node', '1', '7', 0, '/logs/a', 540, 0, '', 0, '', "
            "0, 300, 0, now(), now()"
        )
        connection.execute(
            "INSERT INTO rejects SELECT range, 1, range * 54, 'r', 'line ' || range, now() FROM range(1, 301)"
        )
    store = open_store(settings_of(path, max_rejects_kept=100))
    before = ask(store.rejects(RejectsQuery()))
    [source] = store.sources("node")
    store.write([batch_of(source, rejects=[("r", "new")])])
    after = ask(store.rejects(RejectsQuery()))
    store.close()
    assert (before.total, before.rejects[0].line, after.total) == (300, "line 300", 301)
    kept = ["new", *(f"line {number}" for number in (300, 299, 298, 297, 5, 4, 3, 2, 1))]
    assert [reject.line for reject in after.rejects] == kept


def test_the_view_daily_stats_gives_the_figures_of_each_day(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = open_store(settings_of(path))
    rows: list[Record] = [
        (at("2024-10-10T01:00:00"), "a", "/", 200, 0.1),
        (at("2024-10-10T23:00:00"), "a", "/", 500, 0.3),
        (at("2024-10-11T00:00:00"), "a", "/", 200, None),
        (at("2024-10-12T00:00:00"), "a", "/", 0, None),
    ]
    store.write([batch_of(store.register(source_of()), rows)])
    store.close()
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT * FROM daily_stats ORDER BY day").fetchall()
    first, second, third = found
    assert first[:6] == ("a", at("2024-10-10").date(), 2, 1, 1, 50)
    assert first[6:] == pytest.approx((0.2, 0.2, 0.298))
    assert second[2:] == (1, 1, 0, 100, None, None, None)
    assert third[2:] == (1, 0, 1, 0, None, None, None)


def test_in_a_file_of_the_fifth_version_daily_stats_learn_that_no_answer_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with duckdb.connect(str(path)) as connection:
        for step in schema.UPGRADES[:5]:
            connection.execute(step)
        connection.execute("UPDATE meta SET schema_version = 5")
    store = open_store(settings_of(path))
    rows: list[Record] = [(at("2024-10-10"), "a", "/", 0, None)]
    store.write([batch_of(store.register(source_of()), rows)])
    store.close()
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT successful_requests, failed_requests FROM daily_stats").fetchall()
    assert found == [(0, 1)]


def test_a_file_of_the_sixth_version_keeps_its_unsorted_records_and_compresses_no_text_of_new_ones(
    tmp_path: Path, ask: Ask[Any]
) -> None:
    path = tmp_path / "store.duckdb"
    with duckdb.connect(str(path)) as connection:
        for step in schema.UPGRADES[:6]:
            connection.execute(step)
        connection.execute("UPDATE meta SET schema_version = 6")
        connection.execute(
            "INSERT INTO fresh SELECT 1, range * 54, TIMESTAMP '2024-10-10', 'a', '/', 200, 0.1 "
            "FROM range(10)"
        )
    store = opened_at(tmp_path)
    written(store, store.register(source_of()), rows_of(3000, 1, 1))
    found = requests_of(store, ask)
    store.close()
    assert found == ({"a": 10, "c0": 3000}, {"/": 10, "/0": 3000})
    with duckdb.connect(str(path), read_only=True) as connection:
        compressions = connection.execute(
            "SELECT DISTINCT column_name, compression FROM pragma_storage_info('fresh') "
            "WHERE segment_type = 'VARCHAR' ORDER BY ALL"
        ).fetchall()
    assert compressions == [("customer_id", "Uncompressed"), ("path", "Uncompressed")]
