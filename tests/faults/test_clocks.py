"""Clocks that step, and times of requests that are no present ones."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.living import check_numbers
from tests.tailing.following import append, copy_truncate, numbered

HOUR_NS = 3600 * 10**9
# What waited for the old time would wait longer.
_SECONDS_TO_GO_ON = 4.0


class Writing:
    """Writes 5,000 numbered lines a second to a log for as long as it is entered, in bursts.

    Between two of them there is nothing to be read.
    """

    def __init__(self, log: Path) -> None:
        self.written = 0
        self._log = log
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Writing:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ending.wait(0.2):
            due = int(5000 * (time.monotonic() - began))
            append(self._log, *numbered(self.written, due))
            self.written = due


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


@pytest.mark.parametrize(
    ("seconds", "workers"), [(-5, 1), (-30, 1), (-3600, 1), (-3600, 2), (86_400, 1), (86_400, 2)]
)
def test_case_27_the_clock_steps_under_load(new_service, log, clock, seconds, workers):
    service = new_service(str(log), WORKERS=str(workers), POLL_INTERVAL_SECONDS="0.01", **clock.environment)
    service.start()
    with Writing(log) as writing:
        service.await_total(1000)
        clock.step(seconds)
        for _ in range(5):
            service.await_total(writing.written + 1, _SECONDS_TO_GO_ON)
    service.await_total(writing.written)
    service.end()
    check_numbers(service.numbers(), range(writing.written))


@pytest.mark.parametrize("seconds", [-3600, 86_400])
def test_case_27_loads_and_pages_go_on_after_the_clock_stepped(new_service, log, clock, seconds):
    service = new_service(str(log), POLL_INTERVAL_SECONDS="0.01", **clock.environment)
    service.start()
    with service.client.stream("GET", "/live") as response:
        totals = _totals(response.iter_lines())
        assert next(totals) == 0
        clock.step(seconds)
        for turn in range(5):
            append(log, *numbered(turn * 200, turn * 200 + 200))
            assert any(total == turn * 200 + 200 for total in totals)
        other = "\n".join(numbered(1000, 2000))
        loaded = service.client.post("/load", params={"wait": "1"}, content=other)
        assert loaded.json()["totals"]["records"] == 1000, loaded.text
        assert any(total == 2000 for total in totals)
    service.end()
    check_numbers(service.numbers(), range(2000))


def test_case_27_a_file_that_was_rotated_unseen_after_the_clock_stepped_back(new_service, log, clock):
    clock.step(3600)
    service = new_service(str(log), **clock.environment)
    service.start()
    append(log, *numbered(0, 100))
    service.await_total(100)
    clock.step(0)
    unseen = log.with_name("unseen")
    append(unseen, *numbered(100, 200))
    unseen.rename(log.with_name("x.log.1"))
    service.await_total(200)
    service.end()
    check_numbers(service.numbers(), range(200))


def _totals(lines: Iterator[str]) -> Iterator[int]:
    """The requests that each event of a page tells of."""
    return (
        json.loads(line.removeprefix("data: "))["stats"]["total_requests"]
        for line in lines
        if line.startswith("data: ")
    )
