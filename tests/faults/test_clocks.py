"""Clocks that step, and times of requests that are no present ones."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import pytest

from tests.tailing.following import append, copy_truncate, numbered

HOUR_NS = 3600 * 10**9


def set_back(*paths) -> None:
    """Make files look as written an hour before they were, as by a clock that stepped back."""
    for path in paths:
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns - HOUR_NS, status.st_mtime_ns - HOUR_NS))


@pytest.mark.parametrize("by_copy", [False, True], ids=["renamed", "copied and truncated"])
@pytest.mark.parametrize("stopped", [False, True], ids=["while running", "while stopped"])
def test_case_21_the_clock_steps_back_before_a_rotation(follow, log, by_copy, stopped):
    living = follow(log)
    append(log, *numbered(0, 100))
    living.await_count(100)
    if stopped:
        living.stop()
    append(log, *numbered(100, 200))
    rotated = log.with_name("x.log.1")
    if by_copy:
        copy_truncate(log, rotated)
    else:
        log.rename(rotated)
    append(log, *numbered(1000, 1300))
    set_back(log, rotated)
    living.must_have([*range(200), *range(1000, 1300)])


def test_case_21_the_clock_steps_back_while_lines_are_appended(follow, log):
    living = follow(log)
    for turn in range(5):
        append(log, *numbered(turn * 10, turn * 10 + 10))
        set_back(log)
        living.await_count(turn * 10 + 10)
    living.must_have(range(50))


def test_case_21_timestamps_in_the_future_before_1970_and_out_of_order_by_thirty_days(follow, log):
    now = datetime(2024, 11, 6, 6, 33, 33)  # noqa: DTZ001  # as the log has it
    times = [
        now,
        now + timedelta(days=365 * 50),
        datetime(1969, 12, 31, 23, 59, 59),  # noqa: DTZ001
        datetime(1900, 1, 1),  # noqa: DTZ001
        now - timedelta(days=30),
        now + timedelta(days=30),
        now,
    ]
    append(log, *(f"{time} c /line/{number} 200 0.1" for number, time in enumerate(times)))
    rows, rejects = follow(log).content(len(times))
    assert ([(row.number, row.timestamp) for row in rows], rejects) == (list(enumerate(times)), [])
