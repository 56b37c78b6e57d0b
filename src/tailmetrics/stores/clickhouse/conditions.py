"""Which records a query is about, as SQL whose values are bound as parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any

from tailmetrics.stats import BreakdownQuery, RequestFilter, RequestsQuery, StatsQuery
from tailmetrics.stores.clickhouse.schema import IS_REQUEST
from tailmetrics.stores.filtering import like_of
from tailmetrics.stores.results import can_be_stored, check_storable
from tailmetrics.windows import to_us

_PARAMETER_BYTES = 100_000  # of a list: a server takes 131,072 as one value


@dataclass(frozen=True, slots=True)
class Condition:
    """Which records, all of them at first: an SQL text, and its named parameters."""

    sql: str = IS_REQUEST
    parameters: dict[str, Any] = field(default_factory=dict)

    def also(self, sql: str, **parameters: Any) -> Condition:
        return replace(self, sql=f"{self.sql} AND {sql}", parameters={**self.parameters, **parameters})

    def of_customer(self, customer_id: str | None) -> Condition:
        """Those that are the customer's, all of them without one."""
        if customer_id is None:
            return self
        # No fence has a customer: one condition less to look at each record for.
        found = self.also("customer_id = {customer_id:String}", customer_id=customer_id)
        return replace(found, sql=found.sql.removeprefix(f"{IS_REQUEST} AND "))

    def of_customers(self, customer_ids: Iterable[str]) -> Condition:
        return self.one_of("customer_id", [each for each in customer_ids if can_be_stored(each)])

    def one_of(self, column: str, texts: Iterable[str]) -> Condition:
        """Those whose column has one of some texts."""
        parts = {f"{column}_{place}": part for place, part in enumerate(_in_parts(texts))}
        found = _any_of(f"{column} IN {{{name}:Array(String)}}" for name in parts)
        return self.also(found, **parts)

    def selected(self, only: RequestFilter) -> Condition:
        """Those that a filter selects."""
        where = self
        for name, globs, negation in (("path", only.paths, ""), ("other_path", only.other_paths, "NOT ")):
            if globs:
                where = where._has_path_of(globs, name, negation)
        if only.statuses:
            bounds = {f"status_{place}": bound for place, bound in enumerate(chain(*only.statuses))}
            pairs = zip(list(bounds)[::2], list(bounds)[1::2], strict=True)
            ranges = (f"status_code BETWEEN {{{low}:Int64}} AND {{{high}:Int64}}" for low, high in pairs)
            where = where.also(_any_of(ranges), **bounds)
        if only.min_duration is not None:
            where = where.also("duration >= {min_duration:Float64}", min_duration=only.min_duration)
        if only.max_duration is not None:
            where = where.also("duration < {max_duration:Float64}", max_duration=only.max_duration)
        return where

    def _has_path_of(self, globs: Sequence[str], name: str, negation: str) -> Condition:
        storable = [glob for glob in globs if can_be_stored(glob)]  # no path has what cannot be
        names = list(_in_parts([glob for glob in storable if "*" not in glob]))
        patterns = [like_of(glob) for glob in storable if "*" in glob]
        lists = {f"{name}_list_{place}": part for place, part in enumerate(names)}
        likes = {f"{name}_like_{place}": pattern for place, pattern in enumerate(patterns)}
        conditions = chain(
            (f"path IN {{{each}:Array(String)}}" for each in lists),
            (f"path LIKE {{{each}:String}}" for each in likes),
        )
        return self.also(negation + _any_of(conditions), **lists, **likes)


def of_query(query: StatsQuery | BreakdownQuery | RequestsQuery) -> Condition:
    """The records in the range of a query that its filter selects, of the customer if one is given.

    Raises UnknownCustomer for an id that no store can hold.
    """
    check_storable(query.customer_id)
    return within(query.start, query.end).of_customer(query.customer_id).selected(query.only)


def within(start: datetime | None, end: datetime | None) -> Condition:
    """The records in a range."""
    where = Condition()
    if start is not None:
        where = where.also("time_us >= {start_us:Int64}", start_us=to_us(start))
    if end is not None:
        where = where.also("time_us < {end_us:Int64}", end_us=to_us(end))
    return where


def _any_of(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions) or '0'})"


def _in_parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists that are short enough for one parameter each."""
    part: list[str] = []
    size = 0
    for text in texts:
        length = 2 * len(text.encode()) + 4  # quoted, every sign of it escaped
        if part and size + length > _PARAMETER_BYTES:
            yield part
            part, size = [], 0
        part.append(text)
        size += length
    if part:
        yield part
