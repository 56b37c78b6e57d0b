"""Which of many values a table has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

_VALUES_AT_ONCE = 1000  # in one question


def known_values(
    connection: sa.Connection,
    column: sa.Column[Any],
    wanted: Sequence[Any],
    value: sa.Column[Any] | None = None,
) -> dict[Any, Any]:
    """Which of the wanted values a column has, each with the value of another column."""
    found: dict[Any, Any] = {}
    for part in in_questions(wanted):
        rows = connection.execute(
            sa.select(column, column if value is None else value).where(column.in_(part))
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def in_questions(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Values in as many parts as questions are needed for them."""
    for first in range(0, len(values), _VALUES_AT_ONCE):
        yield values[first : first + _VALUES_AT_ONCE]
