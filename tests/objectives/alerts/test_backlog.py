"""Whether lines are still to come."""

from __future__ import annotations

from typing import get_args

import pytest

from tailmetrics.objectives.alerts.backlog import IN_FLIGHT_SECONDS, LONGEST_SECONDS, YOUNG_SECONDS, Backlog
from tailmetrics.status import SourceState, SourceStatus


def source(lag_seconds: float, lag_bytes: int = 1, state: SourceState = "live") -> SourceStatus:
    return SourceStatus("s", "/a.log", 1, 1, 0, 0, lag_bytes, lag_bytes, lag_seconds, state)


def waiting(age: float, *sources: SourceStatus) -> bool:
    times = iter((0.0, age))
    return Backlog(clock=lambda: next(times)).is_waiting(sources)


def test_after_a_start_all_that_was_logged_before_is_waited_for() -> None:
    assert waiting(1, source(0.1))
    assert waiting(1)
    assert not waiting(1, source(0, lag_bytes=0))


def test_later_lines_are_waited_for_once_they_are_no_longer_on_their_way() -> None:
    assert not waiting(YOUNG_SECONDS)
    assert not waiting(YOUNG_SECONDS, source(IN_FLIGHT_SECONDS))
    assert waiting(YOUNG_SECONDS, source(0, lag_bytes=0), source(IN_FLIGHT_SECONDS + 1))


def test_a_log_that_is_never_read_to_its_end_is_not_waited_for_for_ever() -> None:
    now = 0.0
    backlog = Backlog(clock=lambda: now)
    now = LONGEST_SECONDS - 1
    assert backlog.is_waiting([source(LONGEST_SECONDS - 1)])
    now = LONGEST_SECONDS
    assert not backlog.is_waiting([source(LONGEST_SECONDS)])


@pytest.mark.parametrize("state", sorted({*get_args(SourceState)} - {"live", "rotated"}))
def test_what_is_not_followed_is_not_waited_for(state: SourceState) -> None:
    assert not waiting(1, source(LONGEST_SECONDS, state=state))
