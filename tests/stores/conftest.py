"""The stores that the contract is tested on. Another store is one more entry of BACKENDS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tailmetrics import stores
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Batch
from tailmetrics.stores import Store
from tailmetrics.stores.duckdb import dictionary
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.stores.sql.store import SqlStore
from tests import servers
from tests.builders import settings_of
from tests.stores import selections
from tests.stores.influxdb import server as influxdb

NUMBERED = "duckdb-numbered"  # which writes numbers for all texts, as it does of many records

SUMMARIZED = "-summarized"  # which answers from blocks, as the background makes them after a while

_Answer = TypeVar("_Answer")
Ask = Callable[[Coroutine[Any, Any, _Answer]], _Answer]


def _duckdb(folder: Path) -> Settings:
    return settings_of(folder / "store.duckdb")


def _sqlite(folder: Path) -> Settings:
    return load_settings(None, store_url=f"sqlite:///{folder}/store.sqlite")


def _postgresql(_: Path) -> Settings:
    return load_settings(None, store_url=servers.postgresql().new_database())


def _mariadb(_: Path) -> Settings:
    return load_settings(None, store_url=servers.mariadb().new_database())


def _clickhouse(_: Path) -> Settings:
    return load_settings(None, store_url=servers.clickhouse().new_database())


# Each makes what an empty store is opened with; the folder is the test's own.
BACKENDS: dict[str, Callable[[Path], Settings | Memory]] = {
    "clickhouse": _clickhouse,
    "duckdb": _duckdb,
    NUMBERED: _duckdb,
    "mariadb": _mariadb,
    "memory": lambda _: Memory(),
    "postgresql": _postgresql,
    f"postgresql{SUMMARIZED}": _postgresql,
    "sqlite": _sqlite,
    f"sqlite{SUMMARIZED}": _sqlite,
    **influxdb.backends(),
    **{f"{name}{SUMMARIZED}": opened_with for name, opened_with in influxdb.backends().items()},
}


# Summaries of SQL databases are of one kind: those of PostgreSQL are looked at with each change.
STORES = [
    pytest.param(name, marks=pytest.mark.nightly) if name == f"sqlite{SUMMARIZED}" else name
    for name in sorted(BACKENDS)
]


def open_store(opened_with: Settings | Memory, *, max_rejects_kept: int = 100_000) -> Store:
    if isinstance(opened_with, Memory):
        return InMemoryStore(opened_with, max_rejects_kept=max_rejects_kept)
    return stores.open_store(opened_with.model_copy(update={"max_rejects_kept": max_rejects_kept}))


@pytest.fixture(scope="session", autouse=True)
def buckets_removed() -> Iterator[None]:
    with influxdb.buckets_removed():
        yield


@pytest.fixture(scope="session")
def ask() -> Iterator[Ask[Any]]:
    """Waits for an answer of a store, always in the same event loop, as clients of servers need it."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _write_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    write = DuckDBStore.write

    def write_numbered(store: DuckDBStore, batches: Sequence[Batch]) -> None:
        write(store, [store.prepare(batch) for batch in batches])

    monkeypatch.setattr(dictionary, "BULK_RECORDS", 1)
    monkeypatch.setattr(dictionary, "_MOST_DIFFERENT", 1)
    monkeypatch.setattr(DuckDBStore, "write", write_numbered)


def _summarize_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def summarizing(write: Callable[[Any, Sequence[Batch]], None]) -> Callable[[Any, Sequence[Batch]], None]:
        def write_and_summarize(store: Store, batches: Sequence[Batch]) -> None:
            write(store, batches)
            store.summarize()

        return write_and_summarize

    for kind in (InfluxDBStore, SqlStore):
        monkeypatch.setattr(kind, "write", summarizing(kind.write))


@pytest.fixture(params=STORES)
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings | Memory:
    if request.param == NUMBERED:
        _write_numbered(monkeypatch)
    if request.param.endswith(SUMMARIZED):
        _summarize_what_is_written(monkeypatch)
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
def store(settings: Settings | Memory) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="session", params=STORES)
def selectable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the requests of `selections`, which no test adds to."""
    opened = open_store(BACKENDS[request.param](tmp_path_factory.mktemp("selectable")))
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param == NUMBERED:
            _write_numbered(monkeypatch)
        selections.fill(opened)
    if request.param.endswith(SUMMARIZED):
        opened.summarize()
    yield opened
    opened.close()
