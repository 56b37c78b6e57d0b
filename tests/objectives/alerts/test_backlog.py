"""Whether lines are still to come."""

from __future__ import annotations

from typing import get_args

import pytest

from tailmetrics.objectives.alerts.backlog import FOUND_SECONDS, IN_FLIGHT_SECONDS, LONGEST_SECONDS, Backlog
from tailmetrics.status import SourceState, SourceStatus


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def source(position: int, size: int, lag: float = 0.1, state: SourceState = "live") -> SourceStatus:
    return SourceStatus("s", "/a.log", 1, 1, 0, position, size, size - position, lag, state)


def test_what_was_logged_before_the_start_is_waited_for_and_what_comes_afterwards_is_not() -> None:
    backlog = Backlog(Clock())
    assert backlog.is_waiting([source(0, 9)])
    assert backlog.is_waiting([source(8, 12)])
    assert not backlog.is_waiting([source(9, 15)])


def test_a_log_that_was_truncated_is_waited_for_as_far_as_it_goes() -> None:
    backlog = Backlog(Clock())
    assert backlog.is_waiting([source(0, 9)])
    assert not backlog.is_waiting([source(2, 2)])


def test_the_logs_are_waited_for_at_the_start_alone() -> None:
    clock = Clock()
    backlog = Backlog(clock)
    assert backlog.is_waiting([])
    clock.now = FOUND_SECONDS
    assert not backlog.is_waiting([])


def test_lines_are_waited_for_once_they_are_no_longer_on_their_way() -> None:
    backlog = Backlog(Clock())
    assert not backlog.is_waiting([source(9, 9)])
    assert not backlog.is_waiting([source(9, 10, IN_FLIGHT_SECONDS)])
    assert backlog.is_waiting([source(9, 10, IN_FLIGHT_SECONDS + 1)])


def test_a_log_that_is_never_read_to_its_end_is_not_waited_for_for_ever() -> None:
    clock = Clock()
    backlog = Backlog(clock)
    clock.now = LONGEST_SECONDS - 1
    assert backlog.is_waiting([source(8, 9)])
    clock.now = LONGEST_SECONDS
    assert not backlog.is_waiting([source(8, 9)])


@pytest.mark.parametrize("state", sorted({*get_args(SourceState)} - {"live", "rotated"}))
def test_what_is_not_followed_is_not_waited_for(state: SourceState) -> None:
    clock = Clock()
    backlog = Backlog(clock)
    clock.now = FOUND_SECONDS
    assert not backlog.is_waiting([source(0, 9, LONGEST_SECONDS, state)])
