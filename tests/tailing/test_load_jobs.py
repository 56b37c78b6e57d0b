"""How a load says how far it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.records import ParsedLines, no_records, no_rejects
from tailmetrics.sources import Batch, Checkpoint
from tailmetrics.status import LoadProgress
from tailmetrics.tailing import LoadJob


@pytest.fixture
def job() -> LoadJob:
    return LoadJob(Path("x.log"), "x.log", None, by_content=False)


def batch(start: int, end: int, blanks: int) -> Batch:
    """Only blank lines."""
    parsed = ParsedLines(no_records(), no_rejects(), blanks)
    return Batch("source", "x.log", start, Checkpoint(end, 0, "", 0, ""), parsed)


def test_what_is_committed_is_counted(job: LoadJob) -> None:
    job.begin("source", 0, 20)
    for each in (batch(0, 10, 3), batch(10, 20, 4)):
        job.add(each)
    assert job.progress() == LoadProgress("running", bytes_total=20, bytes_done=20, lines=7, blanks=7)


def test_a_load_that_begins_anew_keeps_what_it_counted(job: LoadJob) -> None:
    job.begin("source", 0, 20)
    job.add(batch(0, 10, 3))
    job.restart()
    assert (job.may_begin, job.progress().state, job.progress().lines) == (True, "queued", 3)


def test_a_load_waits_until_another_one_has_ended(job: LoadJob) -> None:
    other = LoadJob(Path("y.log"), "y.log", None, by_content=False)
    job.wait_for(other)
    before = job.may_begin
    other.fail("no such file")
    assert (before, job.may_begin) == (False, True)


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_load_that_has_ended_does_not_begin_again(job: LoadJob, state: str) -> None:
    if state == "done":
        job.succeed()
    else:
        job.fail("no such file")
    assert (job.wait(0), job.may_begin, job.progress().state) == (True, False, state)
