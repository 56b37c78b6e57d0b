"""Objectives as documents: their shapes, and how they are made of budgets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import Field
from typing_extensions import TypedDict

from tailmetrics.api.schemas import Count, Cursor, EndTime, Time
from tailmetrics.api.times import formatter
from tailmetrics.objectives.budgets import BURN_WINDOWS, Budget
from tailmetrics.stats import Failures

_Percent = Annotated[float | None, Field(description="Null without requests.", examples=[99.95])]
_BurnRate = Annotated[
    float | None,
    Field(
        ge=0,
        description="How many times as fast as it may the budget burned; null without requests.",
        examples=[0.5],
    ),
]


class _Promise(TypedDict):
    """An objective, a customer, and how the one stands with the other."""

    objective: Annotated[str, Field(description="Its name.", examples=["availability"])]
    customer_id: Annotated[str, Field(examples=["cust_1"])]
    state: Annotated[
        Literal["kept", "at_risk", "broken"],
        Field(
            description="`broken`: more than the budget is used. `at_risk`: it runs out within the period at "
            "the rate of the last 6 hours."
        ),
    ]
    kind: Literal["availability", "latency"]
    target: Annotated[
        float, Field(description="Per cent of the requests that are to be good.", examples=[99.9])
    ]
    failures: Annotated[Failures, Field(description="Of an availability: which statuses are bad.")]
    limit_seconds: Annotated[
        float | None, Field(description="Of a latency: from where on a request is bad; else null.")
    ]
    period: Annotated[str, Field(examples=["30d"])]
    tz: Annotated[str, Field(examples=["UTC"])]


# `from` is no name that a class body can hold.
_Period = TypedDict(
    "_Period",
    {
        "from": Annotated[Time, Field(description="Beginning of the period.")],
        "to": Annotated[
            EndTime, Field(description="Its end: `at`, or that of the calendar's week or month.")
        ],
    },
)


class ObjectiveBudget(_Promise, _Period):
    """How an objective stands with one customer; requests before `at` count, but those of maintenance."""

    total_requests: Count
    good_requests: Count
    bad_requests: Annotated[Count, Field(description="What is used of the budget.")]
    compliance: Annotated[_Percent, Field(description="Per cent that are good; null without requests.")]
    allowed_requests: Annotated[float, Field(ge=0, description="The budget: how many of them may be bad.")]
    left_requests: Annotated[float, Field(description="Less than zero where more is used than there is.")]
    used_percent: _Percent
    left_percent: _Percent
    burn_rate_5m: _BurnRate
    burn_rate_30m: _BurnRate
    burn_rate_1h: _BurnRate
    burn_rate_6h: _BurnRate
    burn_rate_3d: _BurnRate
    runs_out_at: Annotated[
        Time | None,
        Field(
            description="When nothing is left at the rate of the last 6 hours; null where that is not within "
            "the period, or has happened."
        ),
    ]


class Objectives(TypedDict):
    """One page of objectives with their customers."""

    at: Annotated[Time, Field(description="The moment of the figures, in UTC.")]
    total: Annotated[Count, Field(description="Entries on all pages.", examples=[150])]
    next_cursor: Cursor
    warnings: Annotated[
        list[str],
        Field(description="Why there may be fewer entries than are meant, and what is wrong with the file."),
    ]
    objectives: list[ObjectiveBudget]


def objectives_document(
    page: Sequence[Budget], at: datetime, total: int, next_cursor: str | None, warnings: Sequence[str]
) -> Objectives:
    return {
        "at": formatter(ZoneInfo("UTC"))(at),
        "total": total,
        "next_cursor": next_cursor,
        "warnings": list(warnings),
        "objectives": [_objective(budget) for budget in page],
    }


def _objective(budget: Budget) -> ObjectiveBudget:
    promised, counted = budget.objective, budget.counted
    write = formatter(ZoneInfo(promised.timezone))
    runs_out_at = budget.runs_out_at
    rates = {f"burn_rate_{window}": budget.burn_rate(window) for window in BURN_WINDOWS}
    figures = {
        "objective": promised.name,
        "customer_id": budget.customer_id,
        "state": budget.state,
        "kind": promised.kind,
        "target": promised.target,
        "failures": promised.failures,
        "limit_seconds": promised.limit_seconds,
        "period": promised.period,
        "tz": promised.timezone,
        "from": write(budget.period.start),
        "to": write(budget.period.end),
        "total_requests": counted.total,
        "good_requests": counted.total - counted.bad,
        "bad_requests": counted.bad,
        "compliance": budget.compliance,
        "allowed_requests": budget.allowed,
        "left_requests": budget.left,
        "used_percent": budget.used_percent,
        "left_percent": budget.left_percent,
        **rates,
        "runs_out_at": write(runs_out_at) if runs_out_at is not None else None,
    }
    return cast(ObjectiveBudget, figures)
