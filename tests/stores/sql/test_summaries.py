"""Blocks, manifests and the journal of commits in tables, and how records of spans are found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tailmetrics.settings import Settings
from tailmetrics.stats import CustomersQuery, StatsQuery
from tailmetrics.stores import open_store
from tailmetrics.stores.sql import summaries as module
from tailmetrics.stores.sql.store import SqlStore
from tailmetrics.stores.sql.summaries import SqlSummaries
from tailmetrics.stores.summaries.block import DAY
from tailmetrics.stores.summaries.manifest import ALWAYS, BlockRef, Manifest
from tailmetrics.windows import to_us
from tests.builders import at, batch_of, moved, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import DAILY, NOON, ONE, done, run, settings_of

NOON_US = to_us(NOON)
REF = BlockRef(DAY, 0, 7, 1, 0, 1, {"series": 3})


@pytest.mark.servers
def test_an_empty_store_has_no_edges_and_all_is_stale(store: SqlStore, summaries: SqlSummaries) -> None:
    assert done(store, summaries.edges([ALWAYS])) is None
    assert done(store, summaries.state()).stale == [ALWAYS]


@pytest.mark.servers
def test_of_two_manifests_with_one_number_the_first_counts(store: SqlStore, summaries: SqlSummaries) -> None:
    first = Manifest(2, (REF,), (), {"commits": 4})
    assert done(store, summaries.keep_manifest(first))
    assert not done(store, summaries.keep_manifest(Manifest(2)))
    assert not done(store, summaries.keep_manifest(Manifest(1)))
    assert done(store, summaries.state()).manifest == first
    assert done(store, summaries.keep_manifest(replace(first, number=3)))
    assert done(store, summaries.state()).manifest.number == 3


@pytest.mark.servers
def test_a_commit_notes_its_times_until_a_manifest_includes_it(
    settings: Settings, store: SqlStore, summaries: SqlSummaries
) -> None:
    batch = batch_of(store.register(source_of()), ONE)
    store.write([batch])
    [touched] = done(store, summaries.state()).since
    assert touched.spans == ((NOON_US, NOON_US + 60_000_000),)
    store.write([batch_of(moved(source_of(), batch), ONE)])
    included = Manifest(1, (), (), {"commits": touched.place})
    done(store, summaries.keep_manifest(included))
    [later] = done(store, summaries.state()).since
    assert later.place > touched.place
    done(store, summaries.sweep(included, set()))
    assert run(settings, "SELECT place FROM journal") == [(later.place,)]


@pytest.mark.servers
def test_blocks_that_no_manifest_names_go_with_the_second_sweep(
    settings: Settings, store: SqlStore, summaries: SqlSummaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 2)
    other = replace(REF, generation=8)
    done(store, summaries.keep_block(REF, {"series": b"abc"}))
    done(store, summaries.keep_block(other, {"series": b"abcde", "paths": b"f"}))
    assert run(settings, "SELECT count(*) FROM blocks") == [(6,)]
    left = done(store, summaries.sweep(Manifest(1, (REF,)), set()))
    assert left == {REF.key, other.key}
    assert done(store, summaries.sweep(Manifest(1, (REF,)), left - {REF.key})) == {REF.key}
    assert run(settings, "SELECT count(*) FROM blocks") == [(2,)]


@pytest.mark.servers
def test_what_a_maker_said_last_is_heard(store: SqlStore, summaries: SqlSummaries) -> None:
    assert done(store, summaries.lease()) == ""
    for text in ("one", "two"):
        done(store, summaries.say(text))
        assert done(store, summaries.lease()) == text


@pytest.mark.servers
def test_what_retention_deletes_is_in_no_answer_from_blocks(settings: Settings, ask: Ask[Any]) -> None:
    now = at("2024-10-10T12:34:56")
    old = [now - timedelta(days=3000), now - timedelta(days=2999)]
    store = open_store(settings)
    first = batch_of(store.register(source_of()), [(time, "old", "/", 200, 0.1) for time in old])
    store.write([first])
    store.summarize()
    assert ask(store.customers(CustomersQuery())).total == 1
    store.close()
    keeping = open_store(settings_of(settings.store_url, retention_days=2000))
    keeping.write([batch_of(moved(source_of(), first), [(now, "new", "/", 200, 0.1)])])
    for _ in range(2):
        assert [each.customer_id for each in ask(keeping.customers(CustomersQuery())).customers] == ["new"]
        assert ask(keeping.stats(StatsQuery(None, DAILY))).summary.total_requests == 1
        assert ask(keeping.span()) == (now, now)
        keeping.summarize()
    keeping.close()
