"""States that a maker or a question may find."""

from __future__ import annotations

from hypothesis import strategies as st

from tailmetrics.stores.summaries.block import DAY, DAY_US, HOUR, HOUR_US, MINUTE, MINUTE_US, PARTS, Level
from tailmetrics.stores.summaries.manifest import BlockRef, Manifest, State, united


@st.composite
def states(draw: st.DrawFn) -> State:
    """Blocks around 1970 that do not overlap, and stale minutes."""
    blocks: dict[int, Level] = {}
    for day in draw(st.sets(st.integers(-2, 3))):
        if draw(st.booleans()):
            blocks[day * DAY_US] = DAY
            continue
        for hour in draw(st.sets(st.sampled_from((0, 1, 11, 12, 13, 23)))):
            start = day * DAY_US + hour * HOUR_US
            if draw(st.booleans()):
                blocks[start] = HOUR
            else:
                minutes = draw(st.sets(st.sampled_from((0, 1, 30, 59))))
                blocks |= {start + minute * MINUTE_US: MINUTE for minute in minutes}
    parts = draw(st.sampled_from((PARTS, PARTS[:-1])))
    refs = []
    for start, level in sorted(blocks.items()):
        first, last = sorted(draw(st.integers(0, level.length_us - 1)) for _ in range(2))
        refs.append(BlockRef(level, start, 1, 1, start + first, start + last, dict.fromkeys(parts, 1)))
    minutes = draw(st.lists(st.tuples(st.integers(-3000, 5000), st.integers(1, 2000)), max_size=5))
    stale = united((low * MINUTE_US, (low + length) * MINUTE_US) for low, length in minutes)
    return State(Manifest(1, tuple(refs), tuple(stale)))
