"""The states of alerts from one evaluation to the next, kept with what is still to be sent of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from tailmetrics.errors import SchemaMismatch
from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.alerts.rules import Condition
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications.message import SOURCE_KINDS
from tailmetrics.objectives.notifications.outbox import Outbox

ALERTS: Final = "alerts"  # the name of the note
RESOLVED_FOR: Final = timedelta(hours=1)  # a resolved alert is shown
MOST_CHANGES: Final = 1_000
MOST_ALERTS: Final = 10_000  # at a time: further ones begin when others have ended


@dataclass(frozen=True, slots=True)
class Book:
    """All that is kept, as one text, so that a change of a state and what is to be sent of it are one write.

    `history` has alerts as they were when they began to fire or were resolved, the latest first.
    """

    alerts: tuple[Alert, ...] = ()
    history: tuple[Alert, ...] = ()
    outbox: Outbox = field(default_factory=Outbox)
    episodes: int = 0
    evaluated_at: datetime | None = None
    version: Literal[1] = 1

    @classmethod
    def from_json(cls, text: str) -> Book:
        """Raises SchemaMismatch; nothing was kept yet where the text is empty."""
        if not text:
            return cls()
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            raise SchemaMismatch(
                "alerts were kept by another version of tailmetrics; use that version, or a later one"
            ) from error

    def to_json(self) -> str:
        return _ADAPTER.dump_json(self).decode()

    def is_like(self, other: Book) -> bool:
        """Whether it differs in figures alone, which are those of a moment."""
        mine, others = ([_state(alert) for alert in book.alerts] for book in (self, other))
        return mine == others and self.outbox == other.outbox


_ADAPTER: Final = TypeAdapter(Book)


def evaluated(
    book: Book,
    conditions: Sequence[Condition],
    at: datetime,
    silenced_by: Callable[[Alert], str | None],
    receivers: Sequence[Receiver] = (),
    *,
    is_complete: bool = True,
) -> Book:
    """The book after an evaluation at a moment, by what held then.

    Whoever is told that an alert fires is told as well that it is resolved, silenced or not. While the
    requests before the moment are not `is_complete`, that some are missing ends no alert and begins none.
    """
    known: Mapping[str, Alert] = {alert.key: alert for alert in book.alerts}
    holding = _holding_of(conditions, known, is_complete=is_complete)
    episodes = book.episodes
    alerts: list[Alert] = []
    changes: list[Alert] = []
    told: list[Alert] = []
    for key in (*known, *(key for key in holding if key not in known)):
        before, condition = known.get(key), holding.get(key)
        if condition is None:
            alert = _ended(before, at, is_complete=is_complete)
        else:
            alert = _holding(before, condition, at)
        if alert is None:
            continue
        if alert.state != "resolved":
            alert = replace(alert, silenced_by=silenced_by(alert))
        if alert.state == "firing" and not alert.episode:
            episodes += 1
            alert = replace(alert, episode=episodes)
            changes.append(alert)
        if alert.state == "firing" and not alert.told and alert.silenced_by is None:
            alert = replace(alert, told=True)
            told.append(alert)
        if alert.state == "resolved" and before is not None and before.state == "firing":
            changes.append(alert)
            if alert.told:
                told.append(replace(alert, silenced_by=None))
        alerts.append(alert)
    return replace(
        book,
        alerts=tuple(alerts),
        history=(*reversed(changes), *book.history)[:MOST_CHANGES],
        outbox=book.outbox.with_changes(told, receivers, at),
        episodes=episodes,
        evaluated_at=at,
    )


def _holding_of(
    conditions: Sequence[Condition], known: Mapping[str, Alert], *, is_complete: bool
) -> dict[str, Condition]:
    """The conditions that count, by key: not too many, and those that need all requests only with these."""
    if not is_complete:
        firing = {key for key, alert in known.items() if alert.state == "firing"}
        conditions = [each for each in conditions if each.kind != "silent" or each.key in firing]
    first = sorted(conditions, key=lambda condition: condition.key not in known)
    return {condition.key: condition for condition in first[:MOST_ALERTS]}


def _ended(before: Alert | None, at: datetime, *, is_complete: bool) -> Alert | None:
    """What is left of an alert whose condition does not hold."""
    if before is None or before.state == "pending":
        return None
    if before.state == "firing":
        if not is_complete and before.kind not in SOURCE_KINDS:
            return before
        return replace(before, state="resolved", since=at, summary=f"No longer so: {before.summary}")
    return before if at - before.since < RESOLVED_FOR else None


def _holding(before: Alert | None, condition: Condition, at: datetime) -> Alert:
    """An alert whose condition holds; one that begins to fire has no episode yet."""
    if before is None or before.state == "resolved":
        before = None
        since = at
    else:
        since = before.since
    is_firing = (before is not None and before.state == "firing") or (
        at - since >= timedelta(seconds=condition.for_seconds)
    )
    begins = is_firing and (before is None or before.state == "pending")
    return Alert(
        condition.key,
        condition.kind,
        condition.name,
        condition.subject,
        condition.severity,
        "firing" if is_firing else "pending",
        0 if before is None else before.episode,
        at if begins else since,
        at if begins else (None if before is None else before.started_at),
        condition.value,
        condition.limit,
        condition.summary,
        told=before is not None and before.told,
    )


def _state(alert: Alert) -> tuple[str, str, int, str | None, bool]:
    return alert.key, alert.state, alert.episode, alert.silenced_by, alert.told
