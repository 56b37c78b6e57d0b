from __future__ import annotations

import pytest

from tailmetrics.stores.reject_limits import halves, kept_of_source, thinned
from tests.builders import batch_of, source_of


@pytest.mark.parametrize(("kept", "ends"), [(10, (5, 5)), (11, (5, 6)), (1, (0, 1))])
def test_the_first_and_the_last_make_all_that_are_kept(kept: int, ends: tuple[int, int]) -> None:
    assert halves(kept) == ends


def test_a_source_has_a_tenth_of_what_all_have() -> None:
    assert kept_of_source(100_000) == 10_000


@pytest.mark.parametrize(
    ("number", "left"), [(0, []), (4, [0, 1, 2, 3]), (5, [0, 1, 3, 4]), (100, [0, 1, 98, 99])]
)
def test_of_a_batch_the_ends_are_left_and_nothing_else_changes(number: int, left: list[int]) -> None:
    batch = batch_of(source_of(), rejects=[("r", str(place)) for place in range(number)], blanks=3)
    kept = thinned(batch, 4)
    assert [int(line) for line in kept.parsed.rejects["line"]] == left
    assert (kept.checkpoint, kept.parsed.blanks) == (batch.checkpoint, 3)
