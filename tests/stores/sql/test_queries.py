"""What processors say comes back from its text as it was said."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from tailmetrics import status as status_module
from tailmetrics.status import SourceStatus, SourceWarning
from tailmetrics.stores import Store
from tailmetrics.stores.sql.queries import statuses_from
from tailmetrics.stores.sql.writer import report_of
from tests.builders import at, batch_of, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import ONE


def test_a_report_is_read_as_it_was_written() -> None:
    status = SourceStatus("one", "/logs/\u00e4", 1, 2**70, 0, 10, 20, 10, 0.5, "live", "an error")
    said = (status, replace(status, updated_at=at("2024-01-01T12:00:00.000001"), last_error=None))
    assert statuses_from(report_of(said)) == said


def test_format_and_warnings_come_back() -> None:
    warnings = (SourceWarning("rejects", "\u00e4"), SourceWarning("duration", "long"))
    status = SourceStatus("", "/x", 0, 0, 0, 0, 0, 0, 0.0, "undecided", "why", None, "json", warnings)
    assert statuses_from(report_of([status])) == (status,)


def test_what_an_older_version_reported_is_read_without_format_and_warnings() -> None:
    status = SourceStatus("one", "/x", 1, 2, 0, 10, 20, 10, 0.5, "live")
    said = json.loads(report_of([status]))
    for name in ("format", "warnings"):
        del said[0][name]
    assert statuses_from(json.dumps(said)) == (status,)


def test_a_processor_without_sources_says_nothing() -> None:
    assert statuses_from(report_of([])) == ()


def test_what_a_processor_said_that_is_no_more_does_not_count(
    store: Store, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = store.register(source_of())
    store.write([batch_of(source, ONE)])
    missing = SourceStatus("", "nope.log", 0, 0, 0, 0, 0, 0, 0.0, "missing", "no such file")
    store.report("node", [missing])
    assert [each.state for each in ask(store.status()).sources] == ["missing"]
    later = time.monotonic() + 61
    monkeypatch.setattr(status_module.time, "monotonic", lambda: later)
    assert [each.state for each in ask(store.status()).sources] == ["stored"]
    store.report("node", [missing])
    assert [each.state for each in ask(store.status()).sources] == ["missing"]
