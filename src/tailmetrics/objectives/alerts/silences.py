"""Silences: who is not to be told of which alerts, until when, and why."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from tailmetrics.errors import QueryError
from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.definitions import Maintenance
from tailmetrics.stores.base import Notes
from tailmetrics.stores.filtering import matches
from tailmetrics.stores.kept_lists import KeptList

SILENCES: Final = "silences"  # the name of their note
MOST_SILENCES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Silence:
    """Of alerts whose subject (a customer, or the path of a source) and rule or objective match globs."""

    id: str
    customer: str
    rule: str
    until: datetime
    reason: str
    created_by: str
    created_at: datetime

    def is_about(self, alert: Alert) -> bool:
        return matches((self.customer,), alert.subject) and matches((self.rule,), alert.name)


@dataclass(frozen=True, slots=True)
class _Kept:
    silences: tuple[Silence, ...] = ()
    version: Literal[1] = 1


_LIST: Final = KeptList[Silence](SILENCES, _Kept, "silences", "silences")


async def silences_at(store: Notes, now: datetime) -> tuple[Silence, ...]:
    """Those that have not ended, the first to end first. Raises StoreError."""
    return tuple(sorted(_lasting(await _LIST.items(store), now), key=lambda each: each.until))


async def add_silence(
    store: Notes, *, customer: str, rule: str, until: datetime, reason: str, created_by: str, now: datetime
) -> Silence:
    """Begin a silence. Raises QueryError when it would be over already or is one too many, and StoreError."""
    if until <= now:
        raise QueryError("until", until.isoformat(), "a time that is still to come")
    silence = Silence(secrets.token_hex(4), customer, rule, until, reason, created_by, now)

    def added(kept: tuple[Silence, ...]) -> tuple[Silence, ...]:
        known = _lasting(kept, now)
        if len(known) >= MOST_SILENCES:
            raise QueryError("silences", len(known) + 1, f"at most {MOST_SILENCES:,}; end some of them first")
        return (*known, silence)

    await _LIST.change(store, added)
    return silence


async def end_silence(store: Notes, silence_id: str, now: datetime) -> Silence | None:
    """End a silence; None when there is none of that id. Raises StoreError."""
    found = [each for each in await silences_at(store, now) if each.id == silence_id]
    if not found:
        return None
    await _LIST.change(
        store, lambda kept: tuple(each for each in _lasting(kept, now) if each.id != silence_id)
    )
    return found[0]


def silenced_by(
    alert: Alert, silences: Sequence[Silence], maintenance: Sequence[Maintenance], at: datetime
) -> str | None:
    """What keeps an alert from being sent: the id of a silence, or a maintenance and its reason."""
    for each in silences:
        if each.until > at and each.is_about(alert):
            return each.id
    for window in maintenance:
        if (
            window.begin <= at < window.end
            and matches(window.customers, alert.subject)
            and matches(window.objectives, alert.name)
        ):
            return f"maintenance: {window.reason}" if window.reason else "maintenance"
    return None


def _lasting(silences: Sequence[Silence], now: datetime) -> tuple[Silence, ...]:
    return tuple(each for each in silences if each.until > now)
