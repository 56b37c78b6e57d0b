"""Alerts and silences as the API shows and takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from tailmetrics.api.schemas import Count, Time
from tailmetrics.api.times import formatter
from tailmetrics.objectives.alerts.alert import Alert, AlertKind, AlertState
from tailmetrics.objectives.alerts.silences import Silence
from tailmetrics.objectives.alerts.states import MOST_ALERTS
from tailmetrics.objectives.definitions import Severity

_WRITE = formatter(ZoneInfo("UTC"))
_STATES = ("firing", "pending", "resolved")

_Glob = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
_Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


_LENGTH = r"^[1-9][0-9]{0,5}[smhd]$"


def _length(value: str) -> str:
    if not re.fullmatch(_LENGTH, value):
        raise PydanticCustomError("length", "a number with s, m, h or d, such as 2h")
    return value


class AlertsParameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    state: AlertState | SkipJsonSchema[None] = Field(default=None, description="Only those in this state.")
    customer: str | SkipJsonSchema[None] = Field(
        default=None, description="Only those about this customer, or the source of this path."
    )
    rule: str | SkipJsonSchema[None] = Field(
        default=None, description="Only those of the objective, or rule, of this name."
    )
    severity: Severity | SkipJsonSchema[None] = Field(default=None, description="Only those of it.")
    limit: int = Field(default=1_000, ge=1, le=MOST_ALERTS, description="Entries, at most.")


class SilenceAsked(BaseModel):
    """A silence to be begun: until a time, or for a length."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    customer: _Glob = Field(
        default="*", description="Customers, or paths of sources: one, or many with `*`.", examples=["shop-*"]
    )
    rule: _Glob = Field(default="*", description="Objectives, or rules: one, or many with `*`.")
    until: AwareDatetime | None = Field(
        default=None, description="When it ends; either this or `for`.", examples=["2030-01-01T00:00:00Z"]
    )
    for_: (
        Annotated[str, AfterValidator(_length), WithJsonSchema({"type": "string", "pattern": _LENGTH})] | None
    ) = Field(default=None, alias="for", description="For how long, with s, m, h or d.", examples=["2h"])
    reason: _Line = Field(description="Why nobody is to be told.", examples=["known, is being mended"])
    created_by: _Line | None = Field(
        default=None, description="Who asks for it; default: the name of the key, if there is one."
    )


class AlertEntry(TypedDict):
    """One rule's alert about one customer, or one source."""

    id: Annotated[str, Field(description="Of this change of its state, as in notifications.")]
    key: Annotated[str, Field(description="Of the alert, whatever its state.")]
    kind: AlertKind
    name: Annotated[str, Field(description="Of the objective, or of the rule.")]
    subject: Annotated[str, Field(description="The customer, or the path of the source.")]
    severity: Severity
    state: AlertState
    since: Annotated[Time, Field(description="When this state began.")]
    started_at: Annotated[Time | None, Field(description="When it began to fire; null while pending.")]
    value: Annotated[float, Field(description="What was measured: a burn rate, seconds, or per cent.")]
    limit: Annotated[float, Field(description="What it was held against.")]
    summary: Annotated[str, Field(description="A sentence with the figures.")]
    silenced_by: Annotated[
        str | None, Field(description="The id of a silence, or a maintenance: nothing is sent; else null.")
    ]


class Alerts(TypedDict):
    """Alerts: those that fire first, then the pending ones, then those resolved within the last hour."""

    evaluated_at: Annotated[
        Time | None, Field(description="When they were kept last; null when they never were.")
    ]
    total: Annotated[Count, Field(description="Alerts that match.")]
    warnings: Annotated[list[str], Field(description="Why there may be fewer than are meant.")]
    alerts: list[AlertEntry]


class AlertHistory(TypedDict):
    """Alerts as they were when they began to fire or were resolved, the latest first."""

    total: Annotated[Count, Field(description="Changes that match.")]
    changes: list[AlertEntry]


class SilenceEntry(TypedDict):
    id: Annotated[str, Field(examples=["5f0c1a2b"])]
    customer: Annotated[str, Field(description="Of which customers, or sources.")]
    rule: Annotated[str, Field(description="Of which objectives, or rules.")]
    until: Annotated[Time, Field(description="When it ends.")]
    reason: str
    created_by: Annotated[str, Field(description="Empty where nobody was named.")]
    created_at: Time


class Silences(TypedDict):
    """Silences that have not ended, the first to end first."""

    silences: list[SilenceEntry]


def alert_entry(alert: Alert) -> AlertEntry:
    return {
        "id": alert.notification_id,
        "key": alert.key,
        "kind": alert.kind,
        "name": alert.name,
        "subject": alert.subject,
        "severity": alert.severity,
        "state": alert.state,
        "since": _time(alert.since),
        "started_at": None if alert.started_at is None else _time(alert.started_at),
        "value": alert.value,
        "limit": alert.limit,
        "summary": alert.summary,
        "silenced_by": alert.silenced_by,
    }


def silence_entry(silence: Silence) -> SilenceEntry:
    return {
        "id": silence.id,
        "customer": silence.customer,
        "rule": silence.rule,
        "until": _time(silence.until),
        "reason": silence.reason,
        "created_by": silence.created_by,
        "created_at": _time(silence.created_at),
    }


def selected(alerts: Iterable[Alert], asked: AlertsParameters) -> list[Alert]:
    """Those that were asked for, in their order."""
    return [
        alert
        for alert in alerts
        if asked.state in (None, alert.state)
        and asked.customer in (None, alert.subject)
        and asked.rule in (None, alert.name)
        and asked.severity in (None, alert.severity)
    ]


def alerts_document(
    alerts: Iterable[Alert], asked: AlertsParameters, evaluated_at: datetime | None, warnings: Sequence[str]
) -> Alerts:
    found = sorted(selected(alerts, asked), key=_order)
    return {
        "evaluated_at": None if evaluated_at is None else _time(evaluated_at),
        "total": len(found),
        "warnings": list(warnings),
        "alerts": [alert_entry(alert) for alert in found[: asked.limit]],
    }


def history_document(changes: Iterable[Alert], asked: AlertsParameters) -> AlertHistory:
    found = selected(changes, asked)
    return {"total": len(found), "changes": [alert_entry(alert) for alert in found[: asked.limit]]}


def _order(alert: Alert) -> tuple[int, float, str]:
    return _STATES.index(alert.state), -alert.since.timestamp(), alert.key


def _time(moment: datetime) -> str:
    return _WRITE(moment.astimezone(timezone.utc))
