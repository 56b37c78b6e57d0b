"""A replay of what is stored says what an evaluation each minute would have said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.alerts.evaluator import Evaluator
from tailmetrics.objectives.alerts.replay import replayed
from tailmetrics.objectives.alerts.states import ALERTS, Book
from tailmetrics.objectives.definitions import Document
from tailmetrics.status import SourceStatus
from tests.builders import at
from tests.objectives.alerts.requests_in_memory import HOUR, MINUTE, Requests, minute_of

START = at("2026-03-01T12:00")
DOCUMENT = Document.model_validate(
    {
        "interval": "5m",
        "objective": [{"name": "up", "target": 99.0}],
        "rule": [{"burn_rate": 2, "long": "3h", "short": "15m"}],
        "silent": [{"name": "quiet", "after": "1h"}],
    }
)


def incidents() -> Requests:
    requests = Requests()
    for customer, hours in (("a", (0, 4, 11)), ("b", (7,))):
        for hour in hours:
            for minute in range(40):
                moment = START + hour * HOUR + minute * MINUTE
                requests.commit(minute_of(moment, customer, 20, 3 if minute < 20 else 0))
    return requests


def changes_of(alerts: Sequence[Alert]) -> list[tuple[str, str, str, datetime]]:
    return [(alert.kind, alert.subject, alert.state, alert.since) for alert in alerts]


def test_a_replay_equals_the_evaluations_one_after_the_other() -> None:
    requests = incidents()
    now = [START]

    async def no_sources() -> list[SourceStatus]:
        return []

    async def one_after_the_other() -> Book:
        evaluator = Evaluator(requests.store, lambda: DOCUMENT, no_sources, clock=lambda: now[0])
        while now[0] <= START + 14 * HOUR:
            await evaluator.step()
            now[0] += 5 * MINUTE
        return Book.from_json((await requests.store.note(ALERTS)).text)

    async def at_once() -> list[Alert]:
        return [alert async for alert in replayed(requests.store, DOCUMENT, START, START + 14 * HOUR)]

    replay = changes_of(asyncio.run(at_once()))
    assert replay == list(reversed(changes_of(asyncio.run(one_after_the_other()).history)))
    assert {(kind, state) for kind, _, state, _ in replay} == {
        (kind, state) for kind in ("burn_rate", "silent") for state in ("firing", "resolved")
    }
