"""Alerts as tests tell them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from tailmetrics.objectives.alerts.alert import Alert

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


def make_alert(subject: str = "acme", state: str = "firing", **fields: Any) -> Alert:
    known: dict[str, Any] = {
        "key": f"burn_rate/checkout/{subject}",
        "kind": "burn_rate",
        "name": "checkout",
        "severity": "page",
        "episode": 1,
        "since": NOW,
        "started_at": NOW,
        "value": 20.0,
        "limit": 14.4,
        "summary": "the budget burns 20 times as fast as it may",
    }
    return Alert(subject=subject, state=state, **known | fields)
