"""Alerts follow what is written, and are kept, on every store alike."""

from __future__ import annotations

from typing import Any

import pytest

from tailmetrics.objectives.alerts.evaluator import Evaluator
from tailmetrics.objectives.alerts.silences import add_silence, silences_at
from tailmetrics.objectives.alerts.states import ALERTS, Book
from tailmetrics.objectives.definitions import Document
from tailmetrics.status import SourceStatus
from tailmetrics.stores import Store
from tests.builders import at, batch_of, moved, source_of
from tests.objectives.alerts.requests_in_memory import HOUR, MINUTE, minute_of
from tests.stores.conftest import BACKENDS, SUMMARIZED, Ask

START = at("2026-03-01T12:00")
DOCUMENT = Document.model_validate(
    {
        "objective": [
            {"name": "up", "target": 99.0, "exclude_paths": ["/health*"]},
            {"name": "fast", "target": 95.0, "kind": "latency", "limit_seconds": 0.5},
        ],
        "rule": [{"burn_rate": 2, "long": "2h", "short": "10m"}],
    }
)


async def _no_sources() -> list[SourceStatus]:
    return []


# Counts are those of records, whether or not there are blocks beside them.
@pytest.mark.parametrize(
    "settings", sorted(name for name in BACKENDS if not name.endswith(SUMMARIZED)), indirect=True
)
def test_alerts_fire_by_what_is_written_late_lines_included_and_outlive_their_process(
    store: Store, ask: Ask[Any]
) -> None:
    now = [START]
    source = store.register(source_of())

    def evaluator() -> Evaluator:
        return Evaluator(store, lambda: DOCUMENT, _no_sources, clock=lambda: now[0])

    def states(book: Book) -> list[tuple[str, str, str]]:
        return sorted((alert.name, alert.subject, alert.state) for alert in book.alerts)

    first = batch_of(source, minute_of(START - MINUTE, "a", 97, 3) + minute_of(START - MINUTE, "b", 100, 0))
    store.write([first])
    running = evaluator()
    assert states(ask(running.step())) == [("up", "a", "firing")]
    slow = minute_of(START - 3 * MINUTE, "b", 50, 0, duration=0.5)
    store.write([batch_of(moved(source, first), slow)])
    now[0] += MINUTE
    firing = [("fast", "b", "firing"), ("up", "a", "firing")]
    assert states(ask(running.step())) == firing
    again = evaluator()
    assert states(ask(again.step())) == firing
    now[0] += HOUR
    resolved = ask(again.step())
    assert states(resolved) == [("fast", "b", "resolved"), ("up", "a", "resolved")]
    assert Book.from_json(ask(store.note(ALERTS)).text) == resolved
    silence = ask(
        add_silence(
            store, customer="b", rule="*", until=now[0] + HOUR, reason="known", created_by="me", now=now[0]
        )
    )
    assert ask(silences_at(store, now[0])) == (silence,)
