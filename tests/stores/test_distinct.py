from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.stores.distinct import distinct, ranked, spread

near = st.integers(-(2**40), 2**40).flatmap(
    lambda base: st.lists(st.integers(base, base + 1000), max_size=50)
)


def numbers(listed: list[int]) -> np.ndarray:
    return np.array(listed, np.int64)


@given(near)
def test_each_number_is_there_once_in_order(listed: list[int]) -> None:
    assert distinct(numbers(listed)).tolist() == sorted(set(listed))


@given(near)
def test_ranks_tell_where_each_number_is_among_the_distinct_ones(listed: list[int]) -> None:
    values, ranks = ranked(numbers(listed))
    assert values.tolist() == sorted(set(listed))
    assert values[ranks].tolist() == listed


@given(near)
def test_the_spread_is_from_the_least_to_the_greatest(listed: list[int]) -> None:
    assert spread(numbers(listed)) == (max(listed) - min(listed) if listed else 0)


def test_the_spread_of_the_farthest_numbers_does_not_overflow() -> None:
    assert spread(numbers([-(2**63), 2**63 - 1])) == 2**64 - 1
