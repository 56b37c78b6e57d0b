"""Coroutines of summaries are driven by hand, without an event loop."""

from __future__ import annotations

import pytest

from tests.stores.summaries.fake import to_thread


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.to_thread", to_thread)
