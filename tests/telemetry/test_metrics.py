from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from tailmetrics.records import REJECT_SCHEMA, ParsedLines, no_records, no_rejects
from tailmetrics.sources import Batch, Checkpoint
from tailmetrics.status import SourceState, SourceStatus, SourceWarning
from tailmetrics.telemetry.metrics import Metrics

STATUS = SourceStatus(
    "a1", "x.log", 1, 2, 0, position=60, size=100, lag_bytes=40, lag_seconds=1.5, state="live"
)


def batch(start: int, end: int, *reasons: str, blanks: int = 0) -> Batch:
    """A batch of rejected and blank lines over bytes [start, end)."""
    rows = [(start, reason, "line") for reason in reasons]
    rejects = pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row") if rows else no_rejects()
    return Batch(
        "a1", "x.log", start, Checkpoint(end, 0, "", 0, ""), ParsedLines(no_records(), rejects, blanks)
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"tailmetrics_{name}", labels)


def test_a_commit_counts_the_lines_and_bytes_of_all_its_batches(metrics: Metrics) -> None:
    metrics.committed([batch(0, 30, "path: x", blanks=2), batch(30, 100, blanks=1)], 0.02)
    names = ("lines_total", "blank_lines_total", "records_total", "bytes_total", "commit_seconds_count")
    assert [value(metrics, name) for name in names] == [4, 3, 0, 100, 1]


def test_a_commits_seconds_fall_into_their_bucket(metrics: Metrics) -> None:
    metrics.committed([batch(0, 1, blanks=1)], 0.02)
    assert [value(metrics, "commit_seconds_bucket", le=bound) for bound in ("0.01", "0.025")] == [0, 1]


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("status_code: found '999', expected 100 to 599", "status_code"),
        ("timestamp: found 'x', expected a time", "timestamp"),
        ("line: found a NUL byte", "line"),
        ("status_code", "status_code"),
        ("offset: x", "other"),
        ("cust_17: x", "other"),
        ("", "other"),
    ],
)
def test_rejects_are_labelled_by_field_and_never_by_text(metrics: Metrics, reason: str, label: str) -> None:
    metrics.committed([batch(0, 10, reason, reason)], 0.01)
    assert value(metrics, "rejects_total", reason=label) == 2


def test_reject_series_begin_at_zero(metrics: Metrics) -> None:
    assert value(metrics, "rejects_total", reason="duration") == 0


def test_lag_is_what_the_sources_say_at_the_scrape(metrics: Metrics) -> None:
    statuses = [STATUS]
    metrics.watch_sources(lambda: statuses)
    statuses[0] = replace(STATUS, lag_bytes=7)
    assert value(metrics, "source_lag_bytes", source="a1", path="x.log") == 7


def test_a_source_that_is_gone_is_not_shown(metrics: Metrics) -> None:
    statuses = [STATUS]
    metrics.watch_sources(lambda: statuses)
    statuses.clear()
    assert value(metrics, "source_lag_seconds", source="a1", path="x.log") is None


@pytest.mark.parametrize(("state", "up"), [("live", 1), ("missing", 0), ("unreadable", 0), ("undecided", 0)])
def test_a_source_is_up_when_its_lines_can_be_read(metrics: Metrics, state: SourceState, up: int) -> None:
    metrics.watch_sources(lambda: [replace(STATUS, state=state)])
    assert value(metrics, "source_up", source="a1", path="x.log") == up


def test_a_warning_is_shown_by_its_kind_and_without_its_text(metrics: Metrics) -> None:
    warned = replace(STATUS, warnings=(SourceWarning("duration", "median of 4000 s"),))
    metrics.watch_sources(lambda: [warned])
    assert value(metrics, "source_warning", source="a1", path="x.log", kind="duration") == 1
    assert value(metrics, "source_warning", source="a1", path="x.log", kind="rejects") is None
    assert b"4000" not in metrics.render()


def test_queries_are_counted_by_endpoint_and_status(metrics: Metrics) -> None:
    metrics.observe_query("/stats", 200, 0.003)
    metrics.observe_query("/stats", 503, 0.003)
    assert value(metrics, "queries_total", endpoint="/stats", status="503") == 1
    assert value(metrics, "query_seconds_count", endpoint="/stats") == 2


def test_two_services_in_one_process_count_apart(metrics: Metrics) -> None:
    metrics.observe_query("/stats", 200, 0.003)
    assert value(Metrics(), "queries_total", endpoint="/stats", status="200") is None


def test_the_text_form_has_each_metric(metrics: Metrics) -> None:
    assert b"tailmetrics_lines_total 0.0" in metrics.render()
