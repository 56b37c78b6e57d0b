"""Coroutines of summaries are driven by hand, without an event loop."""

from __future__ import annotations

import pytest

from tailmetrics.stores.summaries import block, latencies
from tests.stores.summaries.fake import gather, to_thread


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.to_thread", to_thread)
    monkeypatch.setattr("asyncio.gather", gather)


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have few requests: what is done with many is done with few."""
    monkeypatch.setattr(block, "_CHUNK_ROWS", 5)
    monkeypatch.setattr(latencies, "_ROWS_A_PASS", 20)
