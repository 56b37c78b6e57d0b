"""Silences: who is not to be told of which alerts, until when, and why."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from tailmetrics.errors import QueryError, SchemaMismatch, StoreUnavailable
from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.definitions import Maintenance
from tailmetrics.stores.base import Notes
from tailmetrics.stores.filtering import matches

SILENCES: Final = "silences"  # the name of their note
MOST_SILENCES: Final = 1_000
_TRIES = 20  # while others change the note as well


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


_ADAPTER: Final = TypeAdapter(_Kept)


async def silences_at(store: Notes, now: datetime) -> tuple[Silence, ...]:
    """Those that have not ended, the first to end first. Raises StoreError."""
    kept, _ = await _read(store)
    return tuple(sorted((each for each in kept if each.until > now), key=lambda each: each.until))


async def add_silence(
    store: Notes, *, customer: str, rule: str, until: datetime, reason: str, created_by: str, now: datetime
) -> Silence:
    """Begin a silence. Raises QueryError when it would be over already or is one too many, and StoreError."""
    if until <= now:
        raise QueryError("until", until.isoformat(), "a time that is still to come")
    silence = Silence(secrets.token_hex(4), customer, rule, until, reason, created_by, now)

    def added(known: tuple[Silence, ...]) -> tuple[Silence, ...]:
        if len(known) >= MOST_SILENCES:
            raise QueryError("silences", len(known) + 1, f"at most {MOST_SILENCES:,}; end some of them first")
        return (*known, silence)

    await _change(store, now, added)
    return silence


async def end_silence(store: Notes, silence_id: str, now: datetime) -> Silence | None:
    """End a silence; None when there is none of that id. Raises StoreError."""
    found = [each for each in await silences_at(store, now) if each.id == silence_id]
    if not found:
        return None
    await _change(store, now, lambda known: tuple(each for each in known if each.id != silence_id))
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


async def _change(
    store: Notes, now: datetime, changed: Callable[[tuple[Silence, ...]], tuple[Silence, ...]]
) -> None:
    for _ in range(_TRIES):
        known, version = await _read(store)
        left = changed(tuple(each for each in known if each.until > now))
        if await store.keep_note(SILENCES, _ADAPTER.dump_json(_Kept(left)).decode(), version):
            return
    raise StoreUnavailable("silences are being changed by many at once; try again")


async def _read(store: Notes) -> tuple[tuple[Silence, ...], int]:
    note = await store.note(SILENCES)
    if not note.text:
        return (), note.version
    try:
        return _ADAPTER.validate_json(note.text).silences, note.version
    except ValidationError as error:
        raise SchemaMismatch(
            "silences were kept by another version of tailmetrics; use that version, or a later one"
        ) from error
