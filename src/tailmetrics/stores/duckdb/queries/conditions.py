"""Which records a query is about, as SQL whose values are bound as parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import chain
from typing import Any

from tailmetrics.stats import BreakdownQuery, RequestFilter, RequestsQuery, StatsQuery
from tailmetrics.stores.duckdb.layout import key_of
from tailmetrics.stores.filtering import like_of
from tailmetrics.stores.results import check_storable

# The key alone tells of whole row groups that they need not be read.
IS_CUSTOMER = (
    f"customer_id = $customer_id AND (customer_key = {key_of('$customer_id')} OR customer_key IS NULL)"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """Which records of a view: an SQL text that is never empty, and its named parameters."""

    sql: str
    parameters: dict[str, Any]
    view: str = "requests"

    def also(self, sql: str, **parameters: Any) -> Condition:
        return replace(self, sql=f"{self.sql} AND {sql}", parameters={**self.parameters, **parameters})

    def of_customer(self, customer_id: str | None) -> Condition:
        """Those that are the customer's, all of them without one."""
        return self if customer_id is None else self.also(IS_CUSTOMER, customer_id=customer_id)

    def selected(self, only: RequestFilter) -> Condition:
        """Those that a filter selects; the view has paths where it asks for them."""
        where = self
        if only.paths or only.other_paths:
            where = replace(where, view="records")
        for name, globs, negation in (("path", only.paths, ""), ("other_path", only.other_paths, "NOT ")):
            if globs:
                values = {f"{name}_{place}": _pattern(glob) for place, glob in enumerate(globs)}
                matches = zip(globs, values, strict=True)
                where = where.also(
                    negation + _any_of(_matches(glob, value) for glob, value in matches), **values
                )
        if only.statuses:
            bounds = {f"status_{place}": status for place, status in enumerate(chain(*only.statuses))}
            lows, highs = list(bounds)[::2], list(bounds)[1::2]
            pairs = zip(lows, highs, strict=True)
            where = where.also(
                _any_of(f"status_code BETWEEN ${low} AND ${high}" for low, high in pairs), **bounds
            )
        if only.min_duration is not None:
            where = where.also("duration >= $min_duration", min_duration=only.min_duration)
        if only.max_duration is not None:
            where = where.also("duration < $max_duration", max_duration=only.max_duration)
        return where


def _any_of(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions)})"


def _matches(glob: str, name: str) -> str:
    """Whether a path matches a glob whose pattern is the parameter of a name."""
    return f"path LIKE ${name} ESCAPE '\\'" if "*" in glob else f"path = ${name}"


def _pattern(glob: str) -> str:
    return like_of(glob) if "*" in glob else glob


def of_customer(query: StatsQuery | BreakdownQuery | RequestsQuery) -> Condition:
    """The records in the range of a query that its filter selects, of the customer if one is given.

    Raises UnknownCustomer for an id that no store can hold.
    """
    check_storable(query.customer_id)
    return within(query.start, query.end).of_customer(query.customer_id).selected(query.only)


def within(start: datetime | None, end: datetime | None) -> Condition:
    """The records in a range."""
    where = Condition("TRUE", {})
    if start is not None:
        where = where.also("timestamp >= $start", start=naive(start))
    if end is not None:
        where = where.also("timestamp < $end", end=naive(end))
    return where


def naive(moment: datetime) -> datetime:
    """As the tables have times."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None)
