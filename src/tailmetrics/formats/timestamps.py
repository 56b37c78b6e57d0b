"""Timestamps as text to UTC: real dates only, digits in their places, local times by the zone's rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats.reasons import found_instead

UTC: Final = "UTC"
# What Python's datetime, and with it every store's client, can hold.
EARLIEST: Final = datetime.fromisoformat("0001-01-01")
LATEST: Final = datetime.fromisoformat("9999-12-31T23:59:59.999999")
EPOCH_START: Final = datetime.fromisoformat("1970-01-01")

_MICROSECONDS = pl.Datetime("us")
_OFFSET = r"[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-5][0-9]"  # chrono would take second 60 for the next minute
# Go and Ruby write an abbreviation behind the offset, databases UTC alone.
_ZONE = rf"(?: ?(?:[Zz]|{_OFFSET}(?: [A-Z]{{2,5}})?)| (?:UTC|GMT))?"
_PLAIN = rf"\A[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} {_CLOCK}(?:\.[0-9]{{1,9}})?\z"
_ISO = rf"\A[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_CLOCK}(?:[.,][0-9]{{1,9}})?{_ZONE}\z"
_NGINX = rf"\A[0-9]{{2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}:{_CLOCK} [+-](?:[01][0-9]|2[0-3])[0-5][0-9]\z"
# As servers in Python write it, in the zone of their machine, and in Ruby with the name of one.
_PYTHON = rf"\A[0-9]{{2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}[: ]{_CLOCK}\z"
_BRACKETED = r"\A\[[^\[\]]*\]\z"
_EPOCH = r"\A-?[0-9]{1,19}(?:\.[0-9]+)?\z"
# Since 1970, by their size: milliseconds from this on, then microseconds, then nanoseconds.
_MILLISECONDS_FROM, _MICROSECONDS_FROM, _NANOSECONDS_FROM = 10**11, 10**14, 10**17
_WEEKDAY = r"\A[A-Z][a-z]{2}, "
_RFC_2822 = (
    rf"\A(?:[A-Z][a-z]{{2}}, )?[0-9]{{1,2}} [A-Z][a-z]{{2}} [0-9]{{4}} {_CLOCK} (?:GMT|UTC|UT|Z|{_OFFSET})\z"
)
_WITHOUT_YEAR = rf"\A[A-Z][a-z]{{2}} [ 0-9]?[0-9] {_CLOCK}(?:\.[0-9]{{1,9}})?\z"
_LEAP_YEARS_APART = 8  # at most: 1900 was none
_LATEST_NS = (1 << 63) - 1
# Abbreviations that everybody reads alike; others, as IST or BST, are of several zones.
_ABBREVIATIONS: Final = {
    **dict.fromkeys(("UTC", "GMT", "UT", "Z", "WET"), "+0000"),
    **dict.fromkeys(("CET", "WEST"), "+0100"),
    **dict.fromkeys(("CEST", "EET"), "+0200"),
    "EEST": "+0300",
    "EDT": "-0400",
    **dict.fromkeys(("EST", "CDT"), "-0500"),
    **dict.fromkeys(("CST", "MDT"), "-0600"),
    **dict.fromkeys(("MST", "PDT"), "-0700"),
    "PST": "-0800",
}
_NAMED_ZONE = rf"\A[0-9]{{2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}:{_CLOCK} (?:{'|'.join(_ABBREVIATIONS)})\z"
_ABBREVIATION = rf"(?:\A|[^A-Za-z])({'|'.join(_ABBREVIATIONS)})(?:[^A-Za-z]|\z)"

# Text to `time` (naive, null where it cannot be read) and `zoned` (whether `time` is UTC already).
Parse = Callable[[pl.Series], pl.DataFrame]


class TimestampReader:
    """Reads a column of timestamps; a time without a zone of its own is in `zone` (an IANA name)."""

    def __init__(self, zone: str, parse: Parse, expected: str, *, by_shape: bool = False) -> None:
        self.zone = zone
        self.by_shape = by_shape
        self._parse = parse
        self._expected = expected

    def read(self, text: pl.Series) -> pl.Series:
        """Naive UTC in microseconds; null where the text is no time, or a local time that never occurs."""
        return self.utc(*self._parse(text).select("time", "zoned"))

    def utc(self, time: pl.Series, zoned: pl.Series) -> pl.Series:
        """Naive UTC of naive times, which are UTC where `zoned` says so and else local; null as of `read`."""
        utc = pl.when(zoned).then(time).otherwise(to_utc(pl.lit(time), self.zone))
        return pl.select(in_range(utc)).to_series()

    def reasons(self, text: pl.Series) -> pl.Series:
        """For texts that `read` makes null: why it does."""
        parsed = self._parse(text).with_columns(text=text)
        never = pl.col("time").is_not_null() & to_utc(pl.col("time"), self.zone).is_null() & ~pl.col("zoned")
        return parsed.select(
            pl.when(never)
            .then(found_instead("timestamp", pl.col("text"), f"a local time that occurs in {self.zone}"))
            .otherwise(found_instead("timestamp", pl.col("text"), self._expected))
        ).to_series()


def reader(zone: str, pattern: str) -> TimestampReader:
    """For timestamps by a strftime pattern, or by their shape when it is empty. Raises FormatError."""
    if pattern:
        zones = f", %Z one of {', '.join(_ABBREVIATIONS)}" if "%Z" in pattern else ""
        return TimestampReader(zone, by_strftime(pattern), f"a real time as {pattern}{zones}")
    expected = (
        "a real time in ISO 8601, as 10/Oct/2024:13:55:36 +0000, as Tue, 01 Oct 2024 00:00:01 GMT, or in "
        "seconds, ms, µs or ns since 1970"
    )
    return TimestampReader(zone, of_known_shape, expected, by_shape=True)


def to_utc(local: pl.Expr, zone: str) -> pl.Expr:
    """Naive local times to naive UTC: the earlier one where a time occurs twice, null where it never does."""
    if zone == UTC:
        return local
    aware = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return aware.dt.convert_time_zone(UTC).dt.replace_time_zone(None)


def in_range(utc: pl.Expr) -> pl.Expr:
    """Null where the year is not from 1 to 9999."""
    return pl.when(utc.is_between(pl.lit(EARLIEST), pl.lit(LATEST))).then(utc)


def plain(text: pl.Series) -> pl.DataFrame:
    """`YYYY-MM-DD HH:MM:SS`, with or without a fraction of 1 to 9 digits."""
    fits = pl.when(text.str.contains(_PLAIN)).then(text)
    return pl.select(time=_calendar(fits) + _fraction(fits), zoned=False)


def of_known_shape(text: pl.Series) -> pl.DataFrame:
    """ISO 8601, nginx's local time, RFC 2822 or a time since 1970, whichever each text has the shape of."""
    shapes = []
    for pattern, parse in _SHAPES:
        fits = text.str.contains(pattern)
        if fits.all():  # a log has one shape
            return parse(text)
        if fits.any():
            shapes.append(parse(pl.select(pl.when(fits).then(text)).to_series()))
    nothing = pl.repeat(None, len(text), dtype=_MICROSECONDS)
    return pl.select(
        time=pl.coalesce(nothing, *(frame["time"] for frame in shapes)),
        zoned=pl.any_horizontal(pl.lit(value=False), *(frame["zoned"] for frame in shapes)),
    )


def by_strftime(pattern: str) -> Parse:
    """A reader of one's own format, in chrono's notation; `.%f` is a fraction of any length.

    `%Z` is one of the abbreviations that tell an offset, and a time with any other cannot be read.

    Raises FormatError when no full date can be read by it.
    """
    chrono = pattern.replace(".%f", "%.f").replace("%Z", "%z")
    always_utc = "%s" in chrono  # seconds since 1970

    def parse(text: pl.Series) -> pl.DataFrame:
        if "%Z" in pattern:
            text = _with_offset(text)
        time = text.str.to_datetime(chrono, time_unit="us", strict=False)
        zoned = always_utc or time.dtype != _MICROSECONDS
        return pl.select(time=time.dt.replace_time_zone(None), zoned=pl.repeat(zoned, len(text)))

    sample = datetime.fromisoformat("2024-10-25T13:46:58")
    try:
        # A bare %f would be nanoseconds, whatever number of digits there is.
        written = pl.Series([sample]).dt.replace_time_zone(UTC).dt.strftime(chrono)
        full = "%f" not in chrono and parse(written)["time"].dt.date().to_list() == [sample.date()]
    except pl.exceptions.PolarsError:
        full = False
    if not full:
        raise FormatError(
            f"LOG_TIMESTAMP_FORMAT: found {pattern!r}, expected a strftime format that tells year, month and "
            "day, with .%f, %3f, %6f or %9f for a fraction of the second"
        )
    return parse


def lacks_year(text: pl.Series) -> pl.Series:
    """Which texts are times as `Dec 26 16:22:13`."""
    return text.str.contains(_WITHOUT_YEAR).fill_null(value=False)


def with_year(text: pl.Series, written_ns: int) -> pl.Series:
    """`Dec 26 16:22:13` as ISO 8601, in the latest year in which it is at most a day after `written_ns`.

    `written_ns` is when the source was written to last, in nanoseconds since 1970. Other texts stay, and all
    where it is 0, as nobody knows then.
    """
    places = lacks_year(text).arg_true()
    if places.is_empty() or not written_ns:
        return text
    found = text.gather(places)
    clock, fraction = found.str.extract(r"\A([^.]*)"), found.str.extract(r"(\..*)").fill_null("")
    latest = EPOCH_START + timedelta(days=1, microseconds=min(written_ns, _LATEST_NS) // 1000)
    time = pl.repeat(None, len(found), dtype=_MICROSECONDS, eager=True)
    for earlier in range(_LEAP_YEARS_APART + 1):
        of_year = (f"{latest.year - earlier:04} " + clock).str.to_datetime(
            "%Y %b %e %H:%M:%S", time_unit="us", strict=False
        )
        time = time.zip_with(time.is_not_null(), of_year.set(of_year > latest, None))
        if not time.null_count():
            break
    iso = (time.dt.strftime("%Y-%m-%dT%H:%M:%S") + fraction).zip_with(time.is_not_null(), found)
    return text.clone().scatter(places, iso)


def _with_offset(text: pl.Series) -> pl.Series:
    """The texts with a numeric offset for the abbreviation of a zone that is known."""
    for name in text.str.extract(_ABBREVIATION, 1).drop_nulls().unique():
        text = text.str.replace(rf"(\A|[^A-Za-z]){name}([^A-Za-z]|\z)", f"${{1}}{_ABBREVIATIONS[name]}${{2}}")
    return text


def _iso(text: pl.Series) -> pl.DataFrame:
    rest = pl.lit(text).str.slice(19)
    digits = rest.str.extract("[+-]([0-9:]+)", 1).str.replace(":", "", literal=True)
    number = digits.str.pad_end(4, "0").cast(pl.Int64).fill_null(0)
    minutes = number // 100 * 60 + number % 100
    ahead = pl.duration(
        minutes=pl.when(rest.str.contains("-", literal=True)).then(-minutes).otherwise(minutes)
    )
    return pl.select(
        time=_calendar(pl.lit(text)) + _fraction(rest) - ahead,
        zoned=rest.str.contains("[Zz+-]|UTC|GMT").fill_null(value=False),
    )


def _nginx(text: pl.Series) -> pl.DataFrame:
    time = text.str.to_datetime("%d/%b/%Y:%H:%M:%S %z", time_unit="us", strict=False)
    return pl.select(time=time.dt.replace_time_zone(None), zoned=time.is_not_null())


def _rfc_2822(text: pl.Series) -> pl.DataFrame:
    """The weekday is not looked at: who writes a wrong one has the date right."""
    plain_text = text.str.replace(_WEEKDAY, "").str.replace(r"(?:GMT|UTC|UT|Z)\z", "+0000")
    time = plain_text.str.to_datetime("%d %b %Y %H:%M:%S %z", time_unit="us", strict=False)
    return pl.select(time=time.dt.replace_time_zone(None), zoned=time.is_not_null())


def _epoch(text: pl.Series) -> pl.DataFrame:
    whole = pl.lit(text).str.extract("([0-9]+)", 1).cast(pl.Int64, strict=False)
    digits = pl.lit(text).str.extract(r"\.([0-9]+)", 1).fill_null("").str.pad_end(6, "0")
    size = (
        pl.when(whole < _MILLISECONDS_FROM)
        .then(whole * 1_000_000 + digits.str.head(6).cast(pl.Int64))
        .when(whole < _MICROSECONDS_FROM)
        .then(whole * 1000 + digits.str.head(3).cast(pl.Int64))
        .when(whole < _NANOSECONDS_FROM)
        .then(whole)
        .otherwise(whole // 1000)
    )
    before = pl.lit(text).str.starts_with("-")
    time = pl.when(before).then(-size).otherwise(size).cast(_MICROSECONDS)
    return pl.select(time=time, zoned=time.is_not_null())


def _named_zone(text: pl.Series) -> pl.DataFrame:
    return _nginx(_with_offset(text))


def _python(text: pl.Series) -> pl.DataFrame:
    spaced = text.str.replace(r"\A(.{11}):", "$1 ")
    time = spaced.str.to_datetime("%d/%b/%Y %H:%M:%S", time_unit="us", strict=False)
    return pl.select(time=time, zoned=pl.repeat(False, len(text)))


def _bracketed(text: pl.Series) -> pl.DataFrame:
    """As Apache's %t has brackets of its own."""
    return of_known_shape(text.str.slice(1).str.strip_suffix("]"))


_SHAPES: Final = (
    (_ISO, _iso),
    (_NGINX, _nginx),
    (_EPOCH, _epoch),
    (_RFC_2822, _rfc_2822),
    (_PYTHON, _python),
    (_NAMED_ZONE, _named_zone),
    (_BRACKETED, _bracketed),
)


def _calendar(text: pl.Expr) -> pl.Expr:
    whole_seconds = text.str.slice(0, 10) + " " + text.str.slice(11, 8)
    return whole_seconds.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)


def _fraction(text: pl.Expr) -> pl.Expr:
    """The fraction of the second as a duration, cut to microseconds."""
    digits = text.str.extract(r"[.,]([0-9]+)", 1).fill_null("")
    return pl.duration(microseconds=digits.str.pad_end(6, "0").str.head(6).cast(pl.Int64))
