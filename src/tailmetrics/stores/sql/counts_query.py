"""Bad requests of each customer, counted in parts of a range."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from tailmetrics.stats import ALL_REQUESTS, CountsQuery
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.results import FAILURE_RULES, can_be_stored
from tailmetrics.stores.sql.aggregates import us
from tailmetrics.stores.sql.filtering import is_selected
from tailmetrics.stores.sql.schema import records
from tailmetrics.stores.sql.selected import selected
from tailmetrics.stores.summaries.block import HOUR_US
from tailmetrics.windows import to_us

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_ROWS = 50_000  # that are read at once
_KINDS = {"customer_key": pl.Int32(), "since": pl.Int64(), "requests": pl.Int64(), "bad": pl.Int64()}


def is_in_blocks(query: CountsQuery) -> bool:
    """Whether blocks of summaries answer it: they know each customer's statuses of whole hours, no more."""
    start, end = to_us(query.start), to_us(query.end)
    has_hours = not query.part_us or (query.part_us % HOUR_US == 0 and start % HOUR_US == 0)
    is_plain = query.only == ALL_REQUESTS and query.limit_seconds is None
    return is_plain and has_hours and end - start >= HOUR_US


async def counts(connection: AsyncConnection, query: CountsQuery) -> pl.DataFrame:
    """Rows of COUNTS_SCHEMA, in any order."""
    where = is_selected(query.only, connection.dialect)
    is_bad = FAILURE_RULES[query.failures](records.c.status_code)
    if query.limit_seconds is not None:
        where &= records.c.duration.is_not(None)
        is_bad = records.c.duration >= query.limit_seconds
    ids = query.customer_ids
    if ids is not None:
        ids = tuple(customer_id for customer_id in dict.fromkeys(ids) if can_be_stored(customer_id))
    start = to_us(query.start)
    time = records.c.time_us - us(start)
    since = time - time % us(query.part_us) if query.part_us else us(0)
    found = await selected(connection, [(start, to_us(query.end))], ids)
    frames = [pl.DataFrame(schema=_KINDS)]
    for condition in found.conditions():
        columns = (records.c.customer_key, since.label("since"), sa.case((is_bad, 1)).label("bad"))
        inside = sa.select(*columns).where(condition & where).subquery("inside")
        keys = (inside.c.customer_key, inside.c.since)
        counted = sa.select(*keys, sa.func.count(), sa.func.count(inside.c.bad)).group_by(*keys)
        for name in ("mariadb", "mysql"):  # they would look each group up, on the disk where these are many
            counted = counted.prefix_with("SQL_BIG_RESULT", dialect=name)
        async with connection.stream(counted.execution_options(yield_per=_ROWS)) as result:
            frames += [await asyncio.to_thread(_frame, rows) async for rows in result.partitions()]
    part = (pl.col("since") // max(1, query.part_us)).alias("part")
    named = pl.concat(frames).join(found.customers, on="customer_key").with_columns(part)
    return named.select(pl.col(name).cast(kind) for name, kind in COUNTS_SCHEMA.items())


def _frame(rows: Sequence[Any]) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(_KINDS, zip(*rows, strict=True), strict=True)), _KINDS)
