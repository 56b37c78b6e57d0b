"""What queries say of themselves."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tailmetrics.stats import StatsQuery, TrendsQuery
from tailmetrics.windows import parse_every
from tests.builders import at


@pytest.mark.parametrize(("every", "cuts"), [("none", False), ("1d", True), ("15m", True)])
def test_a_length_cuts_unless_it_is_none(every: str, cuts: bool) -> None:
    assert parse_every(every).cuts == cuts


@pytest.mark.parametrize(("us", "parts", "expected"), [(10, 3, 4), (9, 3, 3), (0, 3, 1), (2, 5, 1)])
def test_the_last_part_of_a_trend_may_be_shorter(us: int, parts: int, expected: int) -> None:
    start = at("2024-01-01")
    assert TrendsQuery((), start, start + timedelta(microseconds=us), parts).part_us == expected


def test_equal_queries_are_one_key_of_a_cache() -> None:
    queries = [StatsQuery("a", parse_every("1d"), zone=ZoneInfo("Europe/Berlin")) for _ in range(2)]
    assert len(set(queries)) == 1
