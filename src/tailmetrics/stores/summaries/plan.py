"""Which cells of which blocks answer a question, and of which times requests have to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailmetrics.stores.summaries.block import Part
from tailmetrics.stores.summaries.manifest import BlockRef, State, united, within
from tailmetrics.stores.windowing import Span, Times

Cells = npt.NDArray[np.bool_]


# A block, and the starts (us) of those of its cells that count; None where all do.
Chosen = tuple[BlockRef, "Times | None"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Blocks to be read, and spans of which requests are: together they cover a range once."""

    blocks: tuple[Chosen, ...]
    spans: tuple[Span, ...]


def planned(
    state: State,
    part: Part,
    low_us: int,
    high_us: int,
    is_whole: Callable[[Times, Times], Cells] | None = None,
) -> Plan:
    """How to answer a question about [low_us, high_us) from one part of the blocks.

    `is_whole` says of cells, by their first and last microseconds, which lie in one window each.
    """
    low_us = max(low_us, state.oldest_us)
    stale = state.stale
    chosen: list[Chosen] = []
    spans = within(stale, low_us, high_us)
    for ref in state.manifest.blocks:
        if ref.end_us <= low_us or ref.start_us >= high_us:
            continue
        length = ref.level.cell_of(part)
        starts = np.arange(ref.start_us, ref.end_us, length)
        usable = (starts >= low_us) & (starts + length <= high_us) & (part in ref.sizes)
        for low, high in within(stale, ref.start_us, ref.end_us):
            usable &= (starts + length <= low) | (starts >= high)
        if is_whole is not None:
            usable &= is_whole(starts, starts + length - 1)
        if usable.any():
            chosen.append((ref, None if usable.all() else starts[usable]))
        spans += [(int(start), int(start) + length) for start in starts[~usable]]
    return Plan(tuple(chosen), tuple(united(within(spans, low_us, high_us))))
