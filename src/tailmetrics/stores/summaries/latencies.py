"""Latencies of customers: the durations in blocks and those of requests beside them, added up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from tailmetrics.stores.summaries.base import BlockKey, Summarized
from tailmetrics.stores.summaries.block import DAY, durations_in, names_in
from tailmetrics.stores.summaries.durations import Durations, joined, latencies_by, summed, timed
from tailmetrics.stores.summaries.manifest import BlockRef
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
    wanted: pl.Series | None,
    rows: Sequence[pl.DataFrame],
    *,
    sums: KeptSums | None,
) -> pl.DataFrame:
    """Columns `customer_id`, `average`, `median` and `p99`, of some customers or of all (None)."""
    named = await mixed(store, [(ref, part_of(ref, None, "customers")) for ref, _ in plan.blocks])
    of_requests, names, groups = await asyncio.to_thread(_grouped, plan, named, wanted, rows)
    # Days that are over are asked for again and again, and are most of what there is to add up for a page.
    keeps = sums is not None and len(groups[0]) <= _MOST_KEPT
    days: list[tuple[Chosen, pl.Series]] = []
    beside: list[tuple[Chosen, pl.Series]] = []
    for block, ids in zip(plan.blocks, names, strict=True):
        (days if keeps and _is_whole_day(block) else beside).append((block, ids))
    over = tuple(_stored(ref) for (ref, _), _ in days)
    added = [sums.get((tuple(ids), over)) if sums is not None and days else None for ids in groups]
    read = [*beside, *(days if None in added else ())]
    packed = await mixed(store, [(ref, part_of(ref, cells, "latencies")) for (ref, cells), _ in read])

    def latencies() -> pl.DataFrame:
        blocks: list[_Named] = [(*block, data, {}) for block, data in zip(read, packed, strict=True)]

        def of_group(ids: pl.Series, of_days: Durations | None) -> pl.DataFrame:
            found = _durations_of(ids, blocks[: len(beside)])
            if of_days is not None:
                found.append(of_days)
            elif sums is not None and days:
                key = (tuple(ids), over)
                found.append(
                    sums.of(key, lambda: joined([_NONE, *_durations_of(ids, blocks[len(beside) :])]))
                )
            return _latencies(ids, [*found, *_of_rows(ids, of_requests)])

        return pl.concat(map(of_group, groups, added))

    return await asyncio.to_thread(latencies)


def _is_whole_day(block: Chosen) -> bool:
    ref, cells = block
    return ref.level is DAY and cells is None


def _stored(ref: BlockRef) -> tuple[BlockKey, int]:
    """Which part of latencies it is; with its size, as a generation may come again in the end."""
    return ref.key, ref.sizes[part_of(ref, None, "latencies")]


def _grouped(
    plan: Plan, named: Sequence[bytes], wanted: pl.Series | None, rows: Sequence[pl.DataFrame]
) -> tuple[list[Durations], list[pl.Series], list[pl.Series]]:
    """Durations of rows, names in blocks, and customers in groups whose durations are in memory together."""
    of_requests = [summed(Durations.of(timed(frame)), ["customer_id"]) for frame in rows]
    names = [names_in(data) for data in named]
    if wanted is None:
        beside = (each.frame["customer_id"] for each in of_requests)
        of_all = [pl.Series(dtype=pl.String), *names, *beside]
        ids = pl.concat([series.alias("id") for series in of_all]).unique().sort()
    else:
        ids = wanted
    share = len(ids) / max(1, len(ids), *map(len, names))
    passes = max(1, math.ceil(share * sum(ref.records for ref, _ in plan.blocks) / _ROWS_A_PASS))
    length = max(1, math.ceil(len(ids) / passes))
    return of_requests, names, [ids[low : low + length] for low in range(0, max(1, len(ids)), length)]


def _of_rows(ids: pl.Series, of_requests: Sequence[Durations]) -> Iterator[Durations]:
    """The durations of customers in requests beside the blocks, by `code`."""
    for each in of_requests:
        [codes] = Numbered(ids).of([each.frame["customer_id"]])
        rows = each.frame.with_columns(code=codes).filter(pl.col("code") >= 0)
        yield Durations(rows.select("code", "value", "count"), each.unit)


def _latencies(ids: pl.Series, found: Sequence[Durations]) -> pl.DataFrame:
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
