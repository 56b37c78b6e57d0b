"""Parts of several blocks: which are read, and what is taken of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from tailmetrics.stores.summaries.base import BlockKey, Summarized
from tailmetrics.stores.summaries.block import TOTALS, Part
from tailmetrics.stores.summaries.manifest import BlockRef
from tailmetrics.stores.summaries.plan import Chosen, Plan
from tailmetrics.stores.windowing import Times

_BYTES_A_PORTION = 2_000_000  # in which a count takes two or three


def part_of(ref: BlockRef, cells: Times | None, part: Part) -> Part:
    """The part of a block, or its totals where they are kept, and all cells count."""
    totals = TOTALS.get(part)
    return totals if totals is not None and cells is None and totals in ref.sizes else part


async def mixed(store: Summarized, wanted: Sequence[tuple[BlockRef, Part]]) -> list[bytes]:
    """One part of each block, of some another one than of others."""
    found: dict[BlockKey, bytes] = {}
    for part in dict.fromkeys(part for _, part in wanted):
        refs = [ref for ref, each in wanted if each == part]
        found |= {ref.key: data for ref, data in zip(refs, await store.parts(refs, part), strict=True)}
    return [found[ref.key] for ref, _ in wanted]


async def packed_parts(store: Summarized, plan: Plan, part: Part, *, in_cells: bool = False) -> list[bytes]:
    """A part of each block, or its totals where these do."""
    return await mixed(
        store, [(ref, part if in_cells else part_of(ref, cells, part)) for ref, cells in plan.blocks]
    )


def portions(blocks: Sequence[Chosen], packed: Sequence[bytes]) -> Iterator[list[tuple[Chosen, bytes]]]:
    """Blocks with their bytes, so many at once that what is in them is in memory together."""
    some: list[tuple[Chosen, bytes]] = []
    for each in zip(blocks, packed, strict=True):
        some.append(each)
        if sum(len(data) for _, data in some) > _BYTES_A_PORTION:
            yield some
            some = []
    if some:
        yield some


def chosen(frame: pl.DataFrame, cells: Times | None) -> pl.DataFrame:
    return frame if cells is None else frame.filter(pl.col("time").is_in(pl.Series(cells).implode()))


def coded(rows: pl.DataFrame, codes: Times, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of rows, and the `code` of each name for its `number` in a block."""
    # Of what is there, without a query: there are many small frames.
    return pl.DataFrame(
        [pl.Series("code", codes[rows["number"].to_numpy()]), *(rows[name] for name in columns)]
    )
