"""The period of an objective at a moment."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from tailmetrics.objectives.definitions import Objective, days_of
from tailmetrics.windows import DAY_US, day_of, from_us, start_of_day, to_us

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end) in UTC; of the calendar's weeks and months `end` is still to come."""

    start: datetime
    end: datetime
    is_rolling: bool

    @property
    def outlook(self) -> datetime:
        """Up to when one looks ahead: until the period ends, or has nothing of now left in it."""
        return from_us(2 * to_us(self.end) - to_us(self.start)) if self.is_rolling else self.end


def period_at(objective: Objective, at: datetime) -> Period:
    """Some days of 24 hours that end at a moment, or the week (from Monday on) or month in which it lies."""
    if objective.period not in {"week", "month"}:
        return Period(from_us(to_us(at) - days_of(objective.period) * DAY_US), at, is_rolling=True)
    zone = ZoneInfo(objective.timezone)
    day = day_of(zone, at)
    today = date.fromordinal(day + _EPOCH_ORDINAL)
    if objective.period == "week":
        first, days = day - today.weekday(), 7
    else:
        first, days = day - today.day + 1, calendar.monthrange(today.year, today.month)[1]
    return Period(start_of_day(zone, first), start_of_day(zone, first + days), is_rolling=False)
