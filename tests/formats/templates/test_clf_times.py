"""Times of the common log format, by their bytes as by the rules."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats.templates.clf_times import TIME_BYTES, clf_times
from tailmetrics.formats.timestamps import reader

from ..logs import unhurried

_days = st.sampled_from(
    ["10/Oct/2024", "29/Feb/2024", "29/Feb/2023", "31/Apr/2024", "00/Jan/2024", "32/Jan/2024"]
)
_days |= st.sampled_from(
    ["01/Jan/0001", "31/Dec/9999", "01/Jan/0000", "31/Dec/1969", "10/oct/2024", "1x/Oct/2024"]
)
_clocks = st.sampled_from(
    ["13:55:36", "00:00:00", "23:59:59", "24:00:00", "12:60:00", "12:00:60", "1a:00:00"]
)
_zones = st.sampled_from(["+0000", "-0700", "+0530", "+2359", "+2400", "+0060", "*0000", "+00:0", "-0001"])
_times = st.tuples(_days, _clocks, _zones).map(lambda parts: f"{parts[0]}:{parts[1]} {parts[2]}")


@unhurried
@given(times=st.lists(_times | st.text(st.characters(codec="ascii"), min_size=26, max_size=26), max_size=9))
def test_times_are_read_as_by_the_rules(times: list[str]) -> None:
    text = "".join(times).encode()
    micros, real = clf_times(text + bytes(8), np.arange(len(times), dtype=np.int64) * TIME_BYTES)
    expected = reader("UTC", "").read(pl.Series(times, dtype=pl.String())).to_physical()
    is_common = pl.Series(times, dtype=pl.String()).str.contains("/")
    assert [value if is_real else None for value, is_real in zip(micros.tolist(), real, strict=True)] == (
        expected.set(~is_common, None).to_list()
    )


@pytest.mark.parametrize("second", [36, 37])
def test_times_of_one_minute_keep_their_seconds(second: int) -> None:
    text = f"10/Oct/2024:13:55:{second} +020010/Oct/2024:13:55:{second + 1} +0200".encode()
    micros, real = clf_times(text, np.array([0, TIME_BYTES]))
    assert real.all()
    assert (micros // 1_000_000).tolist() == [1728561300 + second, 1728561301 + second]
