"""What is particular to the store in memory: how long it keeps what, and that it fails as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.sources import Batch
from tailmetrics.stats import RejectsQuery
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tests.builders import Record, at, batch_of, moved, source_of

ONE: list[Record] = [(at("2024-10-10"), "a", "/", 200, 0.1)]


def test_what_was_committed_is_in_its_memory_when_it_is_closed() -> None:
    memory = Memory()
    store = InMemoryStore(memory)
    store.write([batch_of(store.register(source_of()), ONE)])
    store.close()
    assert asyncio.run(InMemoryStore(memory).status()).records == 1


def test_stores_without_a_memory_share_none() -> None:
    store = InMemoryStore()
    store.register(source_of())
    assert InMemoryStore().sources("node") == []


def test_a_closed_store_says_so() -> None:
    store = InMemoryStore()
    store.close()
    for ask in (store.ping(), store.rejects(RejectsQuery())):
        with pytest.raises(StoreUnavailable, match="closed"):
            asyncio.run(ask)
    with pytest.raises(StoreUnavailable, match="closed"):
        store.register(source_of())


def test_a_write_that_is_told_to_fail_leaves_everything_as_it_was() -> None:
    told: list[Sequence[Batch]] = []

    def fail(batches: Sequence[Batch]) -> None:
        told.append(batches)
        raise StoreUnavailable("away")

    store = InMemoryStore(before_write=fail)
    source = store.register(source_of())
    batch = batch_of(source, ONE)
    with pytest.raises(StoreUnavailable, match="away"):
        store.write([batch])
    assert (told, store.position(source.source_id)) == ([[batch]], 0)


def test_a_query_that_is_told_to_fail_is_handed_over() -> None:
    told: list[object] = []

    async def fail(query: object) -> None:
        told.append(query)
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable, match="away"):
        asyncio.run(InMemoryStore(before_read=fail).rejects(RejectsQuery(5)))
    assert told == [RejectsQuery(5)]


def test_the_version_of_a_customer_changes_with_its_records_only() -> None:
    store = InMemoryStore()
    batch = batch_of(store.register(source_of()), ONE)
    store.write([batch])
    before = [store.version_of(customer_id) for customer_id in ("a", "b", None)]
    store.write([batch_of(moved(source_of(), batch), ONE)])
    after = [store.version_of(customer_id) for customer_id in ("a", "b", None)]
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, False, True]
