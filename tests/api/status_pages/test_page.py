from __future__ import annotations

import pytest

from tailmetrics.api.status_pages.page import percent, state_of


@pytest.mark.parametrize(
    ("uptime", "state"),
    [(None, "none"), (99.0, "kept"), (98.99, "partly"), (98.0, "partly"), (97.99, "broken")],
)
def test_a_day_is_missed_in_part_with_up_to_twice_as_many_failures(uptime: float | None, state: str) -> None:
    assert state_of(uptime, 99.0) == state


def test_what_failed_once_never_looks_as_if_all_went_well() -> None:
    assert (percent(100.0), percent(99.99999)) == ("100.00 %", "99.99 %")
