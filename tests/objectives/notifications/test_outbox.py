from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications.outbox import (
    GIVEN_UP_AFTER,
    MOST_WAITING,
    Attempt,
    Outbox,
    Outcome,
    delivery_status,
)
from tests.objectives.notifications.builders import NOW, SECOND, make_alert

HOOK = Receiver(name="hook", kind="webhook", url="http://127.0.0.1/")
PAGER = Receiver(name="pager", kind="command", command=("page",), severities=("page",))
MANAGER = Receiver(name="manager", kind="alertmanager", url="http://127.0.0.1/")

DELIVERED = Outcome("delivered")
AWAY = Outcome("failed", "connection refused")
REFUSED = Outcome("refused", "answered 400 Bad Request")


def told(*alerts: Alert, receivers: tuple[Receiver, ...] = (HOOK,)) -> Outbox:
    return Outbox().with_changes(alerts, receivers, NOW)


def tried(outbox: Outbox, outcome: Outcome, now: datetime) -> Outbox:
    """After one attempt at what is due to the webhook, which there has to be."""
    entry = next(entry for entry in outbox.due(now) if entry.receiver == "hook")
    return outbox.after(Attempt("hook", entry.id, outcome), now)


def test_each_receiver_that_wants_the_severity_gets_an_entry_and_an_alertmanager_none() -> None:
    receivers = (HOOK, PAGER, MANAGER)
    outbox = told(make_alert(), make_alert("beta", severity="ticket"), receivers=receivers)
    assert [(entry.receiver, entry.group.severity) for entry in outbox.entries] == [
        ("hook", "page"),
        ("hook", "ticket"),
        ("pager", "page"),
    ]


def test_a_thousand_customers_that_fail_together_are_one_entry_with_the_worst_ten() -> None:
    outbox = told(*(make_alert(f"c{n}", value=15.0 + n) for n in range(1_000)))
    (entry,) = outbox.entries
    assert entry.count == 1_000
    assert [alert.subject for alert in entry.alerts] == [f"c{n}" for n in range(999, 989, -1)]


def test_other_rules_and_other_states_are_other_entries() -> None:
    outbox = told(
        make_alert(), make_alert("beta", state="resolved"), make_alert("beta", kind="latency", name="slow")
    )
    assert len(outbox.entries) == 3


@pytest.mark.parametrize("alert", [make_alert(state="pending"), make_alert(silenced_by="s1")])
def test_a_pending_or_silenced_alert_is_not_told(alert: Alert) -> None:
    assert told(alert) == Outbox()


def test_the_same_change_has_the_same_id_and_is_there_once() -> None:
    outbox = told(make_alert("a"), make_alert("b"))
    assert told(make_alert("b"), make_alert("a")).entries[0].id == outbox.entries[0].id
    assert outbox.with_changes([make_alert("a"), make_alert("b")], [HOOK], NOW + SECOND) == outbox
    assert told(make_alert("a", episode=2)).entries[0].id != told(make_alert("a")).entries[0].id


def test_it_is_the_same_after_it_was_kept_as_json() -> None:
    outbox = told(make_alert(), make_alert("b", state="resolved"), receivers=(HOOK, PAGER))
    outbox = tried(tried(outbox, REFUSED, NOW), AWAY, NOW)
    assert Outbox.from_json(json.loads(json.dumps(outbox.to_json()))) == outbox


def test_what_was_delivered_is_gone() -> None:
    assert tried(told(make_alert()), DELIVERED, NOW) == Outbox()


def test_a_receiver_that_is_away_is_tried_after_5_s_and_then_ever_more_rarely_up_to_5_minutes() -> None:
    outbox, now, waits = told(make_alert()), NOW, []
    for _ in range(9):
        outbox, since = tried(outbox, AWAY, now), now
        while not outbox.due(now):
            now += SECOND
        waits.append((now - since).seconds)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_clock_that_was_ahead_for_a_while_holds_up_nothing() -> None:
    outbox = told(make_alert(), make_alert("b", state="resolved"))
    ahead = NOW + timedelta(days=400)
    assert len(tried(outbox, AWAY, ahead).due(NOW)) == 1
    assert len(tried(tried(outbox, REFUSED, ahead), DELIVERED, ahead).due(NOW)) == 1


def test_a_receiver_that_is_away_is_tried_with_one_entry_and_gets_all_of_them_in_order() -> None:
    outbox = tried(told(make_alert()), AWAY, NOW)
    outbox = outbox.with_changes([make_alert(state="resolved")], [HOOK], NOW + SECOND)
    assert outbox.due(NOW + 4 * SECOND) == ()
    now = NOW + 5 * SECOND
    states = []
    while due := outbox.due(now):
        states.append(due[0].group.state)
        outbox = tried(outbox, DELIVERED, now)
    assert (states, outbox) == (["firing", "resolved"], Outbox())


def test_a_receiver_that_is_away_holds_up_no_other() -> None:
    outbox = tried(told(make_alert(), receivers=(HOOK, PAGER)), AWAY, NOW)
    assert [entry.receiver for entry in outbox.due(NOW)] == ["pager"]


def test_changes_while_a_receiver_is_away_join_an_entry_that_was_never_tried() -> None:
    outbox = tried(told(make_alert("c0")), AWAY, NOW)
    for n in range(1, 100):
        outbox = outbox.with_changes([make_alert(f"c{n}", value=15.0 + n)], [HOOK], NOW + n * SECOND)
    first, second = outbox.entries
    assert (first.count, second.count, second.alerts[0].subject) == (1, 99, "c99")
    assert first.id == told(make_alert("c0")).entries[0].id


def test_changes_while_an_entry_may_be_on_its_way_are_another_one() -> None:
    outbox = told(make_alert("a")).with_changes([make_alert("b")], [HOOK], NOW + SECOND)
    assert [entry.count for entry in outbox.entries] == [1, 1]


def test_an_alert_that_fires_and_ends_and_fires_again_is_told_in_this_order() -> None:
    outbox = tried(told(make_alert("other")), AWAY, NOW)
    for episode in (1, 2):
        for state in ("firing", "resolved"):
            change = make_alert(state=state, episode=episode)
            outbox = outbox.with_changes([change], [HOOK], NOW + SECOND)
    changes = [(alert.state, alert.episode) for entry in outbox.entries[1:] for alert in entry.alerts]
    assert changes == [("firing", 1), ("resolved", 1), ("firing", 2), ("resolved", 2)]


def test_however_much_changes_the_number_of_entries_is_bounded_and_each_change_counted() -> None:
    outbox = tried(told(make_alert("other")), AWAY, NOW)
    for episode in range(500):
        for state in ("firing", "resolved"):
            change = make_alert(state=state, episode=episode)
            outbox = outbox.with_changes([change], [HOOK], NOW + SECOND)
    assert len(outbox.entries) == MOST_WAITING
    assert sum(entry.count for entry in outbox.entries) == 1_001
    assert len(json.dumps(outbox.to_json())) < 250_000


def test_an_entry_that_is_refused_is_tried_again_slowly_while_others_are_delivered() -> None:
    outbox = tried(told(make_alert(), make_alert("b", state="resolved")), REFUSED, NOW)
    outbox = tried(outbox, DELIVERED, NOW)
    assert outbox.due(NOW + 299 * SECOND) == ()
    assert [entry.group.state for entry in outbox.due(NOW + 300 * SECOND)] == ["firing"]
    assert [str(status) for status in delivery_status(outbox)] == [
        "receiver hook: 1 waiting, 1 of them refused since 2026-11-01 12:00:00 UTC: answered 400 Bad Request"
    ]


def test_how_often_a_receiver_was_away_does_not_put_off_what_it_refuses_first() -> None:
    outbox = tried(failed(told(make_alert()), 5, NOW), REFUSED, NOW + 300 * SECOND)
    assert outbox.due(NOW + 599 * SECOND) == ()
    assert len(outbox.due(NOW + 600 * SECOND)) == 1
    outbox = tried(outbox, REFUSED, NOW + 600 * SECOND)
    assert outbox.due(NOW + 1199 * SECOND) == ()
    assert len(outbox.due(NOW + 1200 * SECOND)) == 1


def failed(outbox: Outbox, times: int, now: datetime) -> Outbox:
    """After so many attempts at the webhook, five minutes apart, the last one then."""
    for number in range(times):
        outbox = tried(outbox, AWAY, now - timedelta(minutes=5) * (times - 1 - number))
    return outbox


def test_after_three_days_of_trying_an_entry_is_given_up_and_counted() -> None:
    outbox = failed(told(make_alert()), 6, NOW + GIVEN_UP_AFTER)
    assert len(outbox.entries) == 1
    outbox = failed(outbox, 1, NOW + GIVEN_UP_AFTER + timedelta(minutes=5))
    (status,) = delivery_status(outbox)
    assert (outbox.entries, status.given_up, status.waiting) == ((), 1, 0)


def test_days_for_which_a_machine_was_off_are_no_days_of_trying() -> None:
    outbox = failed(told(make_alert()), 4, NOW + 2 * GIVEN_UP_AFTER)
    assert len(outbox.entries) == 1


def test_what_is_new_is_not_given_up_with_what_is_old() -> None:
    outbox = tried(told(make_alert("a")), AWAY, NOW)
    outbox = outbox.with_changes([make_alert("b")], [HOOK], NOW + SECOND)
    late = NOW + GIVEN_UP_AFTER + timedelta(hours=1)
    outbox = outbox.with_changes([make_alert("c")], [HOOK], late)
    outbox = failed(outbox, 9, late + timedelta(hours=1))
    assert [[alert.subject for alert in entry.alerts] for entry in outbox.entries] == [["b", "c"]]


def test_what_was_given_up_is_shown_until_the_receiver_has_answered_days_later() -> None:
    late = NOW + GIVEN_UP_AFTER + timedelta(hours=1)
    outbox = failed(told(make_alert()), 5, late)
    for days, given_up in ((1, [1]), (4, [])):
        now = late + timedelta(days=days)
        outbox = tried(outbox.with_changes([make_alert(episode=days)], [HOOK], now), DELIVERED, now)
        assert [status.given_up for status in delivery_status(outbox)] == given_up


def test_what_waits_for_a_receiver_that_is_removed_is_dropped() -> None:
    outbox = tried(told(make_alert(), receivers=(HOOK, PAGER)), AWAY, NOW).with_changes([], [PAGER], NOW)
    assert ([entry.receiver for entry in outbox.entries], outbox.deliveries) == (["pager"], ())


def test_an_attempt_at_an_entry_that_is_gone_changes_no_other() -> None:
    outbox = told(make_alert())
    assert outbox.after(Attempt("hook", "gone", DELIVERED), NOW) == outbox


def test_a_receiver_that_is_away_is_told_with_the_number_the_time_and_the_reason() -> None:
    outbox = tried(told(make_alert(), make_alert("b", state="resolved"), receivers=(HOOK, PAGER)), AWAY, NOW)
    outbox = outbox.after(Attempt("manager", None, AWAY), NOW)
    assert [str(status) for status in delivery_status(outbox)] == [
        "receiver hook: 2 waiting since 2026-11-01 12:00:00 UTC: connection refused",
        "receiver manager: away since 2026-11-01 12:00:00 UTC: connection refused",
    ]
