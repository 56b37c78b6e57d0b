from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from tailmetrics.api.times import formatter, parse_time

NOW = datetime(2024, 10, 10, 12, 30, 15, 250_000, tzinfo=timezone.utc)
UTC = ZoneInfo("UTC")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]  # the parts of a time, then its zone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-10-10", utc(2024, 10, 10)),
        ("2024-02-29", utc(2024, 2, 29)),
        ("2024-10-10T08:15:30", utc(2024, 10, 10, 8, 15, 30)),
        ("2024-10-10 08:15:30", utc(2024, 10, 10, 8, 15, 30)),
        ("2024-10-10T08:15", utc(2024, 10, 10, 8, 15)),
        ("2024-10-10T08:15:30Z", utc(2024, 10, 10, 8, 15, 30)),
        ("2024-10-10t08:15:30z", utc(2024, 10, 10, 8, 15, 30)),
        ("2024-10-10T08:15:30+02:00", utc(2024, 10, 10, 6, 15, 30)),
        ("2024-10-10T08:15:30 02:00", utc(2024, 10, 10, 6, 15, 30)),
        ("2024-10-10T08:15:30-05:30", utc(2024, 10, 10, 13, 45, 30)),
        ("2024-10-10T08:15:30.5Z", utc(2024, 10, 10, 8, 15, 30, 500_000)),
        ("2024-10-10T08:15:30.000000001Z", utc(2024, 10, 10, 8, 15, 30, 1)),
        ("0", utc(1970, 1, 1)),
        ("1728547200", utc(2024, 10, 10, 8)),
        ("1728547200.25", utc(2024, 10, 10, 8, 0, 0, 250_000)),
        ("-1", utc(1969, 12, 31, 23, 59, 59)),
        ("-0.5", utc(1969, 12, 31, 23, 59, 59, 500_000)),
        ("now", NOW),
        ("-15s", utc(2024, 10, 10, 12, 30, 0, 250_000)),
        ("-30m", utc(2024, 10, 10, 12, 0, 15, 250_000)),
        ("-24h", utc(2024, 10, 9, 12, 30, 15, 250_000)),
        ("-7d", utc(2024, 10, 3, 12, 30, 15, 250_000)),
    ],
)
def test_each_form_of_a_time(text: str, expected: datetime) -> None:
    assert parse_time(text, UTC, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "24h",
        "-1w",
        "-1.5h",
        "1e9",
        "nan",
        "2024-10",
        "2024-1-1",
        "20241010T000000",
        "2024-10-10T",
        "2024-10-10T08",
        "2024-10-10Z",
        "2024-10-10T08:00:00+2",
        "2024-10-10T08:00:00Zulu",
        "٢٠٢٤-10-10",
    ],
)
def test_another_form_is_refused_with_all_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="epoch seconds"):
        parse_time(text, UTC, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "0000-01-01",
        "2024-10-10T24:00:00",
        "2024-10-10T08:60:00",
        "2024-10-10T08:00:00+24:00",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="that exist"):
        parse_time(text, UTC, NOW)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "1" * 20, "-" + "9" * 15 + "d"])
def test_a_time_outside_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="0001-01-02T00:00:00Z to 9999-12-30T00:00:00Z"):
        parse_time(text, UTC, NOW)


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("America/New_York", "2024-10-10", utc(2024, 10, 10, 4)),
        ("Asia/Kathmandu", "2024-10-10T00:00:00", utc(2024, 10, 9, 18, 15)),
        # The hour from 01:00 to 02:00 comes twice on this day.
        ("America/New_York", "2024-11-03T01:30:00", utc(2024, 11, 3, 5, 30)),
        # This day has no midnight: it begins at 01:00.
        ("America/Sao_Paulo", "2018-11-04", utc(2018, 11, 4, 3)),
    ],
)
def test_a_time_without_offset_is_in_the_zone(zone: str, text: str, expected: datetime) -> None:
    assert parse_time(text, ZoneInfo(zone), NOW) == expected


@pytest.mark.parametrize(
    ("zone", "time", "expected"),
    [
        ("UTC", utc(2024, 10, 10), "2024-10-10T00:00:00Z"),
        ("UTC", utc(2024, 10, 10, 0, 0, 0, 1), "2024-10-10T00:00:00.000001Z"),
        ("America/New_York", utc(2024, 10, 10, 4), "2024-10-10T00:00:00-04:00"),
        ("Asia/Kathmandu", utc(2024, 10, 10), "2024-10-10T05:45:00+05:45"),
        ("Europe/London", utc(2024, 12, 1), "2024-12-01T00:00:00Z"),
        # Berlin was 53 minutes and 28 seconds ahead then.
        ("Europe/Berlin", utc(1850, 1, 1), "1850-01-01T00:00:00Z"),
        ("Pacific/Kiritimati", utc(9999, 12, 30), "9999-12-30T14:00:00+14:00"),
        ("America/New_York", utc(1, 1, 2), "0001-01-02T00:00:00Z"),
        # The zone's own time is outside the calendar.
        ("America/New_York", utc(1, 1, 1), "0001-01-01T00:00:00Z"),
        ("Pacific/Kiritimati", utc(9999, 12, 31, 23, 59, 59), "9999-12-31T23:59:59Z"),
        ("Asia/Kathmandu", datetime.max.replace(tzinfo=timezone.utc), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_written_with_the_offset_of_the_zone(zone: str, time: datetime, expected: str) -> None:
    assert formatter(ZoneInfo(zone))(time) == expected


def test_a_formatter_writes_one_time_after_another() -> None:
    write = formatter(UTC)
    times = [utc(2024, 10, day) for day in (10, 11, 11, 10)]
    assert [write(time)[8:10] for time in times] == ["10", "11", "11", "10"]
