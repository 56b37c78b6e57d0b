"""Records themselves from ClickHouse."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordPlace, RecordsQuery, RequestsQuery
from tailmetrics.stores.clickhouse.conditions import Condition, of_query
from tailmetrics.stores.clickhouse.reader import Statements
from tailmetrics.stores.clickhouse.stats_query import check_known
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import to_us

_PLACE = "(time_us, source, offset)"
_GIVEN = "({time_us:Int64}, {source:String}, {offset:Int64})"
_IN_TIME = "time_us, source, offset"
_NEWEST = "time_us DESC, source DESC, offset DESC"


async def count(
    statements: Statements, query: RecordsQuery, span: Span, width_us: int
) -> Sequence[tuple[int, int]]:
    """Records by the stretches of a span. Raises StoreUnavailable."""
    inside = _inside(query, span)
    found = await statements.frame(
        "SELECT intDiv(time_us - {low:Int64}, {width:Int64}) AS stretch, count() FROM records "
        f"WHERE {inside.sql} GROUP BY stretch",
        {**inside.parameters, "width": width_us},
    )
    return found.rows()


async def page(statements: Statements, query: RecordsQuery, span: Span, limit: int) -> pl.DataFrame:
    """The first records of a span that come behind a place. Raises StoreUnavailable."""
    inside = _inside(query, span)
    if query.after is not None:
        inside = inside.also(f"{_PLACE} > {_GIVEN}", **_given(query.after))
    return await _rows(statements, inside, _IN_TIME, limit)


async def requests(statements: Statements, query: RequestsQuery) -> pl.DataFrame:
    """Raises UnknownCustomer and StoreUnavailable."""
    where = of_query(query)
    order = _NEWEST if query.order == "newest" else f"duration DESC NULLS LAST, {_NEWEST}"
    if query.after is not None:
        duration, place = query.after
        where = where.also(_after(query, duration), duration=duration, **_given(place))
    found = await _rows(statements, where, order, query.limit)
    if query.customer_id is not None and found.is_empty():
        await check_known(statements, query.customer_id)
    return found


def _after(query: RequestsQuery, duration: float | None) -> str:
    """A condition for the records behind a place in the order of a query."""
    older = f"{_PLACE} < {_GIVEN}"
    if query.order == "newest":
        # The time alone says what of the table need not be read.
        return f"time_us <= {{time_us:Int64}} AND {older}"
    if duration is None:
        return f"duration IS NULL AND {older}"
    given = "{duration:Float64}"
    return f"(duration IS NULL OR duration < {given} OR (duration = {given} AND {older}))"


async def _rows(statements: Statements, where: Condition, order: str, limit: int) -> pl.DataFrame:
    found = await statements.frame(
        "SELECT time_us, customer_id, path, status_code, duration, source, offset "
        f"FROM records WHERE {where.sql} ORDER BY {order} LIMIT {{limit:UInt64}}",
        {**where.parameters, "limit": limit},
    )
    time = pl.from_epoch("time_us", "us").dt.replace_time_zone("UTC").alias("timestamp")
    return found.with_columns(time).select(pl.col(name).cast(kind) for name, kind in STORED_SCHEMA.items())


def _given(place: RecordPlace) -> dict[str, object]:
    return {"time_us": to_us(place.timestamp), "source": place.source, "offset": place.offset}


def _inside(query: RecordsQuery, span: Span) -> Condition:
    low, high = span
    inside = Condition().also("time_us >= {low:Int64} AND time_us < {high:Int64}", low=low, high=high)
    return inside.of_customer(query.customer_id).selected(query.only)
