"""Settings of a DuckDB file, and limits so small that few records show what many would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.settings import Settings
from tailmetrics.stores.duckdb import compactor, dictionary
from tailmetrics.stores.duckdb import layout as duckdb_layout
from tests.builders import settings_of
from tests.stores.duckdb.support import BULK, SMALL_RUN


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "store.duckdb")


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a thousand records, sorted at once, so that some thousand records show what millions would."""
    monkeypatch.setattr(duckdb_layout, "RUN_RECORDS", SMALL_RUN)
    monkeypatch.setattr(duckdb_layout, "FEW_RECORDS", 1)
    monkeypatch.setattr(compactor, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(compactor, "_IDLE_SECONDS", 0.05)


@pytest.fixture
def short_bulks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictionary, "BULK_RECORDS", BULK)
