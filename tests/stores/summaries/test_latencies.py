"""Latencies of customers: the same in one pass or many, and after a day that was added up has changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from tailmetrics.stats import CustomersQuery
from tailmetrics.stores.summaries import answers, block, latencies
from tailmetrics.stores.summaries.base import BlockKey
from tailmetrics.stores.summaries.block import DAY, Part
from tailmetrics.stores.summaries.maker import Maker
from tailmetrics.stores.summaries.manifest import BlockRef
from tailmetrics.stores.summaries.reading import KeptSums
from tests.builders import Record, at
from tests.stores.brute_force import assert_same_summary, expected_summary
from tests.stores.summaries.fake import FakeKeeps, finished, touched

NOON = at("2024-11-03T12:00:30")
QUERY = CustomersQuery(sort="p99")
RECORDS: list[Record] = [
    (NOON - timedelta(days=days, seconds=place), f"customer-{place % 7}", "/", 200, place / 8 + days)
    for days in (0, 2, 3, 40)
    for place in range(60)
]


def commit(store: FakeKeeps, records: list[Record]) -> None:
    for record in records:
        store.records[len(store.records)] = record
    store.journal["journal", len(store.journal) + 1] = touched(records)


def make_blocks(store: FakeKeeps) -> None:
    finished(Maker(store, lambda: NOON).make_all())


@pytest.fixture
def store() -> FakeKeeps:
    store = FakeKeeps()
    commit(store, RECORDS)
    make_blocks(store)
    return store


def check(store: FakeKeeps, sums: KeptSums | None = None) -> None:
    page = finished(answers.customers(store, QUERY, sums))
    assert len(page.customers) == 7
    for customer in page.customers:
        of_customer = [row for row in store.records.values() if row[1] == customer.customer_id]
        assert_same_summary(customer.summary, expected_summary(of_customer, QUERY.failures))


@pytest.mark.parametrize("rows", [1, 100, 1_000_000])
def test_passes_add_up_to_all_customers(store: FakeKeeps, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(latencies, "_ROWS_A_PASS", rows)
    check(store)


def test_a_chunk_whose_customers_are_in_several_passes_is_decoded_once(
    store: FakeKeeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block, "_CHUNK_ROWS", 40)
    make_blocks(store)
    decoded: list[bytes] = []
    read = pl.read_ipc_stream

    def noted(source: bytes, **options: Any) -> pl.DataFrame:
        decoded.append(source)
        return read(source, **options)

    monkeypatch.setattr(pl, "read_ipc_stream", noted)
    numbers = []
    for rows in (1_000_000, 1):
        monkeypatch.setattr(latencies, "_ROWS_A_PASS", rows)
        decoded.clear()
        check(store)
        numbers.append(len(decoded))
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("most_kept", [100, 3], ids=["a page", "more than a page"])
def test_a_late_line_of_a_day_that_was_added_up_counts(
    store: FakeKeeps, monkeypatch: pytest.MonkeyPatch, most_kept: int
) -> None:
    monkeypatch.setattr(latencies, "_MOST_KEPT", most_kept)
    monkeypatch.setattr(latencies, "_ROWS_A_PASS", 1_000_000)
    sums = KeptSums()
    for late in range(3):
        commit(store, [(NOON - timedelta(days=40), "customer-1", "/", 200, 99.0 + late)])
        for _ in range(2):
            check(store, sums)
            make_blocks(store)


def test_days_that_are_over_are_added_up_once(store: FakeKeeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latencies, "_ROWS_A_PASS", 1_000_000)
    sums = KeptSums()
    check(store, sums)
    [kept] = sums._sums.values()
    check(store, sums)
    assert list(sums._sums.values()) == [kept]
    assert kept is not None
    assert kept.frame["count"].sum() == 180


@pytest.mark.parametrize("rows", [1, 1_000_000], ids=["a customer a pass", "one pass"])
def test_latencies_of_days_whose_sums_are_kept_are_not_read_again(
    store: FakeKeeps, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(latencies, "_ROWS_A_PASS", rows)
    days_read: list[list[BlockKey]] = []
    parts = FakeKeeps.parts

    async def noted(store: FakeKeeps, refs: Sequence[BlockRef], part: Part) -> Sequence[bytes]:
        if part.startswith("latenc"):
            days_read[-1] += [ref.key for ref in refs if ref.level is DAY]
        return await parts(store, refs, part)

    monkeypatch.setattr(FakeKeeps, "parts", noted)
    sums = KeptSums()
    for _ in range(2):
        days_read.append([])
        check(store, sums)
    assert [len(keys) for keys in days_read] == [3, 0]
