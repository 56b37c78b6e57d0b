"""Stores in DuckDB files as the tests of this folder fill them and look into them."""

from __future__ import annotations

import random
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tailmetrics.sources import Source
from tailmetrics.stats import BreakdownQuery, CustomersQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.duckdb.layout import Layout
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.windows import parse_every
from tests.builders import Record, at, batch_of, moved, settings_of
from tests.stores.conftest import Ask

DAILY = parse_every("1d")
ONE: list[Record] = [(at("2024-10-10"), "a", "/", 200, 0.1)]
BULK = 200  # records that are enough to be encoded, by the fixture short_bulks
SMALL_RUN = 1000  # records, by the fixture small_runs
DEADLINE_SECONDS = 30


def program(body: str) -> list[str]:
    """A command that runs Python with a store `store` of the file named by its first argument."""
    start = """
        import sys
        from pathlib import Path
        from tailmetrics.stores import open_store
        from tests.builders import *
        store = open_store(settings_of(Path(sys.argv[1])))
    """
    return [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(body)]


def opened_at(folder: Path, **changes: Any) -> DuckDBStore:
    opened = open_store(settings_of(folder / "store.duckdb", **changes))
    assert isinstance(opened, DuckDBStore)
    return opened


def some_records(number: int, seed: int = 1) -> list[Record]:
    chance = random.Random(seed)
    return [
        (
            at("2024-10-10") + timedelta(seconds=chance.randrange(10 * 86_400)),
            f"cust_{chance.randrange(20)}",
            f"/{chance.randrange(5)}",
            chance.choice([200, 404, 500]),
            chance.choice([None, chance.random()]),
        )
        for _ in range(number)
    ]


def rows_of(number: int, customers: int = 3, paths: int = 2, prefix: str = "") -> list[Record]:
    return [
        (
            at("2024-10-10") + timedelta(seconds=place),
            f"{prefix}c{place % customers}",
            f"/{prefix}{place % paths}",
            200,
            0.1,
        )
        for place in range(number)
    ]


def written(store: DuckDBStore, source: Source, rows: list[Record]) -> Source:
    batch = batch_of(source, rows)
    store.write([store.prepare(batch)])
    return moved(source, batch)


def layout_of(store: DuckDBStore) -> Layout:
    """How the records lie by what is in the file."""
    cursor = store._file.cursor()
    try:
        runs = cursor.execute("SELECT run, count(*) FROM settled GROUP BY run").fetchall()
        [(unsorted, deleted)] = cursor.execute(
            "SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM numbered), "
            "(SELECT records FROM deleted)"
        ).fetchall()
    finally:
        cursor.close()
    return Layout(dict(runs), unsorted, deleted)


def stored_in(store: DuckDBStore) -> int:
    """Sorted records in the file, those that were deleted and still take room included."""
    cursor = store._file.cursor()
    try:
        [(number,)] = cursor.execute(
            "SELECT estimated_size FROM duckdb_tables() WHERE table_name = 'settled'"
        ).fetchall()
    finally:
        cursor.close()
    return int(number)


def places_of(store: DuckDBStore) -> list[tuple[int, datetime]]:
    """Keys and times of the sorted records, as they lie."""
    cursor = store._file.cursor()
    try:
        return cursor.execute("SELECT customer_key, timestamp FROM settled ORDER BY rowid").fetchall()
    finally:
        cursor.close()


def table_sizes(store: DuckDBStore) -> dict[str, int]:
    cursor = store._file.cursor()
    try:
        return {
            table: cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in ("settled", "fresh", "numbered", "names")
        }
    finally:
        cursor.close()


def requests_of(store: DuckDBStore, ask: Ask[Any]) -> tuple[dict[str, int], dict[str, int]]:
    """The number of requests of each customer, and of each path."""
    customers = ask(store.customers(CustomersQuery(limit=100))).customers
    paths = ask(store.breakdown(BreakdownQuery(None))).paths
    return (
        {customer.customer_id: customer.summary.total_requests for customer in customers},
        {part.path: part.requests for part in paths},
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_merged(store: DuckDBStore) -> bool:
    return list(layout_of(store).runs.values()) == [store._writer.counts.records]
