"""Alerts over time: which fire and are resolved when, what is told of them, whatever ends the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import datetime
from fractions import Fraction
from typing import Any

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.objectives.alerts.evaluator import Evaluator
from tailmetrics.objectives.alerts.keeper import Superseded
from tailmetrics.objectives.alerts.lease import Lease
from tailmetrics.objectives.alerts.silences import add_silence, end_silence
from tailmetrics.objectives.alerts.states import ALERTS, Book
from tailmetrics.objectives.definitions import Document, Receiver
from tailmetrics.objectives.notifications import http
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Outcome
from tailmetrics.stats import CountsQuery
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import Note
from tailmetrics.stores.in_memory import InMemoryStore
from tests.builders import at
from tests.objectives.alerts.requests_in_memory import HOUR, MINUTE, Requests, minute_of

START = at("2026-03-01T12:00")
PER_MINUTE = 25
EVERY = 2  # minutes from one evaluation to the next
TARGET = 99.5
WORKBOOK = {"14.4": (60, 5), "6": (360, 30), "1": (4_320, 360)}  # rate: minutes of both windows
RULE = {"burn_rate": 14.4, "long": "1h", "short": "5m", "min_requests": 1}
WEBHOOK = {"name": "hook", "kind": "webhook", "url": "http://localhost/"}


class Killed(BaseException):
    """The process ends here."""


class Mortal(InMemoryStore):
    """A store whose process is killed at one of the moments before and behind what it is asked."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.moments_left = -1

    def moment(self) -> None:
        self.moments_left -= 1
        if self.moments_left == 0:
            raise Killed

    async def note(self, name: str) -> Note:
        self.moment()
        return await super().note(name)

    async def keep_note(self, name: str, text: str, version: int) -> bool:
        self.moment()
        kept = await super().keep_note(name, text, version)
        self.moment()
        return kept


class Service:
    """An evaluator with a clock that is set by hand, over a store that outlives it."""

    def __init__(self, store: InMemoryStore | None = None, **tables: Any) -> None:
        self.requests = Requests(store)
        self.now = START
        self.document = Document.model_validate(tables)
        self.restart()

    def restart(self) -> None:
        self.evaluator = Evaluator(
            self.requests.store, lambda: self.document, _no_sources, clock=lambda: self.now
        )

    def step(self, now: datetime) -> Book:
        self.now = now
        return asyncio.run(self.evaluator.step())

    def kept(self) -> Book:
        return Book.from_json(asyncio.run(self.requests.store.note(ALERTS)).text)

    def states(self) -> list[tuple[str, str]]:
        return [(alert.subject, alert.state) for alert in self.kept().alerts]


async def _no_sources() -> list[SourceStatus]:
    return []


class Client:
    """In place of one of HTTP, which takes a while to make."""

    async def aclose(self) -> None:
        pass


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What a webhook was sent."""
    messages: list[Message] = []

    async def post(client: object, receiver: Receiver, message: Message) -> Outcome:
        messages.append(message)
        return Outcome("delivered")

    monkeypatch.setattr(http, "post_message", post)
    monkeypatch.setattr(http, "new_client", Client)
    return messages


# A made incident: failures rise from 0 to 20 % over an hour, and fall to 0 over another.


BAD = [round(PER_MINUTE * max(0.0, 0.2 - abs(minute - 120) * 0.2 / 60)) for minute in range(600)]


def _expected() -> list[tuple[str, str, int]]:
    """Rate, state and minute of each change, by the workbook's arithmetic over minutes."""
    found: list[tuple[str, str, int]] = []
    firing: set[str] = set()
    for end in range(EVERY, 600, EVERY):
        for rate, windows in WORKBOOK.items():
            shares = []
            for length in windows:
                inside = range(max(0, end - length), end)
                shares.append(Fraction(sum(BAD[inside.start : inside.stop]), len(inside) * PER_MINUTE))
            burns = [share / Fraction("0.005") for share in shares]
            holds = all(burn >= Fraction(rate) for burn in burns) and end * PER_MINUTE >= 100
            if holds != (rate in firing):
                found.append((rate, "firing" if holds else "resolved", end))
                firing ^= {rate}
    return found


def test_alerts_of_an_incident_fire_and_end_when_the_workbook_says_to_one_evaluation() -> None:
    service = Service(objective=[{"name": "up", "target": TARGET}])

    async def replay() -> None:
        for end in range(EVERY, 600, EVERY):
            inside = range(end - EVERY, end)
            told = [
                minute_of(START + each * MINUTE, "a", PER_MINUTE - BAD[each], BAD[each]) for each in inside
            ]
            service.requests.commit([record for minute in told for record in minute])
            service.now = START + end * MINUTE
            await service.evaluator.step()

    asyncio.run(replay())
    changes = [
        (f"{alert.limit:g}", alert.state, (alert.since - START) // MINUTE)
        for alert in reversed(service.kept().history)
    ]
    assert sorted(changes) == sorted(_expected())
    assert len(changes) == 6


def test_an_incident_that_is_loaded_late_is_told_when_it_is_known() -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE])
    service.requests.commit(minute_of(START - 3 * MINUTE, "a", 100, 0))
    service.step(START)
    assert service.states() == []
    service.requests.commit(minute_of(START - 4 * MINUTE, "a", 0, 100))
    service.step(START)
    assert service.states() == [("a", "firing")]


# Whatever happens, each change is told, under one id.


async def _evaluate_and_deliver(evaluator: Evaluator) -> None:
    await evaluator.step()
    await evaluator.sender.send_due()


def _run_until_killed(service: Service, moments: int) -> bool:
    store = service.requests.store
    assert isinstance(store, Mortal)
    store.moments_left = moments
    try:
        asyncio.run(_evaluate_and_deliver(service.evaluator))
    except Killed:
        return True
    finally:
        store.moments_left = -1
    return False


@pytest.mark.parametrize("killed_at", ["firing", "resolved"])
def test_killed_at_any_moment_it_neither_forgets_nor_repeats(killed_at: str, sent: list[Message]) -> None:
    for moment in range(1, 20):
        sent.clear()
        service = Service(
            Mortal(), objective=[{"name": "up", "target": 99.0}], rule=[RULE], receiver=[WEBHOOK]
        )
        service.requests.commit(minute_of(START, "a", 0, 100))
        is_killed = False
        for minute in range(1, 8):
            service.now = START + minute * MINUTE
            is_due = minute == {"firing": 1, "resolved": 6}[killed_at]
            if _run_until_killed(service, moment if is_due else -1):
                is_killed = True
                service.restart()
                _run_until_killed(service, -1)
        told = {(message.status, message.alerts[0].id, message.id) for message in sent}
        assert sorted(status for status, _, _ in told) == ["firing", "resolved"]
        assert [alert.state for alert in service.kept().history] == ["resolved", "firing"]
        assert service.kept().outbox.entries == ()
        if not is_killed:
            break
    assert moment > 5


def test_a_restart_forgets_no_alert_and_tells_none_again(sent: list[Message]) -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE], receiver=[WEBHOOK])
    service.requests.commit(minute_of(START, "a", 0, 100))
    for minute in (1, 2, 3):
        service.now = START + minute * MINUTE
        asyncio.run(_evaluate_and_deliver(service.evaluator))
        service.restart()
    assert service.states() == [("a", "firing")]
    assert [message.status for message in sent] == ["firing"]


def test_after_an_outage_nothing_is_resolved_before_the_lines_of_it_have_come() -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE])
    waiting = True

    async def step(minute: int) -> list[str]:
        service.now = START + minute * MINUTE
        return [alert.state for alert in (await service.evaluator.step()).alerts]

    service.requests.commit(minute_of(START - MINUTE, "a", 0, 100))
    assert asyncio.run(step(0)) == ["firing"]
    service.evaluator = Evaluator(
        service.requests.store,
        lambda: service.document,
        _no_sources,
        is_waiting=lambda _: waiting,
        clock=lambda: service.now,
    )
    assert asyncio.run(step(20)) == ["firing"]
    service.requests.commit(minute_of(START + 19 * MINUTE, "a", 0, 100))
    waiting = False
    assert asyncio.run(step(20)) == ["firing"]
    assert len(service.kept().history) == 1


def test_an_alert_whose_severity_is_changed_ends_for_some_and_begins_for_others(sent: list[Message]) -> None:
    service = Service()
    service.requests.commit(minute_of(START, "a", 0, 100))
    receivers = [{**WEBHOOK, "name": each, "severities": [each]} for each in ("page", "ticket")]
    for severity in ("ticket", "page"):
        service.now += MINUTE
        service.document = Document.model_validate(
            {
                "objective": [{"name": "up", "target": 99.0}],
                "rule": [{**RULE, "severity": severity}],
                "receiver": receivers,
            }
        )
        for _ in range(2):  # a message to each receiver at a time
            asyncio.run(_evaluate_and_deliver(service.evaluator))
    told = [(message.receiver, message.status) for message in sent]
    assert sorted(told) == [("page", "firing"), ("ticket", "firing"), ("ticket", "resolved")]


def test_an_alert_that_fires_again_is_told_under_another_id(sent: list[Message]) -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE], receiver=[WEBHOOK])
    for hour in range(2):
        begin = START + 2 * hour * HOUR
        service.requests.commit(minute_of(begin, "a", 0, 100))
        for minute in (1, 7):
            service.now = begin + minute * MINUTE
            asyncio.run(_evaluate_and_deliver(service.evaluator))
    assert [message.status for message in sent] == ["firing", "resolved"] * 2
    assert len({message.alerts[0].id for message in sent}) == 4


def test_a_thousand_customers_that_fail_together_are_one_message(sent: list[Message]) -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE], receiver=[WEBHOOK])
    service.requests.commit([(START, f"customer {number}", "/", 500, 0.1) for number in range(1_000)])
    service.now = START + MINUTE
    asyncio.run(_evaluate_and_deliver(service.evaluator))
    assert [message.count for message in sent] == [1_000]


# Silences and maintenance.


def _silenced_service() -> Service:
    return Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE], receiver=[WEBHOOK])


def _silence(service: Service, minutes: int, customer: str = "a", rule: str = "u*") -> str:
    added = add_silence(
        service.requests.store,
        customer=customer,
        rule=rule,
        until=service.now + minutes * MINUTE,
        reason="known",
        created_by="me",
        now=service.now,
    )
    return asyncio.run(added).id


def _minute(service: Service, minute: int) -> None:
    service.now = START + minute * MINUTE
    asyncio.run(_evaluate_and_deliver(service.evaluator))


def test_a_silenced_alert_is_shown_and_not_told_until_the_silence_ends(sent: list[Message]) -> None:
    service = _silenced_service()
    silence = _silence(service, 3)
    service.requests.commit(minute_of(START, "a", 0, 100))
    for minute in (1, 2):
        _minute(service, minute)
    [alert] = service.kept().alerts
    assert (alert.state, alert.silenced_by, sent) == ("firing", silence, [])
    _minute(service, 3)
    [alert] = service.kept().alerts
    assert (alert.silenced_by, [message.status for message in sent]) == (None, ["firing"])


def test_a_silence_that_is_ended_early_lets_a_firing_alert_be_told(sent: list[Message]) -> None:
    service = _silenced_service()
    silence = _silence(service, 60)
    service.requests.commit(minute_of(START, "a", 0, 100))
    _minute(service, 1)
    asyncio.run(end_silence(service.requests.store, silence, service.now))
    _minute(service, 2)
    assert [message.status for message in sent] == ["firing"]


def test_an_alert_that_begins_and_ends_in_a_silence_is_not_told(sent: list[Message]) -> None:
    service = _silenced_service()
    _silence(service, 60)
    service.requests.commit(minute_of(START, "a", 0, 100))
    for minute in (1, 7):
        _minute(service, minute)
    assert service.states() == [("a", "resolved")]
    assert sent == []


def test_whoever_was_told_that_an_alert_fires_is_told_its_end_in_a_silence_too(sent: list[Message]) -> None:
    service = _silenced_service()
    service.requests.commit(minute_of(START, "a", 0, 100))
    _minute(service, 1)
    _silence(service, 60)
    for minute in (2, 7):
        _minute(service, minute)
    assert [message.status for message in sent] == ["firing", "resolved"]


def test_silences_of_others_silence_nothing(sent: list[Message]) -> None:
    service = _silenced_service()
    _silence(service, 60, customer="b")
    _silence(service, 60, rule="down")
    service.requests.commit(minute_of(START, "a", 0, 100))
    _minute(service, 1)
    assert [message.status for message in sent] == ["firing"]


def test_a_maintenance_silences_and_one_that_is_excluded_does_not_count(sent: list[Message]) -> None:
    window = {"begin": START, "end": START + 3 * MINUTE, "reason": "move"}
    service = Service(
        objective=[{"name": "up", "target": 99.0}], rule=[RULE], receiver=[WEBHOOK], maintenance=[window]
    )
    service.requests.commit(minute_of(START, "a", 0, 100))
    _minute(service, 1)
    assert [alert.silenced_by for alert in service.kept().alerts] == ["maintenance: move"]
    service.document = Document.model_validate(
        {
            "objective": [{"name": "up", "target": 99.0}],
            "rule": [RULE],
            "maintenance": [window | {"excluded": True}],
        }
    )
    _minute(service, 2)
    assert (service.states(), sent) == ([("a", "resolved")], [])


# A latency rule is pending first.


def test_a_condition_that_must_hold_for_a_time_is_pending_for_it() -> None:
    rule = {"name": "slow", "limit_seconds": 1, "window": "1m", "for": "3m", "min_requests": 1}
    service = Service(latency=[rule])
    for minute in (0, 1, 3, 4, 5, 6):
        service.requests.commit(minute_of(START + minute * MINUTE, "a", 10, 0, duration=2.0))
    seen = [[state for _, state in _stepped(service, minute)] for minute in range(1, 9)]
    held = [["pending"], ["pending"], [], ["pending"], ["pending"], ["pending"], ["firing"], ["resolved"]]
    assert seen == held
    [resolved, firing] = service.kept().history
    assert (firing.since, resolved.since) == (START + 7 * MINUTE, START + 8 * MINUTE)


def _stepped(service: Service, minute: int) -> list[tuple[str, str]]:
    service.step(START + minute * MINUTE)
    return service.states()


# As a task.


def _run(*coroutines: Coroutine[Any, Any, None], until: Callable[[], bool]) -> None:
    """Run tasks until something holds, within 20 seconds."""

    async def both() -> None:
        tasks = [asyncio.create_task(each) for each in coroutines]
        try:
            async with asyncio.timeout(20) if hasattr(asyncio, "timeout") else contextlib.nullcontext():
                while not until():
                    await asyncio.sleep(0.01)
                    assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(both())


def test_a_store_that_fails_is_told_of_and_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE])
    problems: list[str | None] = []

    async def fail(query: object) -> None:
        problems.append(service.evaluator.problem)
        if isinstance(query, CountsQuery) and len(problems) < 10:
            raise StoreUnavailable("the server is away") if len(problems) < 5 else ValueError("a bug")

    monkeypatch.setattr("tailmetrics.objectives.alerts.evaluator._FIRST_REST_SECONDS", 0.001)
    service.requests.store.before_read = fail
    service.requests.commit(minute_of(START - MINUTE, "a", 0, 100))
    _run(service.evaluator.run(), until=lambda: bool(service.evaluator.keeper.book.alerts))
    assert service.evaluator.problem is None
    assert {"the server is away", "ValueError: a bug"} <= set(problems)


def test_one_whose_alerts_were_changed_by_another_process_stops_and_changes_nothing() -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE])
    service.step(START)
    other = Evaluator(service.requests.store, lambda: service.document, _no_sources, clock=lambda: START)
    service.requests.commit(minute_of(START - MINUTE, "a", 0, 100))
    asyncio.run(other.step())
    kept = service.kept()
    with pytest.raises(Superseded):
        service.step(START)
    assert service.kept() == kept
    service.step(START)
    assert service.kept().history == kept.history


@pytest.mark.parametrize("is_told_so", ["by the store", "by the lease"])
def test_one_that_evaluates_again_sends_nothing_that_another_has_sent(
    is_told_so: str, sent: list[Message]
) -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE], receiver=[WEBHOOK])
    store = service.requests.store
    service.requests.commit(minute_of(START - MINUTE, "a", 0, 100))
    first, other = (
        Evaluator(store, lambda: service.document, _no_sources, lease=lease, clock=lambda: START)
        for lease in (Lease(store), None)
    )
    asyncio.run(first.step())
    asyncio.run(_evaluate_and_deliver(other))
    if is_told_so == "by the lease":
        _run(first.run(), until=lambda: first.keeper.book.evaluated_at is not None and first.is_leading)
    else:
        service.requests.commit(minute_of(START - MINUTE, "b", 0, 100))
        with pytest.raises(Superseded):
            asyncio.run(first.step())
    asyncio.run(first.sender.send_due())
    assert [message.status for message in sent] == ["firing"]


def test_only_the_holder_of_the_lease_evaluates_and_another_goes_on_when_it_ends() -> None:
    service = Service(objective=[{"name": "up", "target": 99.0}], rule=[RULE])
    store = service.requests.store
    service.requests.commit(minute_of(START - MINUTE, "a", 0, 100))

    def evaluator() -> Evaluator:
        return Evaluator(
            store, lambda: service.document, _no_sources, lease=Lease(store), clock=lambda: START
        )

    first, second = evaluator(), evaluator()
    _run(first.run(), until=lambda: bool(first.keeper.book.alerts))
    _run(second.run(), until=lambda: bool(second.keeper.book.alerts))
    assert len(service.kept().history) == 1
