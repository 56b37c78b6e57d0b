"""Values are looked up in as many statements as it takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tailmetrics.stores.sql.lookup import lookup, per_statement

NAMES = sa.Table("names", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("name", sa.Text))


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as opened:
        NAMES.create(opened)
        opened.execute(NAMES.insert(), [{"id": number, "name": f"n{number}"} for number in range(5_000)])
        yield opened
    engine.dispose()


def test_what_is_there_is_found_with_another_column(connection: sa.Connection) -> None:
    wanted = [f"n{number}" for number in range(4_000, 6_000)]
    found = lookup(connection, NAMES.c.name, wanted, NAMES.c.id)
    assert found == {f"n{number}": number for number in range(4_000, 5_000)}


def test_without_another_column_each_value_stands_for_itself(connection: sa.Connection) -> None:
    assert lookup(connection, NAMES.c.id, [7, -1]) == {7: 7}


def test_nothing_is_no_statement() -> None:
    assert list(per_statement([])) == []


def test_values_are_each_in_one_part() -> None:
    parts = list(per_statement(range(2_500)))
    assert [value for part in parts for value in part] == list(range(2_500))
    assert max(len(part) for part in parts) <= 1_000
