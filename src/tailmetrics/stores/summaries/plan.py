"""Which cells of which blocks answer a question, and of which times requests have to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailmetrics.stores.summaries.block import Part
from tailmetrics.stores.summaries.manifest import BlockRef, State, united, within
from tailmetrics.stores.windowing import Span, Times

Cells = npt.NDArray[np.bool_]

_NEVER = 2**63 - 1

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
    refs = [ref for ref in state.manifest.blocks if ref.end_us > low_us and ref.start_us < high_us]
    lengths = np.array([ref.level.cell_of(part) for ref in refs], np.int64)
    numbers = np.array([ref.level.length_us for ref in refs], np.int64) // lengths
    ends_at = np.cumsum(numbers)
    block = np.repeat(np.arange(len(refs)), numbers)  # of each cell
    begins = np.array([ref.start_us for ref in refs], np.int64) - (ends_at - numbers) * lengths
    starts = begins[block] + np.arange(len(block)) * lengths[block]
    ends = starts + lengths[block]
    # A cell may reach beyond the range where its block has no request beyond it.
    begin = np.array([ref.start_us if ref.first_us >= low_us else low_us for ref in refs], np.int64)[block]
    end = np.array([ref.end_us if ref.last_us < high_us else high_us for ref in refs], np.int64)[block]
    usable = (starts >= begin) & (ends <= end) & ~_touched(starts, ends, stale)
    usable &= np.array([part in ref.sizes for ref in refs], np.bool_)[block]
    if is_whole is not None:
        usable &= is_whole(starts, ends - 1)
    chosen: list[Chosen] = []
    for ref, end_at, number in zip(refs, ends_at.tolist(), numbers.tolist(), strict=True):
        of_block = slice(end_at - number, end_at)
        if usable[of_block].any():
            is_all = usable[of_block].all()
            chosen.append((ref, None if is_all else starts[of_block][usable[of_block]]))
    left = united(zip(starts[~usable].tolist(), ends[~usable].tolist(), strict=True))
    spans = united([*within(stale, low_us, high_us), *within(left, low_us, high_us)])
    return Plan(tuple(chosen), tuple(spans))


def _touched(starts: Times, ends: Times, spans: Sequence[Span]) -> Cells:
    """Which of the cells a span reaches into."""
    bounds = np.array([*spans, (_NEVER, _NEVER)], np.int64)
    following = np.searchsorted(bounds[:-1, 1], starts, side="right")
    touched: Cells = bounds[following, 0] < ends
    return touched
