"""Records themselves from the SQL store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordPlace, RecordsQuery
from tailmetrics.stores.sql.aggregates import us
from tailmetrics.stores.sql.queries import Queries
from tailmetrics.stores.sql.schema import Words, customers, records, sources
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import to_us

_ID = Words(key=True)


async def count(
    queries: Queries, query: RecordsQuery, span: Span, width_us: int
) -> Sequence[tuple[int, int]]:
    """Records by the stretches of a span. Raises UnknownCustomer."""
    since = records.c.time_us - us(span[0])
    start = (since - since % us(width_us)).label("start")
    inside = sa.select(start).where(await _inside(queries, query, span)).subquery("inside")
    rows = await queries.fetch(sa.select(inside.c.start, sa.func.count()).group_by(inside.c.start))
    return [(int(start) // width_us, number) for start, number in rows]


async def page(queries: Queries, query: RecordsQuery, span: Span, limit: int) -> pl.DataFrame:
    """The first records of a span that come behind a place. Raises UnknownCustomer."""
    known = sa.cast(records.c.source_key, _ID)
    source: sa.ColumnElement[str] = sa.func.coalesce(sources.c.source_id, known, type_=_ID)
    if queries.is_postgresql:
        source = sa.type_coerce(sa.collate(source, "C"), _ID)
    where = await _inside(queries, query, span)
    if query.after is not None:
        where &= _behind(query.after, source)
    selected = (
        sa.select(
            records.c.time_us,
            customers.c.customer_id,
            records.c.path,
            records.c.status_code,
            records.c.duration,
            source.label("source"),
            records.c.offset,
        )
        .join(customers, customers.c.customer_key == records.c.customer_key)
        .join(sources, sources.c.source_key == records.c.source_key, isouter=True)
        .where(where)
        .order_by(records.c.time_us, sa.text("source"), records.c.offset)
        .limit(limit)
    )
    return await asyncio.to_thread(_frame, await queries.fetch(selected))


def _frame(rows: Sequence[Any]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(STORED_SCHEMA)
    data = dict(zip(STORED_SCHEMA, columns, strict=True))
    frame = pl.DataFrame(data, {**STORED_SCHEMA, "timestamp": pl.Int64()})
    return frame.with_columns(pl.from_epoch("timestamp", "us").dt.replace_time_zone("UTC"))


async def _inside(queries: Queries, query: RecordsQuery, span: Span) -> sa.ColumnElement[bool]:
    within = (records.c.time_us >= us(span[0])) & (records.c.time_us < us(span[1]))
    return await queries.of_customers(query.customer_id, within)


def _behind(place: RecordPlace, source: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    time, source_id = us(to_us(place.timestamp)), sa.literal(place.source, _ID)
    offset = sa.literal(place.offset, sa.BigInteger)
    in_source = (source > source_id) | ((source == source_id) & (records.c.offset > offset))
    return (records.c.time_us > time) | ((records.c.time_us == time) & in_source)
