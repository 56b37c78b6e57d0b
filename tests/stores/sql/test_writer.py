"""Commits beside those of other processors, and what is older than the retention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tailmetrics.errors import PositionConflict
from tailmetrics.settings import Settings
from tailmetrics.stats import CustomersQuery, RejectsQuery
from tailmetrics.stores import Store, open_store
from tests.builders import Record, at, batch_of, moved, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import NOON, ONE, run, settings_of


def test_the_second_processor_of_a_source_is_told_who_the_first_is(settings: Settings, store: Store) -> None:
    batch = batch_of(store.register(source_of()), ONE)
    store.write([batch])
    run(settings, "UPDATE sources SET processor = 'process 4711 on web-1'")
    with pytest.raises(PositionConflict, match="process 4711 on web-1 reads this source"):
        store.write([batch])


def test_processors_with_the_same_new_customers_do_not_hinder_each_other(
    settings: Settings, store: Store, ask: Ask[Any]
) -> None:
    other = open_store(settings)
    for place, each in enumerate((store, other, store, other)):
        source = each.register(source_of(f"{place}.log", inode=place))
        rows: list[Record] = [(NOON, f"cust_{number + place}", "/", 200, 0.1) for number in range(5)]
        each.write([batch_of(source, rows)])
    other.close()
    assert ask(store.customers(CustomersQuery())).total == 8


@pytest.mark.parametrize(("age_days", "left"), [(9, 0), (0, 50)])
def test_rejects_that_were_only_counted_go_with_the_last_of_the_others(
    settings: Settings, ask: Ask[Any], age_days: int, left: int
) -> None:
    store = open_store(settings.model_copy(update={"max_rejects_kept": 100}))
    source = store.register(source_of())
    first = batch_of(source, rejects=[("r", "l")] * 50)
    store.write([first])
    store.close()
    run(settings, f"UPDATE rejects SET seen_us = seen_us - {age_days * 86_400_000_000}")
    keeping = open_store(settings.model_copy(update={"max_rejects_kept": 100, "retention_days": 5}))
    keeping.write([batch_of(moved(source, first), blanks=1)])
    found = (ask(keeping.status()).rejects, ask(keeping.rejects(RejectsQuery())).total)
    keeping.close()
    assert found == (left, left)


def test_records_older_than_the_retention_are_deleted(settings: Settings, ask: Ask[Any]) -> None:
    store = open_store(settings)
    source = store.register(source_of())
    now = at("2024-10-10")
    first = batch_of(source, [(now - timedelta(days=3000), "old", "/", 200, 0.1)])
    store.write([first])
    store.close()
    keeping = open_store(settings_of(settings.store_url, retention_days=2000))
    keeping.write([batch_of(moved(source, first), [(now, "new", "/", 200, 0.1)])])
    assert [customer.customer_id for customer in ask(keeping.customers(CustomersQuery())).customers] == [
        "new"
    ]
    assert (ask(keeping.status()).records, ask(keeping.span())) == (1, (now, now))
    keeping.close()
