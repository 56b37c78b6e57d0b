"""Stores of every schema version so far, opened by the code of today.

Each was written by the last code of its version while the service followed a log: the 10,000 lines of
requests-10k.log and, when these were sorted, those of appended.log in two commits. So that files are small,
it sorted a thousand records, and encoded a hundred, as it would many. All by the DuckDB of version 7.
The stores of version 8 on have a note.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import Settings, load_settings
from tailmetrics.stats import BreakdownQuery, CustomersQuery, RejectsQuery, StatsQuery
from tailmetrics.stores import Store, backup, open_store
from tailmetrics.stores.base import Note
from tailmetrics.stores.duckdb.schema import VERSION
from tailmetrics.stores.sql.schema import SCHEMA_VERSION
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import parse_every
from tests.builders import Record
from tests.integration.running import await_that
from tests.paths import DATA
from tests.stores.brute_force import assert_same, expected_breakdown, expected_stats
from tests.stores.conftest import Ask
from tests.tailing.following import append, numbered

STORES = DATA / "stores"
LOG = (DATA / "requests-10k.log").read_bytes() + (STORES / "appended.log").read_bytes()
NEWEST = {"duckdb": 8, "sqlite": 4}
ALL = [f"v{version}.{scheme}" for scheme, newest in NEWEST.items() for version in range(1, newest + 1)]


def records_of(log: bytes) -> list[Record]:
    records: list[Record] = []
    for line in log.decode().splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[4] != "999":
            timestamp = datetime.fromisoformat(f"{fields[0]} {fields[1]}").replace(tzinfo=timezone.utc)
            records.append((timestamp, fields[2], fields[3], int(fields[4]), float(fields[5])))
    return records


@pytest.fixture(params=ALL)
def made(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(made: str, tmp_path: Path) -> Settings:
    """Of the store of that version, and of the log that it was reading."""
    packed = STORES / f"{made}.xz"
    (tmp_path / "store").write_bytes(lzma.decompress(packed.read_bytes()))
    return load_settings(
        None,
        log_file_path=str(tmp_path / "requests.log"),
        log_format="requests",
        store_url=f"{packed.stem.rpartition('.')[2]}:///{tmp_path}/store",
        node_id="web1",
        poll_interval_seconds=0.02,
        stream_max_wait_time_in_seconds=0.05,
    )


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def test_there_is_a_store_of_the_newest_version() -> None:
    assert NEWEST == {"duckdb": VERSION, "sqlite": SCHEMA_VERSION}


def test_all_figures_are_those_of_the_log(settings: Settings, ask: Ask[Any]) -> None:
    records = records_of(LOG)
    customers = sorted({record[1] for record in records})
    queries = [StatsQuery(customer, parse_every("1d")) for customer in (None, *customers)]
    with opened(settings) as store:
        for query in queries:
            assert_same(ask(store.stats(query)), expected_stats(records, query))
        breakdown = ask(store.breakdown(BreakdownQuery(None)))
        page = ask(store.customers(CustomersQuery(limit=1000)))
        status = ask(store.status())
        rejects = ask(store.rejects(RejectsQuery()))
        [source] = store.sources("web1")
    assert breakdown == expected_breakdown(records, BreakdownQuery(None))
    assert [customer.customer_id for customer in page.customers] == customers
    assert (status.records, status.rejects, status.blanks) == (len(records), 2, 2)
    places = [(LOG.index(reject.line.encode()), reject.line[-9:]) for reject in rejects.rejects]
    assert [reject.offset for reject in rejects.rejects] == [place for place, _ in places]
    assert [line for _, line in places] == ["999 1.000", "o request"]
    assert (source.path, source.position) == ("/var/log/shop/requests.log", len(LOG))


@pytest.mark.parametrize("made", ["v8.duckdb"], indirect=True)
def test_notes_are_there_as_they_were_kept(settings: Settings, ask: Ask[Any]) -> None:
    with opened(settings) as store:
        assert ask(store.note("alerts")) == Note(2, '{"state": "resolved"}')


def test_the_log_is_followed_onward_without_a_line_twice(settings: Settings, ask: Ask[Any]) -> None:
    log = settings.store.path.with_name("requests.log")
    log.write_bytes(LOG)
    append(log, *numbered(0, 300))
    with opened(settings) as store:
        ingestion = Supervisor(settings, store, Metrics())
        ingestion.start()
        try:
            append(log, *numbered(300, 600))
            await_that(lambda: store.sources("web1")[-1].position == log.stat().st_size, 30.0)
        finally:
            ingestion.stop()
        status = ask(store.status())
        query = StatsQuery(None, parse_every("1d"))
        answer = ask(store.stats(query))
    assert (status.records, status.rejects, status.blanks) == (len(records_of(LOG)) + 600, 2, 2)
    assert_same(answer, expected_stats(records_of(log.read_bytes()), query))


def test_a_backup_of_an_older_version_is_restored_and_brought_up_to_date(
    made: str, settings: Settings, tmp_path: Path
) -> None:
    restored = load_settings(None, store_url=settings.store_url.replace("/store", "/restored/store"))
    contents, _ = backup.restore(restored, tmp_path / "store", force=False)
    assert (contents.records, contents.rejects, contents.sources) == (len(records_of(LOG)), 2, 1)
    assert made.startswith(f"v{contents.schema_version}.")
    with opened(restored):
        pass
    assert backup.check(restored, restored.store.path).schema_version == NEWEST[restored.store.scheme]
