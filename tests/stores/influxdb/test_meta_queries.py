"""What counts of the reports of processors, whatever their clocks say."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace

import polars as pl
import pytest

from tailmetrics import status
from tailmetrics.status import SourceStatus
from tailmetrics.stores.influxdb.meta_queries import reported

ONE = SourceStatus("one", "/logs/a", 1, 2, 0, 10, 20, 10, 0.5, "live")
OTHER = replace(ONE, source_id="two")
DAY = 86_400


def rows_of(*parts: tuple[float, SourceStatus], processor: str = "node") -> pl.DataFrame:
    """The parts of a report, each with the time of the clock by which it was said."""
    return pl.DataFrame(
        [
            (processor, str(place), json.dumps({"at": at, "statuses": [asdict(status)]}))
            for place, (at, status) in enumerate(parts)
        ],
        schema=["processor", "part", "_value"],
        orient="row",
    )


def test_a_report_after_the_clock_stepped_back_hides_the_longer_one_before() -> None:
    now = time.time()
    assert reported(rows_of((now, ONE), (now + 3600, OTHER)), {}) == (ONE,)


@pytest.mark.parametrize("step", [-DAY, DAY])
def test_who_says_something_new_lives_whatever_the_clock_says(step: int) -> None:
    heard: dict[str, tuple[float, float]] = {}
    at = time.time() + step
    reported(rows_of((at, ONE)), heard)
    assert reported(rows_of((at + 10, ONE)), heard) == (ONE,)


@pytest.mark.parametrize("ahead", [0, DAY])
def test_who_says_nothing_new_for_a_minute_is_no_more(monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    heard: dict[str, tuple[float, float]] = {}
    rows = rows_of((time.time() + ahead, ONE))
    assert reported(rows, heard) == (ONE,)
    later = time.monotonic() + 61
    monkeypatch.setattr(status.time, "monotonic", lambda: later)
    assert reported(rows, heard) == ()


def test_at_the_first_look_an_old_report_does_not_count() -> None:
    assert reported(rows_of((time.time() - 61, ONE)), {}) == ()
