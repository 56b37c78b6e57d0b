"""Cells of blocks and spans of requests cover a range once, and each cell counts for one window."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.stores.summaries.block import DAY_US, MINUTE_US, PARTS, Part
from tailmetrics.stores.summaries.manifest import ALWAYS, Manifest, State, united, within, without
from tailmetrics.stores.summaries.plan import Cells, planned
from tailmetrics.stores.windowing import Span, Times, window_starts
from tailmetrics.windows import Grid, parse_every
from tests.stores.summaries.states import states

bounds = st.one_of(
    st.just(ALWAYS),
    st.tuples(st.integers(-3 * DAY_US, 5 * DAY_US), st.integers(0, 4 * DAY_US)).map(
        lambda pair: (pair[0], pair[0] + pair[1])
    ),
    st.tuples(st.integers(-3000, 5000), st.integers(0, 3000)).map(
        lambda pair: (pair[0] * MINUTE_US, (pair[0] + pair[1]) * MINUTE_US)
    ),
)
lengths = st.sampled_from(("1m", "7m", "30m", "1h", "7h", "1d", "7d"))
zones = st.sampled_from(("UTC", "Asia/Kathmandu", "Asia/Kolkata", "America/New_York"))


@given(
    states(),
    st.sampled_from(PARTS),
    bounds,
    st.sampled_from(("1m", "7m", "30m", "1h", "7h", "1d", "7d")),
    zones,
)
def test_cells_and_spans_cover_a_range_once(
    state: State, part: Part, asked: Span, every: str, zone: str
) -> None:
    grid = Grid(parse_every(every), ZoneInfo(zone), [(-10 * DAY_US, 10 * DAY_US)])

    def is_whole(first: Times, last: Times) -> Cells:
        same: Cells = window_starts(first, grid) == window_starts(last, grid)
        return same

    plan = planned(state, part, *asked, is_whole)
    cells: list[Span] = []
    for ref, starts in plan.blocks:
        assert part in ref.sizes
        length = ref.level.cell_of(part)
        chosen = np.arange(ref.start_us, ref.end_us, length) if starts is None else starts
        cells += [(start, start + length) for start in chosen.tolist()]
        for low in chosen.tolist():
            requests = within([(ref.first_us, ref.last_us + 1)], low, low + length)
            assert within(requests, *asked) == requests
    for low, high in cells:
        assert grid.start_of(low) == grid.start_of(high - 1)
        assert not within(state.stale, low, high)
    covered = sorted([*cells, *plan.spans])
    assert all(one[1] <= other[0] for one, other in pairwise(covered))
    with_requests = united([*state.stale, *((ref.start_us, ref.end_us) for ref in state.manifest.blocks)])
    assert within(united(covered), *asked) == within(with_requests, *asked)
    assert list(plan.spans) == united(plan.spans)


@pytest.mark.parametrize("part", PARTS)
def test_without_a_block_the_range_is_read(part: Part) -> None:
    plan = planned(State(Manifest()), part, 5, 10)
    assert (plan.blocks, plan.spans) == ((), ((5, 10),))


@given(states(), st.sampled_from(PARTS))
def test_blocks_of_which_nothing_is_stale_count_whole(state: State, part: Part) -> None:
    plan = planned(state, part, *ALWAYS)
    for ref in state.manifest.blocks:
        if part in ref.sizes and not within(state.stale, ref.start_us, ref.end_us):
            assert (ref, None) in plan.blocks
    assert not without(state.stale, plan.spans)
