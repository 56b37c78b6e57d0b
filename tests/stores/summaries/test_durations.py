"""Durations keep their floats, and their quantiles are those of NumPy over all of them."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.stores.summaries import durations
from tailmetrics.stores.summaries.durations import Durations, joined, latencies_by, summed

milliseconds = st.integers(0, 10**12).map(lambda value: value / 1_000)
microseconds = st.integers(0, 10**12).map(lambda value: value / 1_000_000)
floats = st.floats(0, 1e9)
some_seconds = st.one_of(
    st.lists(milliseconds),
    st.lists(microseconds),
    st.lists(st.one_of(milliseconds, microseconds, floats, st.sampled_from((0.0, 1e9)))),
)


def durations_of(seconds: list[float], key: int = 0) -> Durations:
    frame = pl.DataFrame(
        {"key": [key] * len(seconds), "value": seconds, "count": [1] * len(seconds)},
        {"key": pl.Int64, "value": pl.Float64, "count": pl.Int64},
    )
    return Durations.of(frame)


def in_seconds(found: Durations) -> list[float]:
    return sorted((found.frame["value"].to_numpy() / (found.unit or 1)).tolist())


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [
        ([], 1_000),
        ([0.0, 0.001, 86_400.123, 1e9], 1_000),
        ([0.001, 0.000001], 1_000_000),
        ([0.001, 1 / 3], 0),
        ([1e18], 0),
        ([1e308, 0.5], 0),
    ],
)
def test_the_unit_is_the_coarsest_that_gives_back_the_same_floats(seconds: list[float], unit: int) -> None:
    found = durations_of(seconds)
    assert found.unit == unit
    assert in_seconds(found) == sorted(seconds)


@given(st.lists(some_seconds, min_size=1))
def test_durations_of_several_units_together_are_the_same_floats(parts: list[list[float]]) -> None:
    together = joined([durations_of(part) for part in parts])
    assert in_seconds(together) == sorted(seconds for part in parts for seconds in part)
    once = summed(together, ["key"])
    assert sorted(set(in_seconds(together))) == in_seconds(once)
    assert once.frame["count"].sum() == together.frame.height


def assert_quantiles(groups: dict[int, list[float]]) -> None:
    parts = [durations_of(seconds, key) for key, seconds in groups.items()]
    found = latencies_by(summed(joined(parts), ["key"]), "key").sort("key")
    assert found["key"].to_list() == sorted(key for key, seconds in groups.items() if seconds)
    for key, average, median, p99 in found.iter_rows():
        expected = [math.fsum(groups[key]) / len(groups[key]), *np.quantile(groups[key], [0.5, 0.99])]
        assert [average, median, p99] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.dictionaries(st.integers(-(2**40), 2**40), some_seconds, min_size=1, max_size=5))
def test_quantiles_of_groups(groups: dict[int, list[float]]) -> None:
    assert_quantiles(groups)


@pytest.mark.parametrize(
    ("way", "scale", "unit"),
    [("dense", 1_000, 1_000), ("in one number", 1_000_000, 1_000_000), ("rows", 10**9, 1_000_000)],
)
def test_quantiles_of_many_groups_by_each_way_of_sorting(
    way: str, scale: int, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(1)
    monkeypatch.setattr(durations, "_DENSE_CELLS", 10**7 if way == "dense" else 0)
    groups = {
        int(key): (chance.integers(0, scale * 1_000, chance.integers(1, 60)) // 3 / unit).tolist()
        for key in chance.integers(-(10**15), 10**15, 400)
    }
    groups[0] = [0.0] * 1000 + [scale * 1_000 / unit]
    sorts: list[str] = []
    lexsort = np.lexsort
    monkeypatch.setattr(np, "lexsort", lambda keys: sorts.append("rows") or lexsort(keys))
    if way == "rows":
        monkeypatch.setattr(durations, "_UNITS", (unit,))
        groups[1] = [9e9]
        groups |= {key: [0.5] for key in range(2, 2000)}
    assert_quantiles(groups)
    assert bool(sorts) == (way == "rows")


def test_no_duration_at_all_makes_no_row() -> None:
    assert latencies_by(durations_of([]), "key").rows() == []
