"""Where the period of an objective begins and ends."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tailmetrics.objectives.definitions import Objective
from tailmetrics.objectives.periods import period_at
from tests.builders import at


def objective(period: str, zone: str = "UTC") -> Objective:
    return Objective(name="a", target=99, period=period, timezone=zone)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_rolling_days_have_24_hours_whatever_clocks_do(zone: str) -> None:
    moment = at("2024-03-31T12:00:00")
    period = period_at(objective("1d", zone), moment)
    assert (period.start, period.end) == (moment - timedelta(hours=24), moment)
    assert period.outlook == moment + timedelta(hours=24)


@pytest.mark.parametrize(
    ("period", "zone", "moment", "start", "end"),
    [
        # The week and the month in which clocks are set forward, and back, at the first moment and the last.
        ("week", "Europe/Berlin", "2024-03-31T21:59:59", "2024-03-24T23:00:00", "2024-03-31T22:00:00"),
        ("week", "Europe/Berlin", "2024-03-31T22:00:00", "2024-03-31T22:00:00", "2024-04-07T22:00:00"),
        ("month", "Europe/Berlin", "2024-03-31T21:59:59", "2024-02-29T23:00:00", "2024-03-31T22:00:00"),
        ("week", "Europe/Berlin", "2024-10-27T22:59:59", "2024-10-20T22:00:00", "2024-10-27T23:00:00"),
        ("month", "Europe/Berlin", "2024-10-27T00:30:00", "2024-09-30T22:00:00", "2024-10-31T23:00:00"),
        ("month", "Europe/Berlin", "2024-10-31T23:00:00", "2024-10-31T23:00:00", "2024-11-30T23:00:00"),
        ("month", "UTC", "2024-02-29T12:00:00", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("month", "UTC", "2024-12-31T23:59:59", "2024-12-01T00:00:00", "2025-01-01T00:00:00"),
        ("week", "UTC", "2025-01-01T00:00:00", "2024-12-30T00:00:00", "2025-01-06T00:00:00"),
        # Clocks skip midnight: the date begins at one o'clock.
        ("week", "Asia/Beirut", "2024-04-01T00:00:00", "2024-03-31T21:00:00", "2024-04-07T21:00:00"),
        ("month", "America/Asuncion", "2023-10-01T05:00:00", "2023-10-01T04:00:00", "2023-11-01T03:00:00"),
    ],
)
def test_weeks_and_months_are_those_of_the_calendar_in_a_zone(
    period: str, zone: str, moment: str, start: str, end: str
) -> None:
    found = period_at(objective(period, zone), at(moment))
    assert (found.start, found.end, found.outlook) == (at(start), at(end), at(end))


@pytest.mark.parametrize("period", ["90d", "week", "month"])
@pytest.mark.parametrize(
    "moment", [datetime(1, 1, 2, tzinfo=timezone.utc), datetime(9999, 12, 30, tzinfo=timezone.utc)]
)
def test_a_period_at_the_edge_of_time_ends_there(period: str, moment: datetime) -> None:
    found = period_at(objective(period, "Europe/Berlin"), moment)
    assert found.start <= moment <= found.end <= found.outlook
