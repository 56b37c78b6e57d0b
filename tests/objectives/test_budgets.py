"""Budgets: the definitions, what is asked of a store, and whom they are about.

That they equal brute force on every store is in tests/stores/test_budgets.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from tailmetrics.objectives.budgets import Budget, Budgets, budgets_at, unmatched
from tailmetrics.objectives.definitions import Document
from tailmetrics.stats import CountsQuery
from tailmetrics.stores.in_memory import InMemoryStore
from tests.builders import Record, at, batch_of, source_of

NOW = at("2024-11-01T00:00:00")
AVAILABLE = {"name": "available", "target": 99}
HOUR = timedelta(hours=1)


class Asked(InMemoryStore):
    """A store that notes which counts it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[CountsQuery] = []

    async def counts(self, query: CountsQuery) -> pl.DataFrame:
        self.queries.append(query)
        return await super().counts(query)


def store_of(rows: Sequence[Record]) -> Asked:
    store = Asked()
    store.write([batch_of(store.register(source_of()), rows)])
    return store


def requests(customer: str, good: int, bad: int, ago: timedelta = HOUR, path: str = "/") -> list[Record]:
    return [(NOW - ago, customer, path, 500 if each < bad else 200, 0.1) for each in range(good + bad)]


def budgets(rows: Sequence[Record], *objectives: dict[str, Any], **asked: Any) -> Budgets:
    maintenance = asked.pop("maintenance", [])
    document = Document.model_validate({"objective": objectives or [AVAILABLE], "maintenance": maintenance})
    return asyncio.run(budgets_at(store_of(rows).counts, document, NOW, **asked))


def only(rows: Sequence[Record], *objectives: dict[str, Any], **asked: Any) -> Budget:
    (budget,) = budgets(rows, *objectives, **asked).budgets
    return budget


def test_a_budget_is_a_share_of_the_requests() -> None:
    budget = only(requests("a", 399, 1, timedelta(days=2)))
    assert (budget.compliance, budget.allowed, budget.left) == (99.75, 4, 3)
    assert (budget.used_percent, budget.left_percent, budget.state) == (25, 75, "kept")


@pytest.mark.parametrize(
    ("bad", "left", "state"), [(0, 1, "kept"), (1, 0, "kept"), (2, -1, "broken"), (100, -99, "broken")]
)
def test_what_is_used_to_the_last_request_is_kept_and_one_more_is_broken(
    bad: int, left: float, state: str
) -> None:
    budget = only(requests("a", 100 - bad, bad, timedelta(days=2)))
    assert (budget.left, budget.state) == (left, state)


@pytest.mark.parametrize(
    ("target", "requests_made", "bad"), [(99.9, 10_000, 10), (99.7, 1_000, 3), (99.95, 2_000, 1)]
)
def test_a_promise_that_is_just_kept_is_not_broken_by_rounding(
    target: float, requests_made: int, bad: int
) -> None:
    budget = only(requests("a", requests_made - bad, bad, timedelta(days=2)), {"name": "a", "target": target})
    assert (budget.left, budget.left_percent, budget.state) == (0, 0, "kept")


def test_a_burn_rate_is_how_many_times_as_fast_as_it_may_the_budget_burns() -> None:
    rows = [*requests("a", 99, 1, timedelta(days=1)), *requests("a", 9, 1, timedelta(minutes=1))]
    budget = only(rows)
    assert [round(budget.burn_rate(each) or 0, 6) for each in ("5m", "30m", "1h", "6h")] == [10] * 4
    assert budget.burn_rate("3d") == pytest.approx(2 / 110 / 0.01)


def test_days_that_end_now_run_out_when_the_bad_requests_of_now_have_used_what_is_left() -> None:
    # 10 may be bad, 2 are, both in the last 6 hours: 8 more take 24 hours.
    budget = only([*requests("a", 900, 0, timedelta(days=9)), *requests("a", 98, 2)])
    assert (budget.runs_out_at, budget.state) == (NOW + timedelta(hours=24), "at_risk")


def test_a_budget_of_the_calendar_grows_while_it_is_used() -> None:
    # 10 may be bad, 2 are; 6 hours lose 2 and win 1: the 8 that are left are lost in 48 hours.
    week = {**AVAILABLE, "period": "week"}  # which began on the 28th of October
    budget = only([*requests("a", 900, 0, timedelta(days=3)), *requests("a", 98, 2)], week)
    assert (budget.runs_out_at, budget.state) == (NOW + timedelta(hours=48), "at_risk")


def test_a_budget_that_would_run_out_after_its_week_does_not_run_out() -> None:
    week = {**AVAILABLE, "period": "week"}  # which ends in three days
    budget = only([*requests("a", 1900, 0, timedelta(days=3)), *requests("a", 98, 2)], week)
    assert (budget.left, budget.runs_out_at, budget.state) == (18, None, "kept")


def test_a_burn_rate_of_one_never_uses_up_a_budget_of_the_calendar() -> None:
    budget = only(requests("a", 99, 1), {**AVAILABLE, "period": "month"}, customer_id="a")
    assert (budget.counted.total, budget.runs_out_at) == (0, None)
    week = only(requests("a", 99, 1), {**AVAILABLE, "period": "week"})
    assert (week.burn_rate("6h"), week.left, week.runs_out_at, week.state) == (1, 0, None, "kept")


def test_nothing_runs_out_that_has_run_out_or_of_which_nothing_is_used() -> None:
    assert only(requests("a", 0, 100)).runs_out_at is None
    assert only(requests("a", 100, 0)).runs_out_at is None


def test_requests_in_maintenance_do_not_count_where_they_are_excluded() -> None:
    window = {"begin": NOW - 2 * HOUR, "end": NOW - HOUR + timedelta(microseconds=1), "customers": ["a"]}
    rows = [*requests("a", 5, 5), *requests("a", 10, 0, 3 * HOUR), *requests("b", 5, 5)]
    found = budgets(rows, maintenance=[{**window, "excluded": True}])
    assert [(each.customer_id, each.counted.total, each.counted.bad) for each in found.budgets] == [
        ("a", 10, 0),
        ("b", 10, 5),
    ]
    assert found.budgets[0].burn_rate("6h") == 0
    silent = budgets(rows, maintenance=[window])
    assert [each.counted.total for each in silent.budgets] == [20, 10]
    other = budgets(rows, maintenance=[{**window, "excluded": True, "objectives": ["other"]}])
    assert [each.counted.total for each in other.budgets] == [20, 10]


def test_a_customer_is_matched_whole_and_by_no_other_sign_than_a_star() -> None:
    rows = [row for name in ("a.b", "axb", "a.b.c", "A.B", "*") for row in requests(name, 1, 0)]
    found = budgets(
        rows, {**AVAILABLE, "customers": ["a.b"]}, {**AVAILABLE, "name": "b", "customers": ["a.*"]}
    )
    assert [(each.objective.name, each.customer_id) for each in found.budgets] == [
        ("available", "a.b"),
        ("b", "a.b"),
        ("b", "a.b.c"),
    ]


def test_objectives_that_share_a_question_ask_it_once() -> None:
    store = store_of(requests("a", 9, 1))
    objectives = [
        {**AVAILABLE, "name": "a", "customers": ["a", "b"]},
        {**AVAILABLE, "name": "b", "target": 99.9, "customers": ["c"]},
    ]
    asyncio.run(budgets_at(store.counts, Document.model_validate({"objective": objectives}), NOW))
    spans = [(query.start, query.end) for query in store.queries]
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert (spans[0][0], spans[-1][1]) == (NOW - timedelta(days=30), NOW)
    assert {query.customer_ids for query in store.queries} == {("a", "b", "c")}


def test_a_question_about_one_customer_is_asked_about_no_other() -> None:
    store = store_of([*requests("a", 9, 1), *requests("b", 9, 1)])
    document = Document.model_validate({"objective": [AVAILABLE]})
    found = asyncio.run(budgets_at(store.counts, document, NOW, customer_id="b"))
    assert [each.customer_id for each in found.budgets] == ["b"]
    assert {query.customer_ids for query in store.queries} == {("b",)}


def test_globs_that_match_nobody_are_told_of_the_period_and_of_the_store() -> None:
    rows = [*requests("a", 1, 0), *requests("old", 1, 0, timedelta(days=60))]
    objective = {**AVAILABLE, "customers": ["a", "b*", "old"]}
    assert budgets(rows, objective).warnings == tuple(
        f"objective 'available': {glob!r} matches no customer that has requests in its period"
        for glob in ("b*", "old")
    )
    document = Document.model_validate(
        {"objective": [objective], "silent": [{"name": "quiet", "customers": ["c"], "after": "1h"}]}
    )
    assert asyncio.run(unmatched(store_of(rows), document)) == [
        "objective 'available': 'b*' matches no customer of the store",
        "silent 'quiet': 'c' matches no customer of the store",
    ]
    assert asyncio.run(unmatched(InMemoryStore(), document)) == []
