"""Spans are sets of times, and a state says of each time whether its requests have to be read."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.stores.summaries.block import DAY, DAY_US, HOUR, HOUR_US, LEVELS, MINUTE_US, PARTS
from tailmetrics.stores.summaries.manifest import (
    ALWAYS,
    BlockRef,
    Manifest,
    State,
    Touched,
    spans_as_text,
    spans_of_text,
    united,
    within,
    without,
)
from tailmetrics.stores.windowing import Span, spans_touched

spans = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), max_size=8)
apart = spans.map(united)


def points(some: list[Span] | tuple[Span, ...]) -> set[int]:
    return {point for low, high in some for point in range(low, high)}


def is_apart(some: list[Span]) -> bool:
    bounds = [bound for span in some for bound in span]
    return all(one < other for one, other in pairwise(bounds))


def times_at(seconds: list[int]) -> pl.Series:
    """Timestamps as records have them."""
    return pl.Series([each * 1_000_000 for each in seconds], dtype=pl.Int64).cast(pl.Datetime("us"))


@given(spans)
def test_united_spans_are_the_same_times_apart_and_in_order(some: list[Span]) -> None:
    assert points(united(some)) == points(some)
    assert is_apart(united(some))
    assert all(type(bound) is int for span in united(some) for bound in span)


@given(apart, st.integers(-22, 22), st.integers(-22, 22))
def test_within_a_range(some: list[Span], low: int, high: int) -> None:
    assert points(within(some, low, high)) == points(some) & set(range(low, high))
    assert is_apart(within(some, low, high))


@given(apart, apart)
def test_without_what_is_removed(some: list[Span], removed: list[Span]) -> None:
    assert points(without(some, removed)) == points(some) - points(removed)
    assert is_apart(without(some, removed))


@given(st.lists(st.lists(st.integers(-(10**6), 10**6)), max_size=4))
def test_touched_are_the_minutes_of_records(seconds: list[list[int]]) -> None:
    found = spans_touched([times_at(some) for some in seconds])
    minutes = [(low // MINUTE_US, high // MINUTE_US) for low, high in found]
    assert points(minutes) == {each // 60 for some in seconds for each in some}
    assert is_apart(minutes)
    assert spans_of_text(spans_as_text(found)) == found


@pytest.mark.parametrize(
    ("number", "step", "length"),
    [(400, 120, MINUTE_US), (1_200, 120, HOUR_US), (1_200, 7_200, DAY_US), (20_000, 180_000, DAY_US)],
)
def test_touched_times_that_are_very_many_are_longer_stretches(number: int, step: int, length: int) -> None:
    seconds = [place * step for place in range(-number // 2, number // 2)]
    found = spans_touched([times_at(seconds)])
    assert all(low % length == 0 and high % length == 0 for low, high in found)
    stretches = {each * 1_000_000 // length for each in seconds}
    assert sum(high - low for low, high in found) == len(stretches) * length
    assert all(within(found, each * 1_000_000, each * 1_000_000 + 1) for each in seconds)


refs = st.builds(
    BlockRef,
    st.sampled_from(LEVELS),
    st.integers(-(2**53), 2**53),
    st.integers(0, 2**20),
    st.integers(0, 2**40),
    st.integers(-(2**62), 2**62),
    st.integers(-(2**62), 2**62),
    st.dictionaries(st.sampled_from(PARTS), st.integers(0, 2**40)),
)


@given(
    st.builds(
        Manifest,
        st.integers(0, 2**60),
        st.lists(refs).map(tuple),
        st.lists(st.tuples(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62))).map(tuple),
        st.dictionaries(st.text(), st.integers(0, 2**40)),
    )
)
def test_a_manifest_is_the_same_when_it_is_read(manifest: Manifest) -> None:
    assert Manifest.of_text(manifest.as_text()) == manifest


def test_without_a_manifest_all_times_are_stale() -> None:
    assert State(Manifest()).stale == [ALWAYS]


def test_stale_is_what_was_touched_behind_the_places_that_are_included() -> None:
    minute = [(place * 2 * MINUTE_US, (place * 2 + 1) * MINUTE_US) for place in range(6)]
    since = [Touched("one", place, (minute[place],)) for place in (1, 2, 3)]
    since.append(Touched("two", 1, (minute[4],)))
    state = State(Manifest(3, (), (minute[0],), {"one": 2, "ended": 7}), tuple(since))
    assert state.stale == [minute[0], minute[3], minute[4]]
    assert [(each.journal, each.place) for each in state.later] == [("one", 3), ("two", 1)]
    assert state.included == {"one": 3, "ended": 7, "two": 1}


@given(st.sets(st.integers(-1000, 1000), max_size=50), st.integers(1, 12))
def test_times_that_are_very_many_are_stale_in_longer_stretches(minutes: set[int], most: int) -> None:
    touched = tuple((place * MINUTE_US, (place + 1) * MINUTE_US) for place in sorted(minutes))
    state = State(Manifest(1, (), (), {}), (Touched("one", 1, touched),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailmetrics.stores.summaries.manifest._MOST_STALE", most)
        assert not without(touched, state.stale)
        lengths = {DAY.length_us} if len(state.stale) > most else {MINUTE_US, HOUR.length_us, DAY.length_us}
        assert any(
            all(low % length == 0 and high % length == 0 for low, high in state.stale) for length in lengths
        )
        assert is_apart(state.stale)
