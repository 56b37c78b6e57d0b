"""Which of many values a table has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

_VALUES_A_STATEMENT = 1000


def lookup(
    connection: sa.Connection,
    column: sa.Column[Any],
    wanted: Sequence[Any],
    value: sa.Column[Any] | None = None,
) -> dict[Any, Any]:
    """Which of the wanted values a column has, each with the value of another column."""
    selected = sa.select(column, column if value is None else value)
    return {
        key: found
        for part in per_statement(wanted)
        for key, found in connection.execute(selected.where(column.in_(part)))
    }


def per_statement(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Values in as many parts as statements are needed for them."""
    for first in range(0, len(values), _VALUES_A_STATEMENT):
        yield values[first : first + _VALUES_A_STATEMENT]
