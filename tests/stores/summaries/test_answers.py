"""Questions about all customers, where blocks, touched times and other processes meet; see test_model."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tailmetrics.errors import QueryError
from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CustomersPage,
    CustomersQuery,
    StatsQuery,
    Summary,
    TrendsQuery,
)
from tailmetrics.stores.summaries import answers
from tailmetrics.stores.summaries.base import BlocksGone
from tailmetrics.stores.summaries.maker import Maker
from tailmetrics.windows import parse_every
from tests.builders import Record, at
from tests.stores.brute_force import (
    assert_same,
    assert_same_summary,
    expected_breakdown,
    expected_stats,
    expected_summary,
    expected_trends,
)
from tests.stores.summaries.fake import FakeKeeps, Task, finished, touched

NOON = at("2024-11-03T12:00:30")
HOUR = timedelta(hours=1)
NEW_YORK = ZoneInfo("America/New_York")
REQUESTS = ((200, 0.25), (404, 1 / 3), (500, None), (200, 0.001), (0, 7.5))
RECORDS: list[Record] = [
    (NOON - timedelta(hours=hours, seconds=place), f"customer-{place % 3}", f"/{place % 4}", status, duration)
    for hours in (0, 1, 5, 26, 50, 51, 800)
    for place, (status, duration) in enumerate(
        [(200, 0.25), (404, 1 / 3), (500, None), (200, 0.001), (0, 7.5)]
    )
]


class Counting(FakeKeeps):
    """A store that notes how many rows are read of it, and which customers are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.asked: list[Any] = []

    async def requests(self, spans: Any, customer_ids: Any) -> Any:
        self.asked.append(customer_ids)
        async for frame in super().requests(spans, customer_ids):
            self.rows += frame.height
            yield frame


def commit(store: FakeKeeps, records: list[Record]) -> None:
    for record in records:
        store.records[len(store.records)] = record
    store.journal["journal", len(store.journal) + 1] = touched(records)


def summed_up(records: list[Record], now: datetime = NOON) -> Counting:
    store = Counting()
    commit(store, records)
    finished(Maker(store, lambda: now).make_all())
    store.rows = 0
    store.asked.clear()
    return store


@pytest.fixture
def store() -> Counting:
    return summed_up(RECORDS)


class TestBlocks:
    """What blocks hold is not read again."""

    @pytest.mark.parametrize("every", ["15m", "1h", "6h", "1d", "7d", "none"])
    @pytest.mark.parametrize("tz", ["UTC", "America/New_York", "Asia/Kathmandu"])
    def test_windows_of_whole_cells_read_no_request(self, store: Counting, every: str, tz: str) -> None:
        query = StatsQuery(None, parse_every(every), zone=ZoneInfo(tz))
        answer = finished(answers.stats(store, query))
        assert answer is not None
        assert_same(answer, expected_stats(RECORDS, query))
        assert store.rows == 0

    def test_windows_that_cut_cells_read_these(self, store: Counting) -> None:
        query = StatsQuery(
            None, parse_every("7m"), NOON - timedelta(hours=3), NOON + timedelta(hours=1), NEW_YORK
        )
        answer = finished(answers.stats(store, query))
        assert answer is not None
        assert_same(answer, expected_stats(RECORDS, query))
        assert 0 < store.rows <= 15

    def test_a_range_that_begins_in_a_cell_reads_this_one(self, store: Counting) -> None:
        start = NOON - timedelta(hours=26, seconds=2)
        query = BreakdownQuery(None, start, None)
        assert finished(answers.breakdown(store, query)) == expected_breakdown(RECORDS, query)
        page = finished(answers.customers(store, CustomersQuery(start)))
        assert sum(each.summary.total_requests for each in page.customers) == 18
        assert 0 < store.rows <= 10

    def test_trends_of_parts_that_cut_cells(self, store: Counting) -> None:
        ids = ("customer-0", "unknown", "customer-2")
        query = TrendsQuery(ids, NOON - timedelta(days=3), NOON + timedelta(seconds=1), 31)
        assert finished(answers.trends(store, query)) == expected_trends(RECORDS, query)

    def test_paths_that_blocks_do_not_have_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tailmetrics.stores.summaries.block.MOST_PATHS", 3)
        store = summed_up(RECORDS)
        query = BreakdownQuery(None)
        assert finished(answers.breakdown(store, query)) == expected_breakdown(RECORDS, query)


class TestNothing:
    """Where there is no request."""

    @pytest.mark.parametrize("records", [[], RECORDS])
    def test_a_range_without_requests(self, records: list[Record]) -> None:
        store = summed_up(records)
        start, end = NOON - timedelta(days=400), NOON - timedelta(days=399)
        assert finished(answers.customers(store, CustomersQuery(start, end))) == CustomersPage((), 0, None)
        assert finished(answers.breakdown(store, BreakdownQuery(None, start, end))) == Breakdown()
        for every in ("1h", "none"):
            query = StatsQuery(None, parse_every(every), start, end, NEW_YORK)
            answer = finished(answers.stats(store, query))
            assert answer is not None
            assert (answer.summary, answer.windows) == (Summary(), ())
        [trend] = finished(answers.trends(store, TrendsQuery(("a",), start, end, 2)))
        assert trend.requests == (0, 0)

    def test_a_search_that_finds_no_customer_reads_no_latency(self, store: Counting) -> None:
        commit(store, RECORDS[:5])
        for sort in ("customer_id", "p99"):
            store.asked.clear()
            page = finished(answers.customers(store, CustomersQuery(search="nobody", sort=sort)))  # type: ignore[arg-type]
            assert page == CustomersPage((), 0, None)
            assert store.asked == [None]

    def test_no_duration(self) -> None:
        store = summed_up([(NOON, "a", "/", 200, None)])
        [customer] = finished(answers.customers(store, CustomersQuery(sort="p99"))).customers
        assert customer.summary == Summary(1, 1, 0, 100.0)


class TestPages:
    @pytest.mark.parametrize(
        "sort", ["customer_id", "requests", "failures", "uptime", "average", "median", "p99"]
    )
    def test_pages_follow_each_other_and_end(self, store: Counting, sort: Any) -> None:
        commit(store, [(NOON, "late", "/", 200, 0.5)])
        query = CustomersQuery(sort=sort, limit=3)
        first = finished(answers.customers(store, query))
        second = finished(answers.customers(store, replace(query, after=first.next_cursor)))
        found = [*first.customers, *second.customers]
        records = list(store.records.values())
        assert {each.customer_id for each in found} == {record[1] for record in records}
        for each in found:
            rows = [record for record in records if record[1] == each.customer_id]
            assert_same_summary(each.summary, expected_summary(rows))
        assert (first.total, second.next_cursor) == (4, None)

    def test_very_many_customers_are_not_asked_for_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(answers, "MAX_PAGE", 2)
        store = Counting()
        commit(store, RECORDS)
        query = CustomersQuery(search="customer", sort="p99", descending=True, limit=1)
        page = finished(answers.customers(store, query))
        assert store.asked == [None]
        assert page.customers[0].customer_id == max({row[1] for row in RECORDS}, key=_p99)
        assert page.total == 3


def _p99(customer_id: str) -> float:
    return expected_summary([row for row in RECORDS if row[1] == customer_id]).p99_latency or 0.0


class TestLimits:
    def test_requests_millennia_apart_are_left_to_another_way(self) -> None:
        store = summed_up([(at("1900-01-01"), "a", "/", 200, None), (NOON, "a", "/", 200, None)])
        assert finished(answers.stats(store, StatsQuery(None, parse_every("1d")))) is None

    def test_too_many_windows_are_left_to_another_way_and_not_filled(self, store: Counting) -> None:
        query = StatsQuery(None, parse_every("1s"))
        assert finished(answers.stats(store, query)) is None
        with pytest.raises(QueryError):
            finished(answers.stats(store, replace(query, fill=True)))

    def test_a_block_that_is_gone_is_told(self, store: Counting) -> None:
        store.blocks.clear()
        with pytest.raises(BlocksGone):
            finished(answers.breakdown(store, BreakdownQuery(None)))


class TestMeanwhile:
    @pytest.mark.parametrize("every", ["1h", "1d", "7d"])
    def test_requests_of_another_year_that_come_in_the_middle_have_no_window_yet(self, every: str) -> None:
        store = FakeKeeps()
        commit(store, RECORDS)
        query = StatsQuery(None, parse_every(every), zone=NEW_YORK)
        task = Task(answers.stats(store, query))
        for _ in range(4):  # the state has been read, and where requests lie
            task.step()
        commit(store, [(at("2021-07-01T03:30"), "a", "/", 200, 0.5), (at("2030-07-01"), "a", "/", 200, 0.5)])
        answer = task.finish()
        assert answer is not None
        assert_same(answer, expected_stats(RECORDS, query))
