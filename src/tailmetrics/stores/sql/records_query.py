"""Records themselves from the SQL store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordPlace, RecordsQuery, RequestsQuery
from tailmetrics.stores.sql.aggregates import us
from tailmetrics.stores.sql.queries import Queries
from tailmetrics.stores.sql.schema import Words, customers, records, sources
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import to_us

_ID = Words(key=True)
_ROWS_AN_ARRAY = 10_000  # PostgreSQL has none of more than 1 GB, and paths may be long


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
    source = _source(queries)
    where = await _inside(queries, query, span)
    if query.after is not None:
        where &= _behind(query.after, source)
    order = (records.c.time_us, sa.text("source"), records.c.offset)
    selected = _stored(source).where(where).order_by(*order).limit(limit)
    if queries.is_postgresql:
        return await asyncio.to_thread(_frame_of_parts, await queries.fetch(_in_columns(selected)))
    return await asyncio.to_thread(_frame, await queries.fetch(selected))


async def requests(queries: Queries, query: RequestsQuery) -> pl.DataFrame:
    """The first requests behind a place, in the order of the query. Raises UnknownCustomer."""
    source, duration = _source(queries), records.c.duration
    where = await queries.selected(query)
    order: list[Any] = [records.c.time_us.desc(), sa.text("source DESC"), records.c.offset.desc()]
    if query.order == "slowest":
        order = [duration.is_(None), duration.desc(), *order]
    elif query.customer_id is not None:
        where &= await _near(queries, query, where)
    if query.after is not None:
        where &= _is_after(query, *query.after, source)
    found = await queries.fetch(_stored(source).where(where).order_by(*order).limit(query.limit))
    if not found and query.customer_id is not None:
        await queries.check_known(query.customer_id)
    return await asyncio.to_thread(_frame, found)


async def _near(
    queries: Queries, query: RequestsQuery, where: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """A condition on the times of the newest requests of one customer, which the index has in their order.

    Not every database sees by itself that it can stop there: the ids of sources are in no index.
    """
    time = records.c.time_us
    near: sa.ColumnElement[bool] = sa.true()
    if query.after is not None:
        last = us(to_us(query.after[1].timestamp))
        near, where = time <= last, where & (time < last)
    first = sa.select(time).where(where).order_by(time.desc()).limit(1).offset(query.limit - 1)
    for (bound,) in await queries.fetch(first):
        near &= time >= us(bound)
    return near


def _source(queries: Queries) -> sa.ColumnElement[str]:
    """The id of the source of a record, which is compared by its bytes."""
    known = sa.cast(records.c.source_key, _ID)
    source: sa.ColumnElement[str] = sa.func.coalesce(sources.c.source_id, known, type_=_ID)
    return sa.type_coerce(sa.collate(source, "C"), _ID) if queries.is_postgresql else source


def _stored(source: sa.ColumnElement[str]) -> sa.Select[Any]:
    """Records with the columns of STORED_SCHEMA."""
    return (
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
    )


def _in_columns(selected: sa.Select[Any]) -> sa.Select[Any]:
    """The rows of a statement as arrays of some thousands, which the driver reads in a sixth of the time."""
    part = (sa.func.row_number().over() - 1) // _ROWS_AN_ARRAY
    rows = sa.select(*selected.subquery().c, part.label("part")).subquery()
    # Values as the driver gives them: types of their own would be asked for each.
    columns: list[Any] = [
        sa.func.array_agg(column, type_=sa.types.NullType()) for column in rows.c if column.name != "part"
    ]
    return sa.select(*columns).group_by(rows.c.part)


def _frame_of_parts(parts: Sequence[Any]) -> pl.DataFrame:
    """In the order of records, as none is promised of arrays."""
    frames = [_frame([]), *(_frame_of(columns) for columns in parts)]
    return pl.concat(frames).sort("timestamp", "source", "offset")


def _frame(rows: Sequence[Any]) -> pl.DataFrame:
    return _frame_of(list(zip(*rows, strict=True)) if rows else [()] * len(STORED_SCHEMA))


def _frame_of(columns: Sequence[Sequence[Any]]) -> pl.DataFrame:
    data = dict(zip(STORED_SCHEMA, columns, strict=True))
    frame = pl.DataFrame(data, {**STORED_SCHEMA, "timestamp": pl.Int64()})
    return frame.with_columns(pl.from_epoch("timestamp", "us").dt.replace_time_zone("UTC"))


async def _inside(queries: Queries, query: RecordsQuery, span: Span) -> sa.ColumnElement[bool]:
    inside = (records.c.time_us >= us(span[0])) & (records.c.time_us < us(span[1]))
    return await queries.of_customers(query.customer_id, inside & queries.is_selected(query.only))


def _behind(place: RecordPlace, source: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    time, source_id = us(to_us(place.timestamp)), sa.literal(place.source, _ID)
    offset = sa.literal(place.offset, sa.BigInteger)
    in_source = (source > source_id) | ((source == source_id) & (records.c.offset > offset))
    return (records.c.time_us > time) | ((records.c.time_us == time) & in_source)


def _is_after(
    query: RequestsQuery, last: float | None, place: RecordPlace, source: sa.ColumnElement[str]
) -> sa.ColumnElement[bool]:
    time, duration = us(to_us(place.timestamp)), records.c.duration
    source_id = sa.literal(place.source, _ID)
    offset = sa.literal(place.offset, sa.BigInteger)
    in_source = (source < source_id) | ((source == source_id) & (records.c.offset < offset))
    older = (records.c.time_us < time) | ((records.c.time_us == time) & in_source)
    if query.order == "newest":
        return older
    if last is None:
        return duration.is_(None) & older
    return duration.is_(None) | (duration < last) | ((duration == last) & older)
