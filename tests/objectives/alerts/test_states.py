"""From one evaluation to the next: the states of one alert, what is kept of them, and how much."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from tailmetrics.errors import SchemaMismatch
from tailmetrics.objectives.alerts import states
from tailmetrics.objectives.alerts.alert import Alert, AlertKind
from tailmetrics.objectives.alerts.rules import Condition
from tailmetrics.objectives.alerts.states import Book, evaluated
from tailmetrics.objectives.definitions import Receiver
from tests.builders import at

START = at("2026-03-01T12:00")
MINUTE = timedelta(minutes=1)
CONDITION = Condition("key", "latency", "slow", "a", "ticket", 2.0, 1.0, "slow requests")
HOOK = Receiver.model_validate({"name": "hook", "kind": "webhook", "url": "http://localhost/"})


def unsilenced(_: Alert) -> str | None:
    return None


def after(book: Book, minute: int, *conditions: Condition) -> Book:
    return evaluated(book, conditions, START + minute * MINUTE, unsilenced, (HOOK,))


def test_an_alert_fires_at_once_and_is_resolved_when_its_condition_ends() -> None:
    firing = after(Book(), 1, CONDITION)
    resolved = after(firing, 2)
    assert [(alert.state, alert.since, alert.started_at) for alert in resolved.history] == [
        ("resolved", START + 2 * MINUTE, START + MINUTE),
        ("firing", START + MINUTE, START + MINUTE),
    ]
    assert [entry.group.state for entry in resolved.outbox.entries] == ["firing", "resolved"]
    assert resolved.history[0].summary == f"No longer so: {firing.alerts[0].summary}"


def test_an_alert_that_goes_on_has_the_figures_of_now_and_is_no_change() -> None:
    book = after(Book(), 1, CONDITION)
    worse = after(book, 2, replace(CONDITION, value=3.0, summary="slower requests"))
    [alert] = worse.alerts
    assert (alert.value, alert.summary, alert.since) == (3.0, "slower requests", START + MINUTE)
    assert worse.history == book.history
    assert worse.is_like(book)


def test_a_resolved_alert_is_shown_for_an_hour() -> None:
    book = after(after(Book(), 1, CONDITION), 2)
    assert len(after(book, 61).alerts) == 1
    assert after(book, 62).alerts == ()


def test_while_requests_are_missing_nothing_is_resolved_and_nobody_is_silent() -> None:
    firing = after(Book(), 1, CONDITION)
    missing = partial(evaluated, silenced_by=unsilenced, is_complete=False)
    held = missing(firing, [replace(CONDITION, key="other", kind="silent")], START + 2 * MINUTE)
    assert held.alerts == firing.alerts
    assert [alert.state for alert in after(held, 3).alerts] == ["resolved"]
    assert [alert.key for alert in missing(firing, [replace(CONDITION, key="other")], START).alerts] == [
        "key",
        "other",
    ]


@pytest.mark.parametrize(("kind", "state"), [("silent", "firing"), ("lag", "resolved")])
def test_while_requests_are_missing_a_silent_customer_stays_so_and_a_log_does_not(
    kind: AlertKind, state: str
) -> None:
    book = after(Book(), 1, replace(CONDITION, kind=kind))
    for moment in (START + 2 * MINUTE, START + 3 * MINUTE):
        book = evaluated(book, [], moment, unsilenced, is_complete=False)
    assert [alert.state for alert in book.alerts] == [state]


def test_while_requests_are_missing_a_customer_who_was_silent_is_not_so_again() -> None:
    silent = replace(CONDITION, kind="silent")
    resolved = after(after(Book(), 1, silent), 2)
    book = evaluated(resolved, [silent], START + 3 * MINUTE, unsilenced, is_complete=False)
    assert [alert.state for alert in book.alerts] == ["resolved"]


def test_an_alert_that_has_not_held_for_long_is_pending_and_told_nobody() -> None:
    condition = replace(CONDITION, for_seconds=120)
    pending = after(Book(), 1, condition)
    assert [(alert.state, alert.started_at, alert.episode) for alert in pending.alerts] == [
        ("pending", None, 0)
    ]
    assert (pending.history, pending.outbox.entries) == ((), ())
    assert not after(pending, 2, condition).history
    [firing] = after(pending, 3, condition).alerts
    assert (firing.state, firing.since, firing.episode) == ("firing", START + 3 * MINUTE, 1)
    assert after(pending, 2).alerts == ()


def test_ids_differ_between_alerts_episodes_and_states_for_ever() -> None:
    book = Book()
    other = replace(CONDITION, key="other")
    for day in range(3):
        book = after(book, day * 1_440, CONDITION, other)
        book = after(book, day * 1_440 + 1)
        book = after(book, day * 1_440 + 100)
        assert book.alerts == ()
    assert len({alert.notification_id for alert in book.history}) == 12


def test_only_the_last_changes_are_kept() -> None:
    conditions = [replace(CONDITION, key=str(number)) for number in range(700)]
    book = after(after(Book(), 1, *conditions), 2)
    assert len(book.history) == 1_000
    assert {alert.state for alert in book.history[:700]} == {"resolved"}


def test_of_too_many_alerts_those_that_fire_already_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "MOST_ALERTS", 2)
    conditions = [replace(CONDITION, key=str(number)) for number in range(4)]
    book = after(Book(), 1, *conditions[2:])
    for minute, ended in enumerate((4, 3), 2):
        book = after(book, minute, *conditions[:ended])
    firing = [alert.key for alert in book.alerts if alert.state == "firing"]
    assert firing == ["2", "0"]


def test_what_is_kept_is_read_again_as_it_was() -> None:
    book = after(after(Book(), 1, CONDITION), 2, replace(CONDITION, key="other", for_seconds=60))
    assert Book.from_json(book.to_json()) == book
    assert Book.from_json("") == Book()


@pytest.mark.parametrize("text", ['{"version": 2}', "[]", "x"])
def test_what_another_version_kept_is_left_alone(text: str) -> None:
    with pytest.raises(SchemaMismatch, match="another version"):
        Book.from_json(text)
