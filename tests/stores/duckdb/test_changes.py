"""How far back it is known which times were written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tailmetrics.stores.duckdb import changes
from tailmetrics.stores.duckdb.changes import RecentChanges
from tailmetrics.windows import to_us
from tests.builders import at, batch_of, source_of
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import ONE, opened_at

MINUTE_US = 60_000_000


def commit(recent: RecentChanges, *minutes: int) -> str:
    """The mark after a commit of records in these minutes."""
    recent.committed([pl.Series([minute * MINUTE_US + 1 for minute in minutes], dtype=pl.Datetime("us"))])
    return recent.since(None).mark


def test_minutes_since_a_mark_are_told_once_and_in_order() -> None:
    recent = RecentChanges()
    mark = commit(recent, 1)
    for minutes in ((7,), (3, 4, 7), ()):
        commit(recent, *minutes)
    spans = recent.since(mark).spans
    assert spans == tuple((low * MINUTE_US, high * MINUTE_US) for low, high in ((3, 5), (7, 8)))
    assert recent.since(recent.since(mark).mark).spans == ()


def test_what_is_no_longer_kept_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_MOST_SPANS", 4)
    recent = RecentChanges()
    marks = [recent.since(None).mark, *(commit(recent, minute, minute + 10) for minute in range(3))]
    known = [recent.since(mark).spans for mark in marks]
    assert [None if spans is None else len(spans) for spans in known] == [None, None, 2, 0]


@pytest.mark.parametrize("mark", [None, "", "x", "5", "x-5", "-"])
def test_a_mark_of_another_opening_is_not_known(mark: str | None) -> None:
    assert RecentChanges().since(mark).spans is None


def test_a_store_knows_what_was_written_since_it_was_opened(tmp_path: Path, ask: Ask[Any]) -> None:
    store = opened_at(tmp_path)
    before = ask(store.changes(None)).mark
    store.write([batch_of(store.register(source_of()), ONE)])
    found = ask(store.changes(before))
    store.close()
    noon = to_us(at("2024-10-10"))
    assert found.spans == ((noon, noon + MINUTE_US),)
    reopened = opened_at(tmp_path)
    assert ask(reopened.changes(found.mark)).spans is None
    reopened.close()
