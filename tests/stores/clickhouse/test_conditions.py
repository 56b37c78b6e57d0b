from __future__ import annotations

import pytest

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import RequestFilter, StatsQuery
from tailmetrics.stores.clickhouse.conditions import Condition, of_query, within
from tailmetrics.windows import parse_every
from tests.builders import at

NASTY = "it's {x:String} \\ -- "


class TestCondition:
    def test_all_records_are_those_that_are_no_fences(self) -> None:
        assert Condition() == Condition("status_code >= 0", {})

    def test_what_users_give_is_never_in_the_text(self) -> None:
        only = RequestFilter((NASTY, f"{NASTY}*"), (NASTY,), ((200, 299),), 0.5, 1.5)
        where = within(at("2024-10-10"), None).of_customer(NASTY).selected(only).of_customers([NASTY])
        assert "it's" not in where.sql
        assert list(where.parameters.values()) == [
            1728518400000000,
            NASTY,
            [NASTY],
            NASTY.replace("\\", "\\\\") + "%",
            [NASTY],
            200,
            299,
            0.5,
            1.5,
            [NASTY],
        ]

    def test_a_list_too_long_for_one_parameter_is_several(self) -> None:
        ids = [f"{number:0100}" for number in range(2000)]
        where = Condition().of_customers(ids)
        parts = list(where.parameters.values())
        assert [each for part in parts for each in part] == ids
        assert max(len(str(part)) for part in parts) < 131_072
        assert where.sql.count(" IN ") == len(parts) > 1

    def test_of_no_customers_there_is_no_record(self) -> None:
        assert Condition().of_customers(["\ud800", ""]).sql.endswith("AND (0)")

    def test_a_path_that_no_record_can_have_is_not_asked_for(self) -> None:
        where = Condition().selected(RequestFilter(paths=("\ud800", "a\0b*")))
        assert (where.sql, where.parameters) == ("status_code >= 0 AND (0)", {})


def test_a_customer_that_no_record_can_have_is_unknown() -> None:
    with pytest.raises(UnknownCustomer):
        of_query(StatsQuery("\ud800", parse_every("1d")))
