"""Sends what is due to all receivers, one message to each at a time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import command, http, mail
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Attempt, Entry, Outbox, Outcome
from tailmetrics.telemetry.log import EventLog

_LONGEST_SECONDS: Final = 30.0  # of an attempt of any kind; a mail server answers several times
_TEST = "This is a test of tailmetrics: nothing is wrong."

_log = EventLog()


class Notifier:
    """The receivers of one objectives file; a file that was read anew gets another one.

    It keeps nothing that must outlive the process: what an Alertmanager was told it is told again.
    """

    def __init__(self, receivers: Sequence[Receiver], external_url: str | None = None) -> None:
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._external_url = external_url
        self._client = http.new_client()
        self._threads = {receiver.name: _Thread() for receiver in receivers}
        self._alertmanagers = {
            receiver.name: _Told(receiver, external_url)
            for receiver in receivers
            if receiver.kind == "alertmanager"
        }

    async def send_due(self, outbox: Outbox, alerts: Iterable[Alert], now: datetime) -> tuple[Attempt, ...]:
        """Send at most one message to each receiver; nothing when nothing is due.

        `alerts` are all that fire or were resolved of late. The caller keeps `settled` before it asks again:
        then at most one message a receiver is sent twice, should the process end in between.
        """
        alerts = tuple(alerts)
        sendings = [self.send_next(name, outbox, alerts, now) for name in self._receivers]
        return tuple(attempt for attempt in await asyncio.gather(*sendings) if attempt is not None)

    async def send_next(
        self, receiver: str, outbox: Outbox, alerts: Sequence[Alert], now: datetime
    ) -> Attempt | None:
        """Send one of them at most one message, as `send_due` does all; None when nothing is due."""
        told = self._alertmanagers.get(receiver)
        if told is None:
            entry = next((entry for entry in outbox.due(now) if entry.receiver == receiver), None)
            return None if entry is None else await self._attempt(entry)
        payload = told.to_tell(alerts, now) if outbox.may_try(receiver, now) else []
        return await self._tell(receiver, payload, alerts, now) if payload else None

    async def test(self, receiver: Receiver) -> Outcome:
        """Send a message that says that it is a test."""
        entry = test_entry(receiver)
        if receiver.kind == "alertmanager":
            ends_at = entry.created_at + http.REPEATED_EVERY
            told = http.alertmanager_alert(entry.alerts[0], self._external_url, ends_at)
            return await _within_time(http.post_alerts(self._client, receiver, [told]))
        return await self._send(receiver, Message.of(entry, self._external_url, test=True))

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def _attempt(self, entry: Entry) -> Attempt:
        receiver = self._receivers[entry.receiver]
        outcome = await self._send(receiver, Message.of(entry, self._external_url))
        attempt = Attempt(receiver.name, entry.id, outcome)
        _say(attempt, count=entry.count)
        return attempt

    async def _send(self, receiver: Receiver, message: Message) -> Outcome:
        if receiver.kind == "webhook":
            return await _within_time(http.post_message(self._client, receiver, message))
        send = mail.send if receiver.kind == "email" else command.run
        return await _within_time(self._threads[receiver.name].run(lambda: send(receiver, message)))

    async def _tell(
        self, name: str, payload: Sequence[Any], alerts: Sequence[Alert], now: datetime
    ) -> Attempt:
        outcome = await _within_time(http.post_alerts(self._client, self._receivers[name], payload))
        if outcome.kind == "delivered":
            self._alertmanagers[name].was_told(alerts, now)
        attempt = Attempt(name, None, outcome)
        _say(attempt, count=len(payload))
        return attempt


def settled(outbox: Outbox, attempts: Iterable[Attempt], now: datetime) -> Outbox:
    """The outbox after attempts; what was given up is logged."""
    for attempt in attempts:
        before = outbox.delivery(attempt.receiver).given_up
        outbox = outbox.after(attempt, now)
        after = outbox.delivery(attempt.receiver)
        if after.given_up > before:
            _log.error(
                "notifications given up, as the receiver took none of them for days",
                receiver=attempt.receiver,
                given_up=after.given_up - before,
                error=attempt.outcome.error,
            )
    return outbox


def test_entry(receiver: Receiver) -> Entry:
    """An entry that says that it is a test."""
    now = datetime.now(timezone.utc)
    alert = Alert(
        key=f"test/{now.isoformat()}",
        kind="burn_rate",
        name="test",
        subject="test",
        severity=receiver.severities[0],
        state="firing",
        episode=1,
        since=now,
        started_at=now,
        value=0.0,
        limit=0.0,
        summary=_TEST,
    )
    return Entry.of(receiver.name, [alert], now)


class _Thread:
    """Runs what blocks, one call at a time; one that hangs holds up no other, nor the end of the process."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    async def run(self, send: Callable[[], Outcome]) -> Outcome:
        if self._thread is not None and self._thread.is_alive():
            return Outcome("failed", "the attempt before has not ended yet")
        done: concurrent.futures.Future[Outcome] = concurrent.futures.Future()
        done.set_running_or_notify_cancel()  # whoever waits may go, and it ends all the same

        def call() -> None:
            try:
                done.set_result(send())
            except Exception as error:  # noqa: BLE001  # is raised where it is waited for
                done.set_exception(error)

        self._thread = threading.Thread(target=call, name="tailmetrics-notify", daemon=True)
        self._thread.start()
        return await asyncio.wrap_future(done)


class _Told:
    """What an Alertmanager knows of what fires. It forgets that after minutes, as its clients repeat it."""

    def __init__(self, receiver: Receiver, external_url: str | None) -> None:
        self._severities = receiver.severities
        self._external_url = external_url
        self._firing: dict[str, Alert] = {}
        self._at: datetime | None = None

    def to_tell(self, alerts: Sequence[Alert], now: datetime) -> list[Any]:
        """All that fires and what has ended since it was told; empty while there is nothing new to tell."""
        firing = self._of(alerts)
        ended = self._ended(alerts, firing, now)
        # A clock that was set back tells nothing of how long that is ago.
        is_known = self._at is not None and timedelta(0) <= now - self._at < http.REPEATED_EVERY
        if is_known and not ended and firing.keys() == self._firing.keys():
            return []
        expiry = http.expiry(now)
        return [
            http.alertmanager_alert(alert, self._external_url, ends_at)
            for alert, ends_at in (*((alert, expiry) for alert in firing.values()), *ended)
        ]

    def was_told(self, alerts: Sequence[Alert], now: datetime) -> None:
        """What `to_tell` gave has arrived."""
        self._firing = self._of(alerts)
        self._at = now

    def _of(self, alerts: Sequence[Alert]) -> dict[str, Alert]:
        return {
            alert.key: alert
            for alert in alerts
            if alert.state == "firing" and alert.silenced_by is None and alert.severity in self._severities
        }

    def _ended(
        self, alerts: Sequence[Alert], firing: dict[str, Alert], now: datetime
    ) -> list[tuple[Alert, datetime]]:
        resolved = {
            alert.key: alert
            for alert in alerts
            if alert.state == "resolved" and alert.severity in self._severities
        }
        if self._at is None:  # another process may have told that they fire, and they have not expired yet
            recent = (alert for alert in resolved.values() if http.expiry(alert.since) > now)
            return [(alert, alert.since) for alert in recent]
        ended = (alert for key, alert in self._firing.items() if key not in firing)
        return [(alert, resolved[alert.key].since if alert.key in resolved else now) for alert in ended]


async def _within_time(sending: Coroutine[Any, Any, Outcome]) -> Outcome:
    try:
        return await asyncio.wait_for(sending, _LONGEST_SECONDS)
    except asyncio.TimeoutError:
        return Outcome("failed", f"not done within {_LONGEST_SECONDS:g} seconds")
    except Exception as error:  # noqa: BLE001  # or what others were told would be told again
        return Outcome("failed", type(error).__name__)  # its text may hold a secret


def _say(attempt: Attempt, count: int) -> None:
    values = {"receiver": attempt.receiver, "alerts": count}
    if attempt.entry_id is not None:
        values["id"] = attempt.entry_id
    if attempt.outcome.kind == "delivered" and not attempt.outcome.error:
        _log.info("notification sent", **values)
    else:
        _log.warning(f"notification {attempt.outcome.kind}", **values, error=attempt.outcome.error)
