from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta, timezone

import pytest

from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import command, http, notifier
from tailmetrics.objectives.notifications.notifier import Notifier, settled
from tailmetrics.objectives.notifications.outbox import GIVEN_UP_AFTER, Outbox, Outcome, delivery_status
from tests.integration.running import await_that, free_port
from tests.objectives.notifications.alertmanager import Alertmanager
from tests.objectives.notifications.builders import NOW, SECOND, make_alert
from tests.objectives.notifications.hook import HANG, Hook

MINUTE = timedelta(minutes=1)


def with_notifier(receivers: Iterable[Receiver], use: Callable[[Notifier], Awaitable[None]]) -> None:
    async def run() -> None:
        notifier = Notifier(tuple(receivers), "https://metrics.example.com/")
        try:
            await use(notifier)
        finally:
            await notifier.close()

    asyncio.run(run())


async def sent(notifier: Notifier, outbox: Outbox, now: datetime, alerts: Iterable[Alert] = ()) -> Outbox:
    """The outbox after all that is due has been tried."""
    while attempts := await notifier.send_due(outbox, alerts, now):
        outbox = settled(outbox, attempts, now)
    return outbox


def test_a_webhook_that_fails_for_ten_minutes_gets_each_change_once_and_in_order(hook: Hook) -> None:
    ops = Receiver(name="ops", kind="webhook", url=hook.url)
    for _ in range(8):  # 5, 10, 20, 40, 80, 160 and 300 seconds in between
        hook.answer(503)

    async def use(notifier: Notifier) -> None:
        outbox, changes = Outbox(), []
        for second in range(0, 1_200, 5):
            now = NOW + second * SECOND
            if second < 600 and not second % 60:
                state = "resolved" if second % 120 else "firing"
                change = make_alert(state=state, episode=second // 120)
                changes.append(change.notification_id)
                outbox = outbox.with_changes([change], [ops], now)
            outbox = await sent(notifier, outbox, now)
        told = [alert["id"] for post in hook.posts[8:] for alert in post.document["alerts"]]
        assert (told, outbox) == (changes, Outbox())

    with_notifier([ops], use)
    ids = [post.headers["Idempotency-Key"] for post in hook.posts]
    assert len(set(ids[:9])) == 1  # the first message, sent again and again
    assert len(set(ids[8:])) == len(ids[8:])


def test_a_process_that_ends_before_it_has_noted_an_answer_sends_the_same_again(hook: Hook) -> None:
    ops = Receiver(name="ops", kind="webhook", url=hook.url)
    outbox = Outbox().with_changes([make_alert()], [ops], NOW)

    async def send(notifier: Notifier) -> None:
        await notifier.send_due(Outbox.from_json(outbox.to_json()), (), NOW)

    for _ in range(2):
        with_notifier([ops], send)
    first, second = hook.posts
    assert (first.body, first.headers["Idempotency-Key"]) == (second.body, second.headers["Idempotency-Key"])


def test_receivers_that_hang_refuse_and_are_away_hold_up_no_other(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.5)
    hook.answer(HANG)
    ops = [
        Receiver(name="hangs", kind="webhook", url=hook.url),
        Receiver(name="away", kind="webhook", url=f"http://127.0.0.1:{free_port()}/"),
        Receiver(name="fails", kind="command", command=("false",)),
        Receiver(name="works", kind="command", command=("cat",)),
    ]

    async def use(notifier: Notifier) -> None:
        outbox = await sent(notifier, Outbox().with_changes([make_alert()], ops, NOW), NOW)
        assert [str(status) for status in delivery_status(outbox)] == [
            f"receiver {name}: 1 waiting since 2026-11-01 12:00:00 UTC: {error}"
            for name, error in (
                ("away", "Connection refused"),
                ("fails", "exit status 1"),
                ("hangs", "no answer within 0.5 seconds"),
            )
        ]

    with_notifier(ops, use)


def test_an_attempt_that_does_not_end_is_left_and_no_other_begun_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ops = Receiver(name="ops", kind="command", command=("page",))
    hangs, calls = threading.Event(), []

    def run(*_: object) -> Outcome:
        calls.append(threading.current_thread())
        assert hangs.wait(60)
        return Outcome("delivered")

    monkeypatch.setattr(notifier, "_LONGEST_SECONDS", 0.1)
    monkeypatch.setattr(command, "run", run)

    async def use(notifier: Notifier) -> None:
        assert await notifier.test(ops) == Outcome("failed", "not done within 0.1 seconds")
        assert await notifier.test(ops) == Outcome("failed", "the attempt before has not ended yet")
        assert (len(calls), calls[0].daemon) == (1, True)
        hangs.set()
        calls[0].join()
        assert await notifier.test(ops) == Outcome("delivered")

    with_notifier([ops], use)


def test_a_receiver_that_cannot_be_told_holds_up_no_other(hook: Hook) -> None:
    broken = Receiver(name="broken", kind="command", command=("a\0b",))
    ops = [broken, Receiver(name="works", kind="webhook", url=hook.url)]

    async def use(notifier: Notifier) -> None:
        outbox = await sent(notifier, Outbox().with_changes([make_alert()], ops, NOW), NOW)
        assert [str(status) for status in delivery_status(outbox)] == [
            "receiver broken: 1 waiting since 2026-11-01 12:00:00 UTC: ValueError"
        ]

    with_notifier(ops, use)
    assert len(hook.posts) == 1


def test_what_is_given_up_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    ops = Receiver(name="ops", kind="command", command=("false",))

    async def use(notifier: Notifier) -> None:
        outbox = Outbox().with_changes([make_alert()], [ops], NOW)
        for minutes in range(5, 30, 5):
            outbox = await sent(notifier, outbox, NOW + GIVEN_UP_AFTER + minutes * MINUTE)
        assert outbox.entries == ()

    with_notifier([ops], use)
    assert "notifications given up" in "".join(capsys.readouterr())


@pytest.mark.parametrize("kind", ["webhook", "alertmanager"])
def test_a_test_says_that_it_is_one(hook: Hook, kind: str) -> None:
    ops = Receiver.model_validate({"name": "ops", "kind": kind, "url": hook.url})

    async def use(notifier: Notifier) -> None:
        assert (await notifier.test(ops)).kind == "delivered"

    with_notifier([ops], use)
    document = hook.posts[0].document
    summary = document["summary"] if kind == "webhook" else document[0]["annotations"]["summary"]
    assert "This is a test of tailmetrics: nothing is wrong." in summary
    assert kind != "webhook" or (document["test"], document["title"][:7]) == (True, "[TEST] ")


def manager(url: str) -> Receiver:
    return Receiver(name="am", kind="alertmanager", url=url, severities=("page",))


def test_an_alertmanager_is_told_what_fires_each_minute_and_when_that_changes(hook: Hook) -> None:
    firing, ticket = make_alert(), make_alert("beta", severity="ticket")
    silenced, resolved = make_alert(silenced_by="s1"), make_alert(state="resolved", since=NOW + 70 * SECOND)
    steps: list[tuple[int, Alert, int]] = [
        (0, firing, 1), (1, firing, 0), (59, firing, 0), (60, firing, 1), (61, silenced, 1),
        (62, silenced, 0), (63, firing, 1), (70, resolved, 1), (71, resolved, 0),
    ]  # fmt: skip

    async def use(notifier: Notifier) -> None:
        for second, alert, posts in steps:
            known = len(hook.posts)
            await sent(notifier, Outbox(), NOW + second * SECOND, [alert, ticket])
            assert len(hook.posts) - known == posts, second

    with_notifier([manager(hook.url)], use)
    told = [
        [(alert["labels"]["customer"], alert["endsAt"][11:19]) for alert in post.document]
        for post in hook.posts
    ]
    assert told == [
        [("acme", "12:05:00")],
        [("acme", "12:06:00")],
        [("acme", "12:01:01")],  # silenced here: it ends there
        [("acme", "12:06:03")],
        [("acme", "12:01:10")],
    ]


def test_an_alertmanager_is_told_again_when_the_clock_was_set_back(hook: Hook) -> None:
    async def use(notifier: Notifier) -> None:
        for now in (NOW, NOW - 60 * MINUTE):
            assert await notifier.send_due(Outbox(), [make_alert()], now)

    with_notifier([manager(hook.url)], use)


def test_an_alertmanager_is_told_by_the_next_process_what_has_ended_meanwhile(hook: Hook) -> None:
    ended = [make_alert(state="resolved"), make_alert("old", state="resolved", since=NOW - 10 * MINUTE)]

    async def use(notifier: Notifier) -> None:
        await sent(notifier, Outbox(), NOW + MINUTE, ended)
        await sent(notifier, Outbox(), NOW + 2 * MINUTE, ended)

    with_notifier([manager(hook.url)], use)
    assert [[alert["labels"]["customer"] for alert in post.document] for post in hook.posts] == [["acme"]]


def test_an_alertmanager_that_was_away_is_told_what_is_so_when_it_is_back(hook: Hook) -> None:
    hook.answer(503)
    alert = make_alert()

    async def use(notifier: Notifier) -> None:
        outbox = await sent(notifier, Outbox(), NOW, [alert])
        assert str(delivery_status(outbox)[0]) == (
            "receiver am: away since 2026-11-01 12:00:00 UTC: answered 503 Service Unavailable"
        )
        assert (await sent(notifier, outbox, NOW + SECOND, [alert])) == outbox
        assert (await sent(notifier, outbox, NOW + 5 * SECOND, [alert])) == Outbox()

    with_notifier([manager(hook.url)], use)
    assert len(hook.posts) == 2


def test_an_alertmanager_shows_an_alert_tells_of_it_and_has_it_resolved(
    alertmanager: Alertmanager, hook: Hook
) -> None:
    now = datetime.now(timezone.utc)
    firing = make_alert(since=now - MINUTE, started_at=now - MINUTE)
    resolved = make_alert(state="resolved", since=now, started_at=now - MINUTE)

    async def use(notifier: Notifier) -> None:
        await sent(notifier, Outbox(), now, [firing])
        (shown,) = alertmanager.alerts()
        assert (shown["labels"]["customer"], shown["labels"]["objective"]) == ("acme", "checkout")
        assert (shown["status"]["state"] != "suppressed", shown["annotations"]) == (
            True,
            {"summary": firing.summary},
        )
        await_told(hook, "firing")
        await sent(notifier, Outbox(), now + SECOND, [resolved])
        assert alertmanager.alerts() == []
        await_told(hook, "resolved")

    with_notifier([manager(alertmanager.address)], use)


def test_a_silence_of_an_alertmanager_holds_while_the_alert_is_told_again(
    alertmanager: Alertmanager, hook: Hook
) -> None:
    now = datetime.now(timezone.utc)
    alerts = [make_alert(name, since=now, started_at=now) for name in ("acme", "beta")]
    silence = alertmanager.silence(customer="acme")

    async def use(notifier: Notifier) -> None:
        for second in (0, 61):
            await sent(notifier, Outbox(), now + second * SECOND, alerts)

    with_notifier([manager(alertmanager.address)], use)
    await_told(hook, "firing")
    shown = {alert["labels"]["customer"]: alert["status"]["silencedBy"] for alert in alertmanager.alerts()}
    assert shown == {"acme": [silence], "beta": []}
    assert {alert["labels"]["customer"] for post in hook.posts for alert in post.document["alerts"]} == {
        "beta"
    }


def await_told(hook: Hook, status: str) -> None:
    await_that(lambda: any(post.document["status"] == status for post in hook.posts), 20)
