"""Durations as they are written: numbers in the unit of their log, or with a unit behind them."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

IMPROBABLE_SECONDS: Final = 3600.0  # no half of all requests take longer
# What logs call the time that a request took, as one writes it in snake_case, in order of preference.
NAMES: Final = (
    *("duration", "latency", "elapsed", "took", "request_time", "response_time"),
    *("time_taken", "total_time", "elapsed_time", "time_elapsed", "request_duration", "processing_time"),
    *("response_latency", "dur", "rt"),
)
# As they are looked for; others that unit_of knows are seldom.
_ENDS: Final = {
    "s": ("s", "sec", "secs", "seconds"),
    "ms": ("ms", "msec", "millis", "milliseconds"),
    "us": ("us", "usec", "micros", "microseconds"),
    "ns": ("ns", "nsec", "nanos", "nanoseconds"),
}
_SECONDS: Final = r"(?:[_-]?sec(?:ond)?s?)?"
_UNIT = "|".join(
    f"(?P<{unit}>{ends})"
    for unit, ends in (
        ("ms", f"ms|msecs?|millis?|milli{_SECONDS}"),
        ("us", f"us|[µμ]s|usecs?|micros?|micro{_SECONDS}"),
        ("ns", f"ns|nsecs?|nanos?|nano{_SECONDS}"),
        ("s", "s|secs?|seconds?"),
    )
)
# Behind a mark, as a word of its own, in brackets, or at once behind what only a duration is called.
_END = re.compile(
    r"(?:(?<=[^_.-])[_.-]|(?<=[a-z0-9])(?=[A-Z])|(?<=.)[(\[]"
    r"|(?:(?<=time|took)|(?<=latency|elapsed)|(?<=duration))(?!s\Z)|\A(?![snu]s?\Z))"
    rf"(?i:{_UNIT})[)\]]?\Z"
)
# Words that a name of the time which a whole request took consists of, and no other.
_WHOLE = re.compile(
    r"(?=.*(?:duration|latency|elapsed|took|runtime|timing|ttlb|time(?:taken|spent|total|toserve)"
    r"|(?:request|response|req|resp|res|total|process|processing|exec|execution|service|serve)time)|dur\Z|rt\Z)"
    r"(?:x|http|server|request|response|resp|req|res|total|overall|time|taken|spent|processing|process"
    r"|execution|exec|service|serve|handler|handling|call|event|access|in|of|to|the|duration|latency|elapsed"
    r"|took|runtime|timing|ttlb|dur|rt)+"
)
# With a unit behind them they are one, too.
_WHOLE_WITH_UNIT = re.compile(
    r"|response|request|total|time|cost|exec|execution|process|processing|resp|req|rsp"
)
# What an object is called that tells more of the same request.
_AROUND = re.compile(
    r"(?:attributes?|labels?|fields?|extra|context|ctx|meta|metadata|data|properties|props|event|http|request|req"
    r"|response|resp|res|timings?|metrics?|stats?|performance|perf|nginx|log|payload|message|msg|body|json|record"
    r"|params|info|details?|server|access|duration|latency|latencies|elapsed|state|custom|tags|args)+"
)
PER_SECOND: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_PLAIN = rf"\A{_NUMBER}\z"
_WITH_UNIT = rf"\A({_NUMBER}) ?(s|sec|ms|msec|us|usec|µs|μs|ns)\z"
# As Go writes durations of a minute and more.
_OF_MINUTES = r"\A(?:([0-9]+)h)?([0-9]+)m(?:([0-9]+(?:\.[0-9]+)?)s)?\z"
_UNITS = {"sec": "s", "msec": "ms", "usec": "us", "µs": "us", "μs": "us"}


def unit_of(key: str) -> str:
    """The unit in which the name of a key says that its value is; empty where it says none."""
    found = _END.search(key)
    return (found.lastgroup or "") if found else ""


def without_unit(key: str) -> str:
    """The name of a key without the unit that it tells."""
    return _END.sub("", key)


def is_of_request(key: str) -> bool:
    """Whether a key, with dots one in others, is called as the time that a whole request took."""
    *around, last = key.split(".")
    if unit_of(last) and around and not letters_of(without_unit(last)):  # as in `elapsed.ms`
        *around, last = (*around[:-1], f"{around[-1]}_{last}")
    name = letters_of(without_unit(last))
    is_whole = _WHOLE.fullmatch(name) or (unit_of(last) and _WHOLE_WITH_UNIT.fullmatch(name))
    return bool(is_whole) and all(_AROUND.fullmatch(letters_of(each)) for each in around)


def letters_of(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def named_with(name: str, unit: str) -> tuple[str, ...]:
    """How a name in snake_case is written, with a unit at its end, in both cases."""
    ends = _ENDS[unit]
    return tuple(
        dict.fromkeys([*(f"{name}_{end}" for end in ends), *(camel_case(f"{name}_{end}") for end in ends)])
    )


def seconds(text: pl.Expr, unit: str) -> pl.Expr:
    """Float64; null unless a finite decimal number without a sign, with a unit or else in `unit`."""
    plain = _of_unit(pl.when(text.str.contains(_PLAIN)).then(text), pl.lit(PER_SECOND[unit]))
    named = text.str.extract_groups(_WITH_UNIT)
    per_second = named.struct.field("2").replace(_UNITS).replace_strict(PER_SECOND, default=None)
    parts = text.str.extract_groups(_OF_MINUTES)
    hours, minutes, rest = (
        parts.struct.field(name).cast(pl.Float64, strict=False) for name in ("1", "2", "3")
    )
    of_minutes = hours.fill_null(0) * 3600 + minutes * 60 + rest.fill_null(0)
    value = pl.coalesce(plain, _of_unit(named.struct.field("1"), per_second), of_minutes)
    return pl.when(value.is_finite()).then(value)


def _of_unit(number: pl.Expr, per_second: pl.Expr) -> pl.Expr:
    # Divided once: so 152 ms is the double that 0.152 is.
    value = number.cast(pl.Float64, strict=False)
    # By a column: for division by one number Polars multiplies with its inverse, which is not quite the same.
    return value / (value * 0 + per_second)
