"""What processors say comes back from its text as it was said."""

from __future__ import annotations

from dataclasses import replace

from tailmetrics.status import SourceStatus
from tailmetrics.stores.sql.queries import statuses_from
from tailmetrics.stores.sql.writer import report_of
from tests.builders import at


def test_a_report_is_read_as_it_was_written() -> None:
    status = SourceStatus("one", "/logs/\u00e4", 1, 2**70, 0, 10, 20, 10, 0.5, "live", "an error")
    said = (status, replace(status, updated_at=at("2024-01-01T12:00:00.000001"), last_error=None))
    assert statuses_from(report_of(said)) == said


def test_a_processor_without_sources_says_nothing() -> None:
    assert statuses_from(report_of([])) == ()
