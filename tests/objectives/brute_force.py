"""Budgets as they must be, record by record in Python, without the package's windows, spans and globs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tailmetrics.objectives.budgets import Budget
from tailmetrics.objectives.definitions import Document, Objective
from tests.builders import Record, at

BERLIN = ZoneInfo("Europe/Berlin")
WINDOWS = {
    "5m": timedelta(minutes=5),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "3d": timedelta(days=3),
}

DOCUMENT = Document.model_validate(
    {
        "objective": [
            {
                "name": "available",
                "target": 99.9,
                "failures": "5xx",
                "exclude_paths": ["/health*"],
                "customers": ["cust_*"],
            },
            {"name": "fast", "kind": "latency", "limit_seconds": 0.5, "target": 95, "period": "7d"},
            {"name": "month", "target": 99.25, "period": "month", "timezone": "Europe/Berlin"},
        ],
        "maintenance": [
            {
                "begin": at("2024-10-27T00:30:00"),
                "end": at("2024-10-27T01:30:00"),
                "customers": ["cust_1*"],
                "objectives": ["available", "month"],
                "excluded": True,
            },
            {"begin": at("2024-10-01T00:00:00"), "end": at("2024-11-01T00:00:00")},
        ],
    }
)

# A while after clocks are set forward, after they are set back, and soon after a month has begun in Berlin.
MOMENTS = (at("2024-03-31T03:20:00"), at("2024-10-27T02:10:00"), at("2024-10-31T23:05:00"))


def requests() -> list[Record]:
    """Requests of 50 customers before each of the moments, more of them the nearer it is."""
    chance = random.Random(24)
    made: list[Record] = []
    for moment in MOMENTS:
        for _ in range(2_000):
            ago = timedelta(microseconds=int(10 ** chance.uniform(7, 12.6)))
            status = chance.choices((200, 404, 429, 503, 0), (90, 5, 2, 2, 1))[0]
            path = chance.choice(("/", "/health/live", "/orders", "/health"))
            duration = chance.choice((0.1, 0.25, 0.499, 0.5, 0.75, None))
            made.append((moment - ago, f"cust_{chance.randrange(50)}", path, status, duration))
        # The edges of a period, a maintenance and a window: the beginning counts, the end does not.
        for edge in (moment, moment - WINDOWS["6h"], moment - timedelta(days=30), at("2024-10-27T01:30:00")):
            made += [(edge + timedelta(microseconds=by), "cust_17", "/", 503, 0.5) for by in (-1, 0)]
    return made


def expected_budgets(records: Iterable[Record], document: Document, moment: datetime) -> list[dict[str, Any]]:
    """What is promised, and how it stands with each customer, by objective and customer."""
    found = []
    rows = list(records)
    for objective in document.objectives:
        counted = [row for row in rows if _counts(row, objective, document)]
        begin = _begin_of(objective, moment)
        first = min(begin, *(moment - length for length in WINDOWS.values()))
        for customer in sorted({row[1] for row in counted if first <= row[0] < moment}):
            own = [row for row in counted if row[1] == customer]
            found.append(_figures(objective, customer, own, begin, moment))
    return found


def figures_of(budget: Budget) -> dict[str, Any]:
    """A budget in the form of those that are expected."""
    return {
        "objective": budget.objective.name,
        "customer": budget.customer_id,
        "total": budget.counted.total,
        "bad": budget.counted.bad,
        "compliance": budget.compliance,
        "allowed": budget.allowed,
        "left": budget.left,
        "used_percent": budget.used_percent,
        "left_percent": budget.left_percent,
        "burn_rates": {window: budget.burn_rate(window) for window in WINDOWS},
        "runs_out_at": budget.runs_out_at,
        "state": budget.state,
    }


def _counts(row: Record, objective: Objective, document: Document) -> bool:
    if not any(fnmatchcase(row[1], glob) for glob in objective.customers):
        return False
    if any(fnmatchcase(row[2], glob) for glob in objective.exclude_paths):
        return False
    if objective.kind == "latency" and row[4] is None:
        return False
    return not any(
        each.excluded
        and objective.name in each.objectives
        and any(fnmatchcase(row[1], glob) for glob in each.customers)
        and each.begin <= row[0] < each.end
        for each in document.maintenance
    )


def _is_bad(row: Record, objective: Objective) -> bool:
    if objective.kind == "latency":
        return (
            row[4] is not None and objective.limit_seconds is not None and row[4] >= objective.limit_seconds
        )
    return row[3] == 0 or row[3] >= (500 if objective.failures == "5xx" else 400)


def _begin_of(objective: Objective, moment: datetime) -> datetime:
    if objective.period == "month":
        local = moment.astimezone(BERLIN)
        return datetime(local.year, local.month, 1, tzinfo=BERLIN).astimezone(timezone.utc)
    return moment - timedelta(days=int(objective.period[:-1]))


def _end_of(objective: Objective, moment: datetime) -> datetime:
    """Until when one looks ahead."""
    if objective.period == "month":
        local = moment.astimezone(BERLIN)
        year, month = divmod(local.year * 12 + local.month, 12)
        return datetime(year, month + 1, 1, tzinfo=BERLIN).astimezone(timezone.utc)
    return moment + timedelta(days=int(objective.period[:-1]))


def _figures(
    objective: Objective, customer: str, own: Sequence[Record], begin: datetime, moment: datetime
) -> dict[str, Any]:
    def count(since: datetime) -> tuple[int, int]:
        within = [row for row in own if since <= row[0] < moment]
        return len(within), sum(_is_bad(row, objective) for row in within)

    total, bad = count(begin)
    share = 1 - Fraction(Decimal(str(objective.target))) / 100
    rates = {window: count(moment - length) for window, length in WINDOWS.items()}
    left = total * share - bad
    requests, failed = rates["6h"]
    loss = failed - (requests * share if objective.period == "month" else 0)
    runs_out_at = None
    if left >= 0 and loss > 0:
        after = timedelta(microseconds=int(left * 21_600_000_000 / loss))
        runs_out_at = moment + after if moment + after < _end_of(objective, moment) else None
    return {
        "objective": objective.name,
        "customer": customer,
        "total": total,
        "bad": bad,
        "compliance": float(Fraction(100 * (total - bad), total)) if total else None,
        "allowed": float(total * share),
        "left": float(left),
        "used_percent": float(100 * bad / (total * share)) if total else None,
        "left_percent": float(100 * left / (total * share)) if total else None,
        "burn_rates": {
            window: float(Fraction(failed, requests) / share) if requests else None
            for window, (requests, failed) in rates.items()
        },
        "runs_out_at": runs_out_at,
        "state": "broken" if left < 0 else "at_risk" if runs_out_at is not None else "kept",
    }
