"""The segments of PostgreSQL's records: exact at each moment, indexed in the end, whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from tailmetrics.records import RECORD_SCHEMA
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Source
from tailmetrics.stats import StatsQuery
from tailmetrics.stores import Store, open_store
from tailmetrics.stores.sql.postgresql import segments
from tailmetrics.windows import parse_every
from tests import servers
from tests.builders import LINE_BYTES, at, batch_of, moved, source_of
from tests.integration.running import await_that
from tests.stores.conftest import Ask
from tests.tailing.following import append, numbered

pytestmark = pytest.mark.servers

NOON = at("2024-10-10T12:00:00")
WHOLE = parse_every("none")
ROWS = segments.BULK_ROWS
SEGMENT_BYTES = 3 * ROWS * 80  # full with the third commit


@pytest.fixture
def settings() -> Settings:
    return load_settings(None, store_url=servers.postgresql().new_database())


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = segments._NEWEST.text.replace(str(segments._FULL_BYTES), str(SEGMENT_BYTES))
    monkeypatch.setattr(segments, "_NEWEST", segments.sa.text(newest))
    monkeypatch.setattr(segments, "_FULL_BYTES", SEGMENT_BYTES)
    monkeypatch.setattr(segments, "_MOST_WITHOUT_INDEX", 0)


@pytest.fixture
def store(settings: Settings, small_segments: None) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


def run(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement as the owner of the server; its rows."""
    return servers.postgresql().execute(statement, database=settings.store_url.rpartition("/")[2])


def bulk(number: int, rows: int = ROWS) -> pl.DataFrame:
    """Records of one commit, each of another time; some failed, and every third without a duration."""
    places = pl.int_range(number * rows, (number + 1) * rows, eager=True)
    return pl.select(
        timestamp=pl.lit(NOON.replace(tzinfo=None)) + pl.duration(seconds=places),
        customer_id=pl.format("cust_{}", places % 7),
        path=pl.format("/{}/\u00fc", places),
        status_code=pl.when(places % 7 == 0).then(500).otherwise(200),
        duration=pl.when(places % 3 > 0).then(places / 8),
        offset=places * LINE_BYTES,
    ).cast(RECORD_SCHEMA)


def write(store: Store, source: Source, count: int) -> Source:
    """Commit records in bulk that follow those of the source; the source after that."""
    for _ in range(count):
        number = source.position // (ROWS * LINE_BYTES)
        batch = batch_of(source, bulk(number))
        store.write([batch])
        source = moved(source, batch)
    return source


def indexed_segments(settings: Settings) -> dict[str, bool]:
    """Each segment, and whether it has its index."""
    rows = run(
        settings,
        "SELECT relname, relhasindex FROM pg_inherits JOIN pg_class ON oid = inhrelid "
        "WHERE inhparent = 'records'::REGCLASS ORDER BY oid",
    )
    return {name: bool(has_index) for name, has_index in rows}


def is_settled(settings: Settings) -> Callable[[], bool]:
    """Whether all segments but the newest have their index."""
    return lambda: all(list(indexed_segments(settings).values())[:-1])


def test_small_commits_make_no_segment(store: Store, settings: Settings) -> None:
    batch = batch_of(store.register(source_of()), bulk(0, ROWS - 1))
    store.write([batch])
    assert indexed_segments(settings) == {}
    assert run(settings, "SELECT count(*) FROM ONLY records") == [(ROWS - 1,)]


def test_what_comes_in_bulk_is_answered_about_as_what_comes_in_small_commits(
    store: Store, settings: Settings, ask: Ask[Any]
) -> None:
    write(store, store.register(source_of()), 5)
    small = open_store(load_settings(None, store_url=servers.postgresql().new_database()))
    source = small.register(source_of())
    for number in range(10):
        batch = batch_of(source, bulk(number, ROWS // 2))
        small.write([batch])
        source = moved(source, batch)
    try:
        for query in (
            StatsQuery("cust_3", parse_every("1h")),
            StatsQuery(None, WHOLE, NOON + timedelta(hours=3), NOON + timedelta(hours=20)),
        ):
            assert ask(store.stats(query)) == ask(small.stats(query))
    finally:
        small.close()
    assert len(indexed_segments(settings)) == 2


def test_rows_of_a_store_without_segments_stay_where_they_are(
    store: Store, settings: Settings, ask: Ask[Any]
) -> None:
    source = store.register(source_of())
    small = batch_of(source, bulk(0, ROWS // 2))
    store.write([small])
    store.write([batch_of(moved(source, small), bulk(1))])
    assert run(settings, "SELECT count(*) FROM ONLY records") == [(ROWS // 2,)]
    assert run(settings, "SELECT count(*) FROM records_1") == [(ROWS,)]
    assert ask(store.stats(StatsQuery(None, WHOLE))).summary.total_requests == ROWS + ROWS // 2


def test_a_full_segment_gets_its_index_while_the_next_is_written(store: Store, settings: Settings) -> None:
    source = write(store, store.register(source_of()), 4)
    await_that(lambda: indexed_segments(settings) == {"records_1": True, "records_2": False}, 10.0)
    write(store, source, 1)
    assert indexed_segments(settings) == {"records_1": True, "records_2": False}


def test_the_last_segment_gets_its_index_when_the_store_is_closed(
    settings: Settings, small_segments: None
) -> None:
    store = open_store(settings)
    write(store, store.register(source_of()), 5)
    store.close()
    await_that(lambda: indexed_segments(settings) == {"records_1": True, "records_2": True}, 10.0)


def test_a_segment_with_an_index_is_not_written_to(settings: Settings, small_segments: None) -> None:
    store = open_store(settings)
    source = write(store, store.register(source_of()), 2)
    store.close()
    await_that(lambda: indexed_segments(settings) == {"records_1": True}, 10.0)
    again = open_store(settings)
    write(again, source, 1)
    again.close()
    assert list(indexed_segments(settings)) == ["records_1", "records_2"]


def test_an_index_that_nobody_finished_is_built_when_the_next_process_begins(
    settings: Settings, small_segments: None
) -> None:
    store = open_store(settings)
    write(store, store.register(source_of()), 4)
    await_that(is_settled(settings), 10.0)
    store.close()
    await_that(lambda: all(indexed_segments(settings).values()), 10.0)
    run(settings, "DROP INDEX records_1_customer_key_time_us_idx")
    run(settings, "VACUUM records_1")  # it notes that there is no index
    assert indexed_segments(settings)["records_1"] is False
    following = open_store(settings)
    following.sources("web-1")
    await_that(lambda: all(indexed_segments(settings).values()), 10.0)
    following.close()


def test_counts_are_exact_at_each_moment_while_two_processes_write_and_segments_are_indexed(
    store: Store, settings: Settings
) -> None:
    other = open_store(settings)
    failures: list[BaseException] = []

    def write_bulk(each: Store, number: int) -> None:
        try:
            write(each, each.register(source_of(f"{number}.log", inode=number)), 12)
        except BaseException as error:
            failures.append(error)
            raise

    writers = [
        threading.Thread(target=write_bulk, args=(each, number)) for number, each in enumerate((store, other))
    ]
    for writer in writers:
        writer.start()
    url = settings.store_url
    counted = set()
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        while any(writer.is_alive() for writer in writers):
            with connection.transaction():
                said = connection.execute("SELECT records FROM store").fetchone()
                # A statement planned after segments were made, on what was there before.
                found = connection.execute("SELECT count(*) FROM records").fetchone()
            assert said == found
            counted.add(found)
    other.close()
    assert failures == []
    assert len(counted) > 5
    assert run(settings, 'SELECT count(*), count(DISTINCT (source_key, "offset")) FROM records') == [
        (24 * ROWS, 24 * ROWS)
    ]
    assert len(indexed_segments(settings)) > 4
    await_that(is_settled(settings), 20.0)


_LOADING = f"""
import sys
from pathlib import Path
import sqlalchemy as sa
from tailmetrics.ingest.load import load_files
from tailmetrics.settings import load_settings
from tailmetrics.stores.sql.postgresql import segments

text = segments._NEWEST.text.replace(str(segments._FULL_BYTES), "{SEGMENT_BYTES}")
segments._NEWEST = sa.text(text)
segments._FULL_BYTES, segments._MOST_WITHOUT_INDEX = {SEGMENT_BYTES}, 0
settings = load_settings(None, store_url=sys.argv[1], stream_max_size={ROWS + 5000})
load_files(settings, [Path(sys.argv[2])], lambda _: None)
"""


def test_a_process_killed_while_segments_are_made_and_indexed_loses_and_doubles_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "x.log"
    append(log, *numbered(0, 16 * ROWS))
    open_store(settings).close()
    command = [sys.executable, "-c", _LOADING, settings.store_url, str(log)]
    for wanted in (1, 3):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        # While the index of the segment before is being built, or about to be.
        await_that(lambda wanted=wanted: len(indexed_segments(settings)) > wanted, 30.0)
        process.kill()
        _, said = process.communicate(timeout=20)
        assert (process.returncode, said) == (-9, b"")
    subprocess.run(command, check=True, timeout=60)
    assert run(settings, "SELECT count(*), count(DISTINCT path) FROM records") == [(16 * ROWS, 16 * ROWS)]
    await_that(is_settled(settings), 20.0)


def test_a_user_who_may_not_make_tables_writes_to_the_one_that_has_its_index(
    store: Store, settings: Settings
) -> None:
    source = write(store, store.register(source_of()), 1)
    name = settings.store_url.rpartition("/")[2]
    role = f"writer_{name}"
    run(settings, f"CREATE ROLE {role} LOGIN PASSWORD '{servers.PASSWORD}'")
    run(settings, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
    run(settings, f"REVOKE ALL ON records_1 FROM {role}")
    run(settings, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
    writer = open_store(load_settings(None, store_url=servers.postgresql().url(name, user=role)))
    with contextlib.closing(writer):
        write(writer, source, 1)
    assert run(settings, "SELECT count(*) FROM ONLY records") == [(ROWS,)]
    assert run(settings, "SELECT count(*) FROM records") == [(2 * ROWS,)]


def test_a_segment_of_which_retention_leaves_nothing_is_dropped(
    settings: Settings, small_segments: None, ask: Ask[Any]
) -> None:
    store = open_store(settings)
    source = write(store, store.register(source_of()), 4)
    store.close()
    await_that(lambda: all(indexed_segments(settings).values()), 10.0)
    keeping = open_store(load_settings(None, store_url=settings.store_url, retention_days=1))
    now = datetime.now(timezone.utc)
    keeping.write([batch_of(source, [(now, "new", "/", 200, 0.1)])])
    assert ask(keeping.status()).records == 1
    assert ask(keeping.stats(StatsQuery(None, WHOLE))).summary.total_requests == 1
    keeping.close()
    run(settings, "VACUUM")  # as the server does by itself
    again = open_store(settings)
    again.sources("web-1")
    await_that(lambda: indexed_segments(settings) == {}, 10.0)
    again.close()
