"""What the tests of the client share: nothing but defaults, and a store that holds 10,000 lines."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tailmetrics.api.app import create_app
from tailmetrics.ingest.load import load_files
from tailmetrics.settings import Settings, load_settings
from tailmetrics.stores import open_store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.serving import serving
from tests.integration.running import free_port
from tests.paths import DATA


@pytest.fixture(scope="package")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the records of requests-10k.log, to be copied."""
    store = tmp_path_factory.mktemp("loaded") / "store.duckdb"
    settings = load_settings(None, store_url=f"duckdb:///{store}", node_id="node")
    load_files(settings, [DATA / "requests-10k.log"], lambda _: None)
    return store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: Path) -> Iterator[Path]:
    """The working folder: a store in data/, no settings, and a port at which nothing answers."""
    structlog.reset_defaults()  # as in a process of its own
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("API_PORT", str(free_port()))
    (tmp_path / "data").mkdir()
    shutil.copy(loaded, tmp_path / "data/tailmetrics.duckdb")
    yield tmp_path
    structlog.reset_defaults()  # logging was bound to the stream of a test


@pytest.fixture
def store(folder: Path) -> Path:
    return folder / "data/tailmetrics.duckdb"


@pytest.fixture
def keys() -> dict[str, str]:
    """Settings of the service's keys."""
    return {}


@pytest.fixture
def address(folder: Path, loaded: Path, keys: dict[str, str]) -> Iterator[str]:
    """The address of a service, which has a store of its own."""
    store = Path(shutil.copy(loaded, folder / "service.duckdb"))
    settings = load_settings(None, store_url=f"duckdb:///{store}", **keys)
    with (
        contextlib.closing(open_store(settings)) as opened,
        serving(create_app(settings, opened, None, Metrics())) as client,
    ):
        yield str(client.base_url).rstrip("/")
