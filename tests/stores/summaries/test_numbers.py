"""Names get the same numbers everywhere, and counts add up as grouping adds them up."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailmetrics.stores.summaries.numbers import Numbered, added_up

TIMES = st.sampled_from([1_730_000_000_000_000, 1_730_000_900_000_000, 1_730_003_600_000_000])
KEYS = st.tuples(TIMES, st.integers(-3, 600), st.floats(0, 1) | st.just(0.5))


def series(*names: str) -> pl.Series:
    return pl.Series("customer_id", names, pl.String)


def listed(numbered: Numbered, *columns: pl.Series) -> list[list[int]]:
    return [found.tolist() for found in numbered.of(columns)]


def test_names_that_come_again_have_the_number_they_had() -> None:
    numbered = Numbered()
    assert listed(numbered, series("b", "a"), series("a", "c")) == [[0, 1], [1, 2]]
    assert listed(numbered, series("d", "b")) == [[3, 0]]
    assert numbered.known.to_list() == ["b", "a", "c", "d"]


def test_names_that_are_not_wanted_have_none() -> None:
    assert listed(Numbered(series("b", "a")), series("a", "x", "b", "")) == [[1, -1, 0, -1]]


@pytest.mark.parametrize("wanted", [None, series()], ids=["all", "none"])
def test_where_there_are_no_names(wanted: pl.Series | None) -> None:
    assert listed(Numbered(wanted), series(), series()) == [[], []]
    assert listed(Numbered(wanted)) == []


@settings(deadline=None)
@given(
    st.lists(st.tuples(KEYS, st.integers(1, 9))),
    st.sampled_from([("time",), ("status",), ("time", "status"), ("status", "time"), ("status", "value")]),
)
def test_counts_add_up_as_when_they_are_grouped(
    rows: list[tuple[tuple[int, int, float], int]], keys: tuple[str, ...]
) -> None:
    frame = pl.DataFrame(
        [(*each, count) for each, count in rows],
        {"time": pl.Int64, "status": pl.Int16, "value": pl.Float64, "count": pl.UInt8},
        orient="row",
    )
    grouped = frame.group_by(keys).agg(pl.col("count").cast(pl.Int64).sum())
    found = added_up(frame, keys)
    assert found.schema == grouped.schema
    assert found.sort(keys).equals(grouped.sort(keys))


@pytest.mark.parametrize(
    "keys",
    [[[0, 5_000_000, 0], [1, 2, 1]], [list(range(3000)), list(range(3000))]],
    ids=["one far from the others", "more combinations than are kept"],
)
def test_counts_of_keys_for_which_no_table_is_kept(keys: list[list[int]]) -> None:
    frame = pl.DataFrame({"one": keys[0], "other": keys[1], "count": [1] * len(keys[0])})
    found = added_up(frame, ["one", "other"])
    assert found["count"].sum() == len(keys[0])
    assert found.height == len(set(zip(*keys, strict=True)))
