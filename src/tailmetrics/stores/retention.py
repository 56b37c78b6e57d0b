"""What is said of what RETENTION_DAYS deletes."""

from __future__ import annotations

from datetime import datetime

from tailmetrics.telemetry.log import EventLog

log = EventLog()


def log_deleted(days: int, oldest: datetime, first: datetime | None, records: int, rejects: int) -> None:
    """One line of the log for what was deleted at once, being older than `oldest`; times are in UTC.

    `first` is that of the oldest record of it, None when no record was deleted.
    """
    log.info(
        "deleted by RETENTION_DAYS",
        retention_days=days,
        records=records,
        rejects=rejects,
        **{} if first is None else {"from": _text(first)},
        before=_text(oldest),
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
