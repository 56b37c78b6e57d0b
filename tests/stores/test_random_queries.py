"""Every store answers random queries as brute force does, after commits of records of which some are late."""

from __future__ import annotations

from typing import Any

import pytest

from tailmetrics.stores import Store
from tests.builders import batch_of, moved, source_of
from tests.stores.conftest import Ask
from tests.stores.random_queries import RandomQueries, random_records

RECORDS = random_records(2_000, seed=1)


@pytest.fixture
def filled(store: Store) -> Store:
    source = store.register(source_of())
    for begin in range(0, len(RECORDS), 300):
        batch = batch_of(source, RECORDS[begin : begin + 300])
        store.write([batch])
        source = moved(source, batch)
    return store


def test_random_queries_are_answered_as_brute_force_does(filled: Store, ask: Ask[Any]) -> None:
    RandomQueries(filled, ask, RECORDS, seed=1).check(60)


@pytest.mark.parametrize("settings", ["memory"], indirect=True)
@pytest.mark.parametrize("logged", [RECORDS[1:], [*RECORDS, RECORDS[900]]], ids=["once too much", "lost"])
def test_a_record_that_is_lost_or_there_twice_shows(filled: Store, ask: Ask[Any], logged: Any) -> None:
    with pytest.raises(AssertionError, match=r"query \d+ of 60"):
        RandomQueries(filled, ask, logged, seed=1).check(60)
