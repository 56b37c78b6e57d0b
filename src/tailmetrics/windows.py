"""Windows of the calendar as integer arithmetic on time, so that any store can sort records into them.

Times are microseconds since 1970-01-01T00:00:00Z. A date begins at its first instant in the zone: at
midnight, or where clocks skip midnight, when they do. Windows of days begin at every N-th date counted from
1970-01-01; shorter windows have equal length from the beginning of a date, and its last one ends with it.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from tailmetrics.errors import QueryError
from tailmetrics.stats import DAY_SECONDS, Every

DAY_US = DAY_SECONDS * 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_FIRST = datetime.min.replace(tzinfo=timezone.utc)
_LAST = datetime.max.replace(tzinfo=timezone.utc)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS}
_ALL_DAYS = 4_000_000  # more than there are between the years 1 and 9999
_LONG_DAYS = 28  # such windows are few: none is looked into for clock changes
_USUAL = ("1s", "5s", "10s", "15s", "30s", "1m", "2m", "5m", "10m", "15m", "30m", "1h", "2h", "6h", "12h")


def length_of(text: str) -> int | None:
    """The seconds of a text such as 90s, 5m, 36h or 3d; None of any other."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text, re.ASCII)
    return None if found is None else int(found[1]) * _UNIT_SECONDS[found[2]]


def parse_every(text: str) -> Every:
    """The length of a window from text such as 15m, 6h, 1d or none. Raises QueryError."""
    if text == "none":
        return Every(text)
    seconds = length_of(text)
    if seconds is None:
        raise QueryError(
            "every", text, "a number from 1 to 999999 with s, m, h or d, such as 15m or 1d, or none"
        )
    if seconds % DAY_SECONDS == 0:
        return Every(text, days=seconds // DAY_SECONDS)
    if seconds > DAY_SECONDS:
        raise QueryError("every", text, "a length below one day or a whole number of days")
    return Every(text, seconds=seconds)


def suitable_every(seconds: float, most: int) -> str:
    """The shortest usual length of which at most so many fill so many seconds."""
    for text in _USUAL:
        if parse_every(text).seconds * most >= seconds:
            return text
    return f"{max(1, -(-int(seconds) // (most * DAY_SECONDS)))}d"


def zone_named(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises QueryError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise QueryError("tz", name, "an IANA time zone such as UTC or Europe/Berlin") from error


def clocks_change(zone: ZoneInfo) -> bool:
    """Whether a zone's offset from UTC has ever changed; where not, a Grid needs no spans."""
    return zone.utcoffset(None) is None


def to_us(moment: datetime) -> int:
    """An aware time in microseconds."""
    return (moment - _EPOCH) // _MICROSECOND


_FIRST_US, _LAST_US = to_us(_FIRST), to_us(_LAST)


def from_us(us: int) -> datetime:
    """Microseconds as an aware time in UTC; what lies outside the years 1 to 9999 is their edge."""
    if us <= _FIRST_US:
        return _FIRST
    if us >= _LAST_US:
        return _LAST
    return _EPOCH + us * _MICROSECOND


def day_of(zone: ZoneInfo, moment: datetime) -> int:
    """The date that has begun last at a time in a zone, in days since 1970-01-01."""
    return _day_of(zone, to_us(moment))


def start_of_day(zone: ZoneInfo, day: int) -> datetime:
    """When a date begins in a zone, in UTC; `day` counts from 1970-01-01."""
    return from_us(_first_instant(zone, day))


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of whole windows, [start_us, until_us), in which the start of a window is arithmetic.

    With r = t - anchor_us, never negative, cut to r % day_us where `day_us` is not None, the window of t
    begins at t - r % step_us. A window ends after `step_us`, but no later than its day or the piece.
    """

    start_us: int
    until_us: int
    anchor_us: int
    step_us: int
    day_us: int | None = None

    def window_start(self, us: int) -> int:
        since = us - self.anchor_us
        if self.day_us is not None:
            since %= self.day_us
        return us - since % self.step_us

    def window_end(self, start_us: int) -> int:
        end = min(start_us + self.step_us, self.until_us)
        if self.day_us is not None:
            end = min(end, start_us - (start_us - self.anchor_us) % self.day_us + self.day_us)
        return end

    def windows_before(self, us: int) -> int:
        """How many windows of this piece begin before `us`, which lies in the piece or at its end."""
        span = us - self.start_us
        if self.day_us is None:
            return -(-span // self.step_us)
        days, rest = divmod(span, self.day_us)
        return days * -(-self.day_us // self.step_us) + -(-rest // self.step_us)


class Grid:
    """All windows of one length in one zone that have a part in one of the spans [low_us, high_us)."""

    def __init__(self, every: Every, zone: ZoneInfo, spans: Sequence[tuple[int, int]]) -> None:
        self.pieces = _fixed(every, zone) or _by_calendar(every, zone, spans)
        self._starts = [piece.start_us for piece in self.pieces]

    def start_of(self, us: int) -> int:
        """Where the window begins that holds `us`, a time in one of the spans."""
        return self._piece(us).window_start(us)

    def end_of(self, start_us: int) -> int:
        """Where the window ends that begins at `start_us`."""
        return self._piece(start_us).window_end(start_us)

    def count(self, low_us: int, high_us: int) -> int:
        """How many windows have a part in [low_us, high_us), a part of one span, without a walk over them."""
        if high_us <= low_us:
            return 0
        low_us = self.start_of(low_us)
        return sum(
            piece.windows_before(min(high_us, piece.until_us))
            - piece.windows_before(max(low_us, piece.start_us))
            for piece in self.pieces
            if piece.start_us < high_us and piece.until_us > low_us
        )

    def windows(self, low_us: int, high_us: int) -> Iterator[tuple[int, int]]:
        """Start and end, uncut, of each window that has a part in [low_us, high_us), a part of one span."""
        start = self.start_of(low_us) if low_us < high_us else high_us
        while start < high_us:
            end = self.end_of(start)
            yield start, end
            start = end

    def _piece(self, us: int) -> Piece:
        return self.pieces[bisect.bisect_right(self._starts, us) - 1]


def count_windows(every: Every, zone: ZoneInfo, low_us: int, high_us: int, most: int) -> int:
    """How many windows have a part in [low_us, high_us), without a walk over them.

    Exact up to `most` and a little beyond, else roughly: a grid over thousands of years with changing clocks
    takes seconds to make.
    """
    days, rest = divmod(max(0, high_us - low_us), DAY_US)
    if every.days:
        number = -(-days // every.days)
    else:
        step = every.seconds * 1_000_000
        number = days * -(-DAY_US // step) + rest // step
    if number > most + 10 and clocks_change(zone):
        return number
    return Grid(every, zone, [(low_us, high_us)]).count(low_us, high_us)


def _fixed(every: Every, zone: ZoneInfo) -> list[Piece]:
    """The one piece of a zone whose clocks never change, long enough for all time."""
    offset = zone.utcoffset(None)
    if offset is None:
        return []
    midnight = -(offset // _MICROSECOND)
    days = every.days or 1
    reach = -(-_ALL_DAYS // days) * days * DAY_US
    return [_regular(every, midnight - reach, midnight + reach)]


def _regular(every: Every, start_us: int, until_us: int) -> Piece:
    """A piece of which all days have 24 hours."""
    if every.days:
        return Piece(start_us, until_us, start_us, every.days * DAY_US)
    step = every.seconds * 1_000_000
    return Piece(start_us, until_us, start_us, step, None if DAY_US % step == 0 else DAY_US)


def _irregular(every: Every, start_us: int, until_us: int) -> Piece:
    """A piece of one window of days, or of one date, in which clocks change."""
    step = until_us - start_us if every.days else every.seconds * 1_000_000
    return Piece(start_us, until_us, start_us, step)


def _by_calendar(every: Every, zone: ZoneInfo, spans: Sequence[tuple[int, int]]) -> list[Piece]:
    """Pieces over windows (of days) or dates: those in which clocks change alone, the others together."""
    days = every.days or 1
    pieces: list[Piece] = []
    begin = -_ALL_DAYS
    for low_us, high_us in spans:
        first = max(begin, _day_of(zone, low_us) // days)
        last = _day_of(zone, max(low_us, high_us - 1)) // days
        pieces.extend(_between(every, zone, first, last + 1))
        begin = max(begin, last + 1)
    return pieces


def _between(every: Every, zone: ZoneInfo, first: int, end: int) -> Iterator[Piece]:
    """Pieces from the window (of days) or date of one index to that of another."""
    days = every.days or 1

    def instant(index: int) -> int:
        return _first_instant(zone, index * days)

    begin = first
    for index in _changing(zone, days, first, end):
        if begin < index:
            yield _regular(every, instant(begin), instant(index))
        if instant(index) < instant(index + 1):  # a date that a zone has skipped has no time in it
            yield _irregular(every, instant(index), instant(index + 1))
        begin = index + 1
    if begin < end:
        yield _regular(every, instant(begin), instant(end))


def _changing(zone: ZoneInfo, days: int, first: int, end: int) -> Sequence[int]:
    """Indices of the windows that may have more or less than 24 hours a day."""
    if days >= _LONG_DAYS:
        return range(first, end)
    return sorted({day // days for day in _days_of_changes(zone, first * days, end * days)})


def _day_of(zone: ZoneInfo, us: int) -> int:
    """The date that has begun last at a time, in days since 1970-01-01."""
    day = (us + _offset_us(zone, us)) // DAY_US
    while _first_instant(zone, day) > us:
        day -= 1
    while _first_instant(zone, day + 1) <= us:
        day += 1
    return day


def _days_of_changes(zone: ZoneInfo, low_day: int, high_day: int) -> Iterator[int]:
    """Dates in [low_day, high_day) that have more or less than 24 hours."""
    for chunk in range(low_day // _CHUNK_DAYS, -(-high_day // _CHUNK_DAYS)):
        for day in _changes_in_chunk(zone, chunk):
            if low_day <= day < high_day:
                yield day


_CHUNK_DAYS = 366


@functools.lru_cache(maxsize=10_000)
def _changes_in_chunk(zone: ZoneInfo, chunk: int) -> tuple[int, ...]:
    """Dates of a stretch of about a year that have more or less than 24 hours."""
    low, high = chunk * _CHUNK_DAYS, (chunk + 1) * _CHUNK_DAYS
    suspects = set()
    following, _ = _offsets_at_midnight(zone, high)
    for day in range(high - 1, low - 1, -1):
        before, after = _offsets_at_midnight(zone, day)
        if before != following:
            suspects.add(day)
        if before != after:
            suspects.update((day - 1, day))
        following = before
    # The first date of the next stretch tells of the last one of this.
    if len(set(_offsets_at_midnight(zone, high))) > 1:
        suspects.add(high - 1)
    return tuple(
        day
        for day in sorted(suspects)
        if day >= low and _first_instant(zone, day + 1) - _first_instant(zone, day) != DAY_US
    )


def _offsets_at_midnight(zone: ZoneInfo, day: int) -> tuple[timedelta, timedelta]:
    """Offsets from UTC of a date's midnight, two where clocks change over it: before and after the change."""
    ordinal = day + _EPOCH_ORDINAL
    # Beyond the calendar's years there is no zone to ask, and no record either.
    if not 2 <= ordinal <= date.max.toordinal() - 1:
        return timedelta(0), timedelta(0)
    midnight = datetime.fromordinal(ordinal).replace(tzinfo=zone)
    return midnight.utcoffset() or timedelta(0), midnight.replace(fold=1).utcoffset() or timedelta(0)


def _first_instant(zone: ZoneInfo, day: int) -> int:
    """When a date begins in a zone; `day` counts from 1970-01-01."""
    before, after = _offsets_at_midnight(zone, day)
    earlier = day * DAY_US - before // _MICROSECOND
    if before >= after:
        return earlier
    # Clocks skip midnight: they were set forward after `low`, and have been by `high`.
    low, high = day * DAY_US - after // _MICROSECOND, earlier
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_us(zone, middle) == after // _MICROSECOND:
            high = middle
        else:
            low = middle
    return high


def _offset_us(zone: ZoneInfo, us: int) -> int:
    moment = from_us(us)
    if moment.year in (1, 9999):
        return 0
    return (moment.astimezone(zone).utcoffset() or timedelta(0)) // _MICROSECOND
