"""How many requests of each customer are bad: from blocks where these hold true, else from requests."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

import polars as pl

from tailmetrics.stats import CountsQuery
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.summaries.answers import asked_ids, by_part, planned_in_parts
from tailmetrics.stores.summaries.base import Summarized
from tailmetrics.stores.summaries.block import durations_in, names_in
from tailmetrics.stores.summaries.parts import chosen, mixed, part_of
from tailmetrics.stores.summaries.plan import Chosen
from tailmetrics.windows import to_us

_SUMS = pl.col("requests", "bad").sum()


async def counts(store: Summarized, query: CountsQuery) -> pl.DataFrame:
    """Rows of COUNTS_SCHEMA, of a query without a filter."""
    if query.limit_seconds is None:
        found = (await by_part(store, query)).rename({"count": "requests", "failed": "bad"})
    else:
        found = await _by_limit(store, query)
    return found.group_by("customer_id", "part").agg(_SUMS).cast(COUNTS_SCHEMA)  # type: ignore[arg-type]


async def _by_limit(store: Summarized, query: CountsQuery) -> pl.DataFrame:
    """Columns of COUNTS_SCHEMA, which add up."""
    ids = asked_ids(query.customer_ids)
    found = [pl.DataFrame(schema=COUNTS_SCHEMA)]
    if ids == []:
        return found[0]
    plan = await planned_in_parts(store, query)
    named = await mixed(store, [(ref, part_of(ref, None, "customers")) for ref, _ in plan.blocks])
    kept: Final = "latencies"
    wanted = [(ref, kept if query.part_us else part_of(ref, cells, kept)) for ref, cells in plan.blocks]
    timed = await mixed(store, wanted)

    def of_block(block: Chosen, names: pl.Series, data: bytes) -> pl.DataFrame:
        ref, cells = block
        numbers = None if ids is None else names.is_in(ids).arg_true().to_numpy()
        durations = durations_in(data, ref.start_us, numbers)
        rows = chosen(durations.frame, cells)
        seconds = rows["value"].to_numpy() / (durations.unit or 1)  # as they were: NumPy divides
        return _counted(query, rows.with_columns(duration=seconds, customer_id=names.gather(rows["number"])))

    for block, names, data in zip(plan.blocks, named, timed, strict=True):
        found.append(await asyncio.to_thread(of_block, block, names_in(names), data))
    async with aclosing(store.requests(plan.spans, ids)) as frames:
        found += [_counted(query, frame.drop_nulls("duration")) async for frame in frames]
    return pl.concat(found)


def _counted(query: CountsQuery, rows: pl.DataFrame) -> pl.DataFrame:
    part = (pl.col("time") - to_us(query.start)) // query.part_us if query.part_us else pl.lit(0)
    count = pl.col("count").cast(pl.Int64)
    bad = count.filter(pl.col("duration") >= query.limit_seconds).sum()
    sums = (count.sum().alias("requests"), bad.alias("bad"))
    counted = rows.group_by("customer_id", part.alias("part")).agg(*sums)
    return counted.cast(COUNTS_SCHEMA)  # type: ignore[arg-type]
