"""The outbox: what receivers are still to be told, as plain data kept beside the states of the alerts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Literal, NamedTuple

from pydantic import TypeAdapter

from tailmetrics.objectives.alerts.alert import Alert, AlertKind, AlertState
from tailmetrics.objectives.definitions import Receiver, Severity

MOST_LISTED: Final = 10  # alerts of an entry; of the others only the number is kept
MOST_WAITING: Final = 200  # entries of a receiver; then changes go into entries that wait already
GIVEN_UP_AFTER: Final = timedelta(days=3)
_LEAST_ATTEMPTS = 5  # before that, as the days may be those for which a machine was off
_FAILED_RETRY = (timedelta(seconds=5), timedelta(minutes=5))  # the first, and the longest
_REFUSED_RETRY = (timedelta(minutes=5), timedelta(hours=1))

OutcomeKind = Literal["delivered", "failed", "refused"]


class Group(NamedTuple):
    """What the alerts of one entry have in common."""

    kind: AlertKind
    name: str
    severity: Severity
    state: AlertState

    @classmethod
    def of(cls, alert: Alert) -> Group:
        return cls(alert.kind, alert.name, alert.severity, alert.state)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message to one receiver, whose `id` is the same each time it is sent.

    `alerts` are the worst of the `count` changes that it tells.
    """

    id: str
    receiver: str
    group: Group
    alerts: tuple[Alert, ...]
    count: int
    created_at: datetime
    attempts: int = 0
    not_before: datetime | None = None  # of its own, after it was refused
    refusal: str = ""
    refusals: int = 0  # of the attempts

    @classmethod
    def of(cls, receiver: str, alerts: Sequence[Alert], now: datetime) -> Entry:
        """An entry about alerts of one group."""
        ids = sorted(alert.notification_id for alert in alerts)
        worst = tuple(sorted(alerts, key=_badness)[:MOST_LISTED])
        return cls(_id_of(receiver, *ids), receiver, Group.of(alerts[0]), worst, len(alerts), now)

    def with_more(self, other: Entry) -> Entry:
        """One entry for both, with an id of its own, as it is another message; not tried yet."""
        return replace(
            self,
            id=_id_of(self.id, other.id),
            alerts=tuple(sorted({*self.alerts, *other.alerts}, key=_badness)[:MOST_LISTED]),
            count=self.count + other.count,
            created_at=other.created_at,  # what is new is not given up with what is old
            attempts=0,
            not_before=None,
            refusal="",
            refusals=0,
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a receiver answers of late; `failures` are those since it answered last."""

    receiver: str
    failures: int = 0
    since: datetime | None = None
    retry_at: datetime | None = None
    error: str = ""
    given_up: int = 0  # entries
    given_up_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message; the error is free of secrets.

    `failed`: the receiver is away, or said that it is not its day. `refused`: it answered that it does not
    take this message.
    """

    kind: OutcomeKind
    error: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An outcome, and of what; an Alertmanager is told all that fires at once, which is no entry."""

    receiver: str
    entry_id: str | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Outbox:
    """Entries in the order of their changes, and the receivers with which not all is well."""

    entries: tuple[Entry, ...] = ()
    deliveries: tuple[Delivery, ...] = ()

    @classmethod
    def from_json(cls, data: object) -> Outbox:
        """Raises pydantic's ValidationError, a ValueError, for what `to_json` has not made."""
        return _ADAPTER.validate_python(data)

    def to_json(self) -> Any:
        """The same as dictionaries, lists, texts and numbers."""
        return _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)

    def with_changes(self, alerts: Iterable[Alert], receivers: Sequence[Receiver], now: datetime) -> Outbox:
        """What there is to tell after the states of some alerts have changed, to each receiver that wants it.

        Of changes that are told, alerts that are pending or silenced are none. What waits for receivers that
        are not there any more is dropped. Alertmanagers have no entries: they are told what fires again and
        again.
        """
        names = {receiver.name for receiver in receivers}
        outbox = Outbox(
            tuple(entry for entry in self.entries if entry.receiver in names),
            tuple(delivery for delivery in self.deliveries if delivery.receiver in names),
        )
        groups: dict[Group, list[Alert]] = {}
        for alert in alerts:
            if alert.state != "pending" and alert.silenced_by is None:
                groups.setdefault(Group.of(alert), []).append(alert)
        for receiver in receivers:
            if receiver.kind != "alertmanager":
                for group, changed in groups.items():
                    if group.severity in receiver.severities:
                        outbox = outbox._with_entry(Entry.of(receiver.name, changed, now))
        return outbox

    def due(self, now: datetime) -> tuple[Entry, ...]:
        """The next entry of each receiver that may be tried."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            is_resting = _is_ahead(entry.not_before, now, _REFUSED_RETRY)
            if not is_resting and entry.receiver not in found and self.may_try(entry.receiver, now):
                found[entry.receiver] = entry
        return tuple(found.values())

    def may_try(self, receiver: str, now: datetime) -> bool:
        """Whether a receiver is not to be left in peace for a while."""
        return not _is_ahead(self.delivery(receiver).retry_at, now, _FAILED_RETRY)

    def delivery(self, receiver: str) -> Delivery:
        """How a receiver answers of late."""
        found = (delivery for delivery in self.deliveries if delivery.receiver == receiver)
        return next(found, Delivery(receiver))

    def after(self, attempt: Attempt, now: datetime) -> Outbox:
        """The same after an attempt; an entry that is not there any more is left alone."""
        delivery = self.delivery(attempt.receiver)
        entries = self.entries
        is_refused = attempt.outcome.kind == "refused" and attempt.entry_id is not None
        if attempt.outcome.kind == "delivered":
            entries = tuple(entry for entry in entries if entry.id != attempt.entry_id)
        else:
            entries = tuple(
                _tried(entry, attempt.outcome.error if is_refused else None, now)
                if entry.id == attempt.entry_id
                else entry
                for entry in entries
            )
        if attempt.outcome.kind == "delivered" or is_refused:
            delivery = replace(delivery, failures=0, since=None, retry_at=None, error="")
            if delivery.given_up_at is not None and now - delivery.given_up_at > GIVEN_UP_AFTER:
                delivery = Delivery(delivery.receiver)  # it was shown for long enough
        else:
            delivery = replace(
                delivery,
                failures=delivery.failures + 1,
                since=delivery.since or now,
                retry_at=now + _back_off(delivery.failures, *_FAILED_RETRY),
                error=attempt.outcome.error,
            )
        return Outbox(entries, self.deliveries)._with_delivery(delivery)._without_the_old(delivery, now)

    def _with_entry(self, entry: Entry) -> Outbox:
        if any(known.id == entry.id for known in self.entries):
            return self
        place = self._place_for(entry)
        if place is None:
            return replace(self, entries=(*self.entries, entry))
        merged = self.entries[place].with_more(entry)
        return replace(self, entries=(*self.entries[:place], merged, *self.entries[place + 1 :]))

    def _place_for(self, entry: Entry) -> int | None:
        """Where an entry goes into one that waits: not if that may be on its way, nor past a later change."""
        known = [place for place, each in enumerate(self.entries) if each.receiver == entry.receiver]
        if len(known) >= MOST_WAITING:
            like = [place for place in known if self.entries[place].group.state == entry.group.state]
            same = [place for place in like if self.entries[place].group == entry.group]
            found = same or like
            return found[-1] if found else None
        if self.delivery(entry.receiver).failures:
            about = [place for place in known if self.entries[place].group[:-1] == entry.group[:-1]]
            if (
                about
                and self.entries[about[-1]].group == entry.group
                and not self.entries[about[-1]].attempts
            ):
                return about[-1]
        return None

    def _with_delivery(self, delivery: Delivery) -> Outbox:
        others = (each for each in self.deliveries if each.receiver != delivery.receiver)
        is_well = delivery == Delivery(delivery.receiver)
        return replace(self, deliveries=(*others, *(() if is_well else (delivery,))))

    def _without_the_old(self, delivery: Delivery, now: datetime) -> Outbox:
        """Without what was tried for days."""

        def is_old(entry: Entry) -> bool:
            is_its = entry.receiver == delivery.receiver
            return is_its and entry.attempts >= _LEAST_ATTEMPTS and now - entry.created_at > GIVEN_UP_AFTER

        old = sum(map(is_old, self.entries))
        if not old:
            return self
        entries = tuple(entry for entry in self.entries if not is_old(entry))
        told = replace(delivery, given_up=delivery.given_up + old, given_up_at=now)
        return replace(self, entries=entries)._with_delivery(told)


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """A receiver that has not been told all; `since` when the oldest waits, or the receiver is away."""

    receiver: str
    waiting: int
    refused: int  # of those
    since: datetime | None
    error: str
    given_up: int

    def __str__(self) -> str:
        parts = []
        since = f" since {self.since.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        if self.waiting or self.since:
            refused = f", {self.refused} of them refused" if self.refused else ""
            parts.append((f"{self.waiting} waiting{refused}" if self.waiting else "away") + since)
        if self.given_up:
            parts.append(f"{self.given_up} given up after {GIVEN_UP_AFTER.days} days")
        return f"receiver {self.receiver}: {', '.join(parts)}" + (f": {self.error}" if self.error else "")


def delivery_status(outbox: Outbox) -> tuple[DeliveryStatus, ...]:
    """Receivers that are away, that refused something, or for which something was given up, by name."""
    found = []
    for name in sorted(
        {entry.receiver for entry in outbox.entries} | {each.receiver for each in outbox.deliveries}
    ):
        delivery = outbox.delivery(name)
        waiting = [entry for entry in outbox.entries if entry.receiver == name]
        refused = [entry for entry in waiting if entry.refusal]
        if not (delivery.failures or refused or delivery.given_up):
            continue  # what waits is on its way
        begins = [*(entry.created_at for entry in waiting), *filter(None, [delivery.since])]
        error = delivery.error or (refused[-1].refusal if refused else "")
        since = min(begins, default=None)
        found.append(DeliveryStatus(name, len(waiting), len(refused), since, error, delivery.given_up))
    return tuple(found)


def _id_of(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _badness(alert: Alert) -> tuple[float, str, datetime]:
    """Orders alerts of one rule: the worst first."""
    return -alert.value / (alert.limit or 1), alert.subject, alert.since


def _back_off(failures: int, first: timedelta, longest: timedelta) -> timedelta:
    return min(first * (1 << min(failures, 16)), longest)


def _is_ahead(moment: datetime | None, now: datetime, retry: tuple[timedelta, timedelta]) -> bool:
    """Whether a moment is to be waited for; not one that only a clock that went wrong has put so far away."""
    return moment is not None and now < moment <= now + retry[1]


def _tried(entry: Entry, refusal: str | None, now: datetime) -> Entry:
    if refusal is None:
        return replace(entry, attempts=entry.attempts + 1)
    return replace(
        entry,
        attempts=entry.attempts + 1,
        not_before=now + _back_off(entry.refusals, *_REFUSED_RETRY),
        refusal=refusal,
        refusals=entry.refusals + 1,
    )


_ADAPTER: Final = TypeAdapter(Outbox)
