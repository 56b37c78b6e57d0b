"""What statistics take for granted of one question to the next, and notice when it is so no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tailmetrics.settings import load_settings
from tailmetrics.stats import CustomersQuery, StatsQuery
from tailmetrics.stores import Store, open_store
from tailmetrics.windows import parse_every
from tests import servers
from tests.builders import Record, at, batch_of, moved, source_of
from tests.stores.brute_force import assert_same, expected_stats
from tests.stores.conftest import Ask

pytestmark = pytest.mark.servers

BEGIN = at("2024-10-30")


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store(load_settings(None, store_url=servers.clickhouse().new_database()))
    yield opened
    opened.close()


def _requests(begin: datetime, number: int, customer_id: str = "a") -> list[Record]:
    return [(begin + timedelta(hours=5 * place), customer_id, "/", 200, place / 8) for place in range(number)]


def test_requests_far_from_those_before_are_in_windows_of_the_calendar(store: Store, ask: Ask[Any]) -> None:
    source = store.register(source_of())
    query = StatsQuery("a", parse_every("1d"), zone=ZoneInfo("America/New_York"))
    records: list[Record] = []
    # In between, before and behind what was there, over other changes of clocks, and decades away.
    for begin in ("2024-10-30", "2024-11-02", "2024-03-09", "2026-03-07", "1969-04-25", "2051-11-03"):
        new = _requests(at(begin), 30)
        batch = batch_of(source, new)
        store.write([batch])
        source = moved(source, batch)
        records += new
        for every in ("1d", "2d", "7h"):
            asked = replace(query, every=parse_every(every))
            assert_same(ask(store.stats(asked)), expected_stats(records, asked))


def test_a_page_is_the_same_whether_it_holds_few_or_most_of_the_customers(
    store: Store, ask: Ask[Any]
) -> None:
    source = store.register(source_of())
    store.write([batch_of(source, [row for name in "abcdefgh" for row in _requests(BEGIN, 5, name)])])
    pages = [ask(store.customers(CustomersQuery(limit=limit))) for limit in (8, 2, 8, 2, 3)]
    assert [len(page.customers) for page in pages] == [8, 2, 8, 2, 3]
    assert {page.total for page in pages} == {8}
    for page in pages:
        assert page.customers == pages[0].customers[: len(page.customers)]
