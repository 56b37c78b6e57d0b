"""Times as they stand in queries and answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import ROUND_CEILING, Decimal
from zoneinfo import ZoneInfo

EARLIEST = datetime(
    1, 1, 2, tzinfo=timezone.utc
)  # a day from the ends of the calendar: every zone can show it
LATEST = datetime(9999, 12, 30, tzinfo=timezone.utc)

EXPECTED = (
    "a date (2024-10-10), a time (2024-10-10T08:00:00Z), epoch seconds (1728547200), "
    "a time before now (-24h; s, m, h or d), or now"
)

_UTC = ZoneInfo("UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,12})?")
_AGO = re.compile(r"-([0-9]{1,15})([smhd])")
_CALENDAR = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?P<fraction>\.[0-9]{1,12})?)?"
    # A plus sign that was not percent-encoded arrives as a space.
    r"(?:(?P<utc>[Zz])|(?P<sign>[+ -])(?P<offset_hours>[0-9]{2}):(?P<offset_minutes>[0-9]{2}))?)?"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_time(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """A time in UTC, to the microsecond.

    A date is its midnight in `zone`, and a time without offset is in `zone` too; a local time that occurs
    twice is the earlier one. Digits below a microsecond are rounded up: stored times have none, so a
    half-open range keeps its meaning. Raises ValueError whose text says what was expected.
    """
    try:
        time = _parse(text, zone, now)
    except OverflowError:
        time = None
    if time is None or not EARLIEST <= time <= LATEST:
        expected = f"a time from {_written(EARLIEST, _UTC)} to {_written(LATEST, _UTC)}"
        if re.fullmatch(r"[0-9]{13,}", text):
            expected += "; epoch times are in seconds"
        raise ValueError(expected)
    return time


def is_before_now(text: str) -> bool:
    """Whether a text such as -24h stands for a time that moves on with the clock."""
    return _AGO.fullmatch(text) is not None


def _parse(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    if text == "now":
        return now
    if match := _AGO.fullmatch(text):
        return now - timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    if _NUMBER.fullmatch(text):
        return _EPOCH + timedelta(microseconds=_ceiling_micros(text))
    if match := _CALENDAR.fullmatch(text):
        return _from_calendar(match, zone)
    raise ValueError(EXPECTED)


def _from_calendar(match: re.Match[str], zone: ZoneInfo) -> datetime:
    try:
        year, month, day, hour, minute, second = (
            int(match[part] or 0) for part in ("year", "month", "day", "hour", "minute", "second")
        )
        time = datetime(year, month, day, hour, minute, second, tzinfo=_offset(match, zone))
    except ValueError:
        raise ValueError("a date and time that exist, such as 2024-10-10 or 2024-10-10T08:00:00Z") from None
    fraction = timedelta(microseconds=_ceiling_micros(match["fraction"] or "0"))
    return time.astimezone(timezone.utc) + fraction


def _offset(match: re.Match[str], zone: ZoneInfo) -> tzinfo:
    if match["utc"]:
        return timezone.utc
    if not match["sign"]:
        return zone
    hours, minutes = int(match["offset_hours"]), int(match["offset_minutes"])
    if hours > 23 or minutes > 59:
        raise ValueError("an offset of less than a day")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if match["sign"] == "-" else offset)


def _ceiling_micros(seconds: str) -> int:
    return int((Decimal(seconds) * 1_000_000).to_integral_value(ROUND_CEILING))


def formatter(zone: ZoneInfo) -> Callable[[datetime], str]:
    """A function that writes an aware time as RFC 3339 with the offset of `zone`, `Z` when it is zero.

    Where the zone's offset is not whole minutes, as before standard time, RFC 3339 cannot write it: such a
    time is given in UTC, and so is one whose local time is outside the years 1 to 9999.
    """
    # The end of one window is the beginning of the next, so every other time was written just before.
    last: tuple[datetime, str] | None = None

    def write(time: datetime) -> str:
        nonlocal last
        if last is None or last[0] != time:
            last = (time, _written(time, zone))
        return last[1]

    return write


def _written(time: datetime, zone: ZoneInfo) -> str:
    try:
        local = time.astimezone(zone)
    except OverflowError:
        local = time.astimezone(timezone.utc)
    offset = local.utcoffset() or timedelta(0)
    if offset.seconds % 60:
        local, offset = time.astimezone(timezone.utc), timedelta(0)
    text = local.isoformat()
    return text if offset else text.removesuffix("+00:00") + "Z"
