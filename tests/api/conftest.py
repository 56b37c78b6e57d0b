from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import polars as pl
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.formats import open_format
from tailmetrics.records import RECORD_SCHEMA, ParsedLines, no_rejects
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Batch, Checkpoint, Source
from tailmetrics.stores import Store, open_store
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.tailing.identity import checkpoint_of, new_source
from tailmetrics.tailing.log_file import PlainFile
from tailmetrics.telemetry.metrics import Metrics
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

ODD_IDS = (
    "a/b",
    "/a",
    "a/",
    "a//b",
    "a/stats",
    "a/stats/b",
    "stats",
    "..",
    "a/../b",
    ".",
    "100%",
    "%2F",
    'it\'s "quoted"',
    "with space",
    "a+b",
    "a?b=c&d#e",
    "köln-東京-🙂",
    "\\",
)

LOG = b"2024-10-10 08:00:00 cust_1 / 200 0.1\n"

LINES = [
    "2024-10-10 08:00:00 cust_1 /api/v1/resource1 200 0.100",
    "2024-10-10 09:30:00 cust_1 /api/v1/resource1 404 0.300",
    "2024-10-11 23:30:00 cust_1 /api/v1/resource2 500 0.500",
    "2024-10-10 10:00:00 cust_2 /api/v1/resource1 200 1.000",
    "no request",
    "2024-10-10 10:00:00 cust_2 /api/v1/resource1 999 1.000",
]


def settings_in(folder: Path, **changes: object) -> Settings:
    return load_settings(
        None,
        log_file_path=f"{folder}/*.log",
        node_id="node",
        **{"store_url": f"duckdb:///{folder}/store.duckdb", **changes},
    )


def commit(store: Store, path: str, parsed: ParsedLines) -> None:
    """Put the lines of one source into a store, as the dataflow does."""
    source = store.register(Source(path, "node", 1, 2, 0, path, Checkpoint(0, 0, "", 0, "")))
    store.write([Batch(source.source_id, path, 0, Checkpoint(1000, 0, "", 0, ""), parsed)])


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with LINES and one request of each of ODD_IDS."""
    settings = settings_in(tmp_path_factory.mktemp("store"))
    store = open_store(settings)
    commit(
        store,
        "requests.log",
        open_format(settings.format_options("requests")).parse("\n".join(LINES).encode(), 0),
    )
    noon = datetime(2024, 10, 12, 12)  # noqa: DTZ001  # the schema has no zone, it is UTC
    rows = [(noon, customer_id, "/", 200, 0.25, offset) for offset, customer_id in enumerate(ODD_IDS)]
    odd = pl.DataFrame(rows, schema=RECORD_SCHEMA, orient="row")
    commit(store, "odd.log", ParsedLines(odd, no_rejects(), blanks=0))
    yield store
    store.close()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_in(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="session")
def client(settings: Settings, store: Store) -> Iterator[httpx.Client]:
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
        yield client


@contextmanager
def service(
    folder: Path, store: Store, ingestion: FakeIngestion | None, **changes: object
) -> Iterator[httpx.Client]:
    with serving(create_app(settings_in(folder, **changes), store, ingestion, Metrics())) as client:
        client.params = httpx.QueryParams(wait="true")
        yield client


@pytest.fixture
def ingestion() -> FakeIngestion:
    return FakeIngestion()


@pytest.fixture
def loading(tmp_path: Path, store: Store, ingestion: FakeIngestion) -> Iterator[httpx.Client]:
    with service(tmp_path, store, ingestion) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of logs that may be loaded by their paths, with one log, links, and what is no log."""
    folder = tmp_path / "logs"
    (folder / "2024").mkdir(parents=True)
    (folder / "2024" / "a.log").write_bytes(LOG)
    (tmp_path / "secret.log").write_bytes(LOG)
    (folder / "outside.log").symlink_to(tmp_path / "secret.log")
    (folder / "up").symlink_to(tmp_path)
    (folder / "inside.log").symlink_to(folder / "2024" / "a.log")
    os.mkfifo(folder / "pipe.log")
    return folder


@pytest.fixture
def below(tmp_path: Path, folder: Path, store: Store, ingestion: FakeIngestion) -> Iterator[httpx.Client]:
    with service(tmp_path, store, ingestion, load_folder=str(folder)) as client:
        yield client


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "x.log"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def memory(log: Path) -> InMemoryStore:
    """A store with the requests of a log that is there."""
    store = InMemoryStore()
    content = log.read_bytes()
    file = PlainFile(str(log))
    source = store.register(new_source(file, str(log), "node", ()))
    file.close()
    parsed = open_format(settings_in(log.parent).format_options("requests")).parse(content, 0)
    checkpoint = checkpoint_of(len(content), content, content)
    store.write([Batch(source.source_id, str(log), 0, checkpoint, parsed)])
    return store


@pytest.fixture
def asking(tmp_path: Path, memory: InMemoryStore) -> Iterator[httpx.Client]:
    with serving(create_app(settings_in(tmp_path), memory, None, Metrics())) as client:
        yield client
