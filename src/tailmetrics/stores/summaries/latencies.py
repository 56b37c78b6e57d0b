"""Latencies of customers: the durations in blocks and those of requests beside them, added up."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from tailmetrics.stores.summaries.base import Summarized
from tailmetrics.stores.summaries.block import DAY, durations_in, names_in
from tailmetrics.stores.summaries.durations import Durations, joined, latencies_by, summed, timed
from tailmetrics.stores.summaries.numbers import Numbered
from tailmetrics.stores.summaries.parts import chosen, coded, mixed, part_of
from tailmetrics.stores.summaries.plan import Chosen, Plan
from tailmetrics.stores.summaries.reading import KeptSums

LATENCIES: Final = ("average", "median", "p99")

_ROWS_A_PASS = 900_000  # of durations, in memory together
_MOST_KEPT = 100  # customers, a page of them, whose sums stay in memory

_NONE = Durations(pl.DataFrame(schema={"code": pl.Int64, "value": pl.Int64, "count": pl.Int64}), 1_000)

# A block with the names in it and its part of latencies, of which a chunk stays from one pass to the next.
_Named = tuple[Chosen, pl.Series, bytes, dict[int, pl.DataFrame]]


async def latencies_of(
    store: Summarized,
    plan: Plan,
    packed: Sequence[bytes],
    wanted: pl.Series | None,
    rows: Sequence[pl.DataFrame],
    *,
    sums: KeptSums | None,
) -> pl.DataFrame:
    """Columns `customer_id`, `average`, `median` and `p99`, of some customers or of all (None)."""
    refs = [ref for ref, _ in plan.blocks]
    named = await mixed(store, [(ref, part_of(ref, None, "customers")) for ref in refs])

    def latencies() -> pl.DataFrame:
        of_requests = [summed(Durations.of(timed(frame)), ["customer_id"]) for frame in rows]
        names = [names_in(data) for data in named]
        blocks: list[_Named] = [(*each, {}) for each in zip(plan.blocks, names, packed, strict=True)]
        if wanted is None:
            beside = (each.frame["customer_id"] for each in of_requests)
            of_all = [pl.Series(dtype=pl.String), *names, *beside]
            ids = pl.concat([series.alias("id") for series in of_all]).unique().sort()
        else:
            ids = wanted
        # In passes, each of so many customers that their durations are in memory together.
        share = len(ids) / max(1, len(ids), *map(len, names))
        passes = max(1, math.ceil(share * sum(ref.records for ref in refs) / _ROWS_A_PASS))
        length = max(1, math.ceil(len(ids) / passes))
        some = (ids[low : low + length] for low in range(0, max(1, len(ids)), length))
        return pl.concat([_of_customers(each, blocks, of_requests, sums) for each in some])

    return await asyncio.to_thread(latencies)


def _of_customers(
    ids: pl.Series, blocks: Sequence[_Named], of_requests: Sequence[Durations], sums: KeptSums | None
) -> pl.DataFrame:
    """The latencies of some customers."""
    # Days that are over are asked for again and again, and are most of what there is to add up for a page.
    keeps = sums is not None and len(ids) <= _MOST_KEPT
    is_over = [keeps and ref.level is DAY and cells is None for (ref, cells), *_ in blocks]
    over = list(itertools.compress(blocks, is_over))
    found = _durations_of(ids, [block for block, is_in in zip(blocks, is_over, strict=True) if not is_in])
    if sums is not None and over:
        # With sizes, as BlockCache has them.
        key = (tuple(ids), *((ref.key, len(data)) for (ref, _), _, data, _ in over))
        found.append(sums.of(key, lambda: joined([_NONE, *_durations_of(ids, over)])))
    for each in of_requests:
        [codes] = Numbered(ids).of([each.frame["customer_id"]])
        rows = each.frame.with_columns(code=codes).filter(pl.col("code") >= 0)
        found.append(Durations(rows.select("code", "value", "count"), each.unit))
    if not found:
        return pl.DataFrame(schema={"customer_id": pl.String, **dict.fromkeys(LATENCIES, pl.Float64)})
    latencies = latencies_by(joined(found), "code")
    return latencies.select(ids.gather(latencies["code"]).alias("customer_id"), *LATENCIES)


def _durations_of(ids: pl.Series, blocks: Sequence[_Named]) -> list[Durations]:
    """The durations of customers in each block, by the place of a customer among them as `code`."""
    found: list[Durations] = []
    codes_of_blocks = Numbered(ids).of([names for _, names, *_ in blocks])
    for ((ref, cells), _, data, last), codes in zip(blocks, codes_of_blocks, strict=True):
        numbers = np.flatnonzero(codes >= 0)
        if len(numbers):
            wanted = None if len(numbers) == len(codes) else numbers
            part = durations_in(data, ref.start_us, wanted, last)
            found.append(Durations(coded(chosen(part.frame, cells), codes, ("value", "count")), part.unit))
    return found
