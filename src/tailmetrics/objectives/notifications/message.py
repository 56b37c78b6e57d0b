"""What receivers are told: one document for all kinds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Final
from urllib.parse import quote

from tailmetrics.objectives.alerts.alert import Alert, AlertKind, AlertState
from tailmetrics.objectives.definitions import Severity
from tailmetrics.objectives.notifications.outbox import Entry

VERSION: Final = 1
SOURCE_KINDS: Final = frozenset({"lag", "rejects"})  # of alerts about a source, not about a customer
_LONGEST = 400  # characters of an alert in a text


@dataclass(frozen=True, slots=True)
class ToldAlert:
    """An alert as a document tells it; times are RFC 3339 in UTC."""

    id: str  # of this change of its state
    key: str  # of the alert, whatever its state
    subject: str
    summary: str
    value: float
    limit: float
    since: str
    started_at: str | None

    @classmethod
    def of(cls, alert: Alert) -> ToldAlert:
        return cls(
            id=alert.notification_id,
            key=alert.key,
            subject=alert.subject,
            summary=alert.summary,
            value=alert.value,
            limit=alert.limit,
            since=rfc3339(alert.since),
            started_at=None if alert.started_at is None else rfc3339(alert.started_at),
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One notification. Its fields are those of the JSON document, described in docs/objectives.md."""

    version: int
    id: str
    receiver: str
    status: AlertState
    severity: Severity
    kind: AlertKind
    name: str
    title: str
    summary: str
    text: str
    count: int
    alerts: tuple[ToldAlert, ...]
    url: str | None
    created_at: str
    test: bool

    @classmethod
    def of(cls, entry: Entry, external_url: str | None, *, test: bool = False) -> Message:
        """What an entry tells."""
        group = entry.group
        noun = "source" if group.kind in SOURCE_KINDS else "customer"
        first = entry.alerts[0]
        about = _sentence(first) if entry.count == 1 else f"{entry.count:,} {noun}s"
        summary = f"{group.name}: {about}"
        url = address(external_url, first if entry.count == 1 and not test else None)
        state = "TEST" if test else group.state.upper()
        lines = [_line(alert) for alert in entry.alerts]
        if entry.count > len(lines):
            lines.append(f"and {entry.count - len(lines):,} more")
        return cls(
            version=VERSION,
            id=entry.id,
            receiver=entry.receiver,
            status=group.state,
            severity=group.severity,
            kind=group.kind,
            name=group.name,
            title=f"[{state}] {group.severity}: {summary}",
            summary=summary,
            text="\n".join(lines),
            count=entry.count,
            alerts=tuple(map(ToldAlert.of, entry.alerts)),
            url=url,
            created_at=rfc3339(entry.created_at),
            test=test,
        )

    def json(self) -> bytes:
        """The document, as webhooks and commands get it."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()


def rfc3339(moment: datetime) -> str:
    """A time in UTC, to the millisecond."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def address(external_url: str | None, alert: Alert | None) -> str | None:
    """The page's address, of an alert's customer where it is about one."""
    if external_url is None or alert is None or alert.kind in SOURCE_KINDS:
        return external_url
    return f"{external_url.rstrip('/')}/?customer={quote(alert.subject, safe='')}"


def _sentence(alert: Alert) -> str:
    about = "" if alert.kind in SOURCE_KINDS else f"{alert.subject}: "  # their summaries name the source
    sentence = f"{about}{' '.join(alert.summary.split())}"
    return sentence if len(sentence) <= _LONGEST else f"{sentence[: _LONGEST - 1]}…"


def _line(alert: Alert) -> str:
    return f"{_sentence(alert)} (since {alert.since.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC)"
