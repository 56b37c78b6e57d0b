"""What the journal of commits says of changes, and when it has lost what it said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tailmetrics.settings import Settings
from tailmetrics.sources import Source
from tailmetrics.stores import Store
from tailmetrics.stores.base import Changes
from tailmetrics.windows import to_us
from tests.builders import batch_of, moved, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import NOON, run

MINUTE_US = 60_000_000


def write_at(store: Store, source: Source, minutes: int) -> Source:
    batch = batch_of(source, [(NOON + timedelta(minutes=minutes), "a", "/", 200, None)])
    store.write([batch])
    return moved(source, batch)


def spans(*minutes: int) -> tuple[tuple[int, int], ...]:
    starts = [to_us(NOON) + minute * MINUTE_US for minute in minutes]
    return tuple((start, start + MINUTE_US) for start in starts)


@pytest.mark.servers
def test_changes_are_known_until_the_journal_has_lost_some(
    settings: Settings, store: Store, ask: Ask[Any]
) -> None:
    source = write_at(store, store.register(source_of()), 0)
    begin = ask(store.changes(None))
    assert begin.spans is None
    assert ask(store.changes(begin.mark)) == Changes(begin.mark, ())
    source = write_at(store, source, 5)
    middle = ask(store.changes(begin.mark))
    assert middle.spans == spans(5)
    run(settings, "DELETE FROM journal")
    assert ask(store.changes(middle.mark)).spans == ()
    source = write_at(store, source, 9)
    assert ask(store.changes(middle.mark)).spans == spans(9)
    assert ask(store.changes(begin.mark)).spans is None


@pytest.mark.parametrize("mark", ["", "1", "another-1", "{store}-x", "{store}-99"])
def test_a_mark_of_another_store_says_nothing(store: Store, ask: Ask[Any], mark: str) -> None:
    now = ask(store.changes(None)).mark
    write_at(store, store.register(source_of()), 0)
    assert ask(store.changes(mark.format(store=now.partition("-")[0]))).spans is None
