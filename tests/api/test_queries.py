from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from tailmetrics.api.parameters import CustomersParameters, RangeParameters, StatsParameters
from tailmetrics.api.queries import asked_range, customers_query, sort_of, stats_query
from tailmetrics.errors import QueryError
from tests.builders import at


def wrong(read: Callable[[], Any]) -> list[str]:
    """The parameters that are named as wrong."""
    with pytest.raises(RequestValidationError) as caught:
        read()
    return [error["loc"][-1] for error in caught.value.errors()]


def ranged(**given: str) -> RangeParameters:
    return RangeParameters.model_validate(given)


def test_a_range_is_in_its_zone() -> None:
    asked = asked_range(ranged(**{"from": "2024-10-10", "to_date": "2024-10-11", "tz": "Europe/Berlin"}))
    assert (asked.start, asked.end) == (at("2024-10-09 22:00:00"), at("2024-10-10 22:00:00"))
    assert asked.zone.key == "Europe/Berlin"


def test_everything_that_is_wrong_is_named_together() -> None:
    given = {"from": "x", "to": "y", "tz": "Mars", "every": "1w"}
    parameters = StatsParameters.model_validate(given)
    assert sorted(wrong(lambda: stats_query(parameters, None))) == ["every", "from", "to", "tz"]


def test_two_names_of_one_bound_are_refused() -> None:
    parameters = ranged(**{"from": "2024-10-10", "from_date": "2024-10-11"})
    assert wrong(lambda: asked_range(parameters)) == ["from_date"]


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    parameters = ranged(**{"from": "2024-10-11", "to": "2024-10-10"})
    assert wrong(lambda: asked_range(parameters)) == ["from"]


@pytest.mark.parametrize(
    ("sort", "order", "descending"),
    [("p99", None, False), ("-p99", None, True), ("p99", "desc", True), ("-p99", "desc", True)],
)
def test_customers_are_sorted_as_the_sign_and_the_order_say(
    sort: str, order: str | None, descending: bool
) -> None:
    query, _ = customers_query(CustomersParameters(sort=sort, order=order))
    assert (query.sort, query.descending) == ("p99", descending)


def test_a_sign_against_the_order_is_refused() -> None:
    assert wrong(lambda: customers_query(CustomersParameters(sort="-p99", order="asc"))) == ["order"]


def test_what_cannot_be_sorted_by_is_refused() -> None:
    with pytest.raises(QueryError):
        sort_of("-colour")
