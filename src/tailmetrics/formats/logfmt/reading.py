"""The format `logfmt`: `ts=… level=info path=/a status=200 duration=0.316`, keys in any order.

There is no standard; this is what the package github.com/go-logfmt/logfmt writes and reads: pairs with white
space between them, a value with spaces, quotes or = in quotes with the escapes of JSON, and keys alone, which
are passed over here. A key that is there twice has its first value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from tailmetrics.formats.fields import MISSING, PROBLEM
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.logfmt.keys import CUSTOMER, IN_SECONDS, USUAL, is_mapped, keys_of
from tailmetrics.formats.paths import asked_for
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import TextFormat
from tailmetrics.formats.units import is_of_request, unit_of
from tailmetrics.settings import FormatOptions

NAME: Final = "logfmt"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PAIR = rf'[^ \t"=]*={_QUOTED}'
_WELL_QUOTED = rf'\A[ \t]*(?:(?:{_PAIR}|[^ \t"]*)(?:[ \t]+|\z))*\z'
_TOKEN = rf'{_PAIR}|[^ \t"]+'
_NUMBER = r"\A[0-9.][0-9.eE+-]*\z"
_WHOLE = r"\A[0-9]+\z"
# No line that may be a record has a NUL: around pairs it is what no quoted value can contain.
_BETWEEN = "\0"
_SPACE, _TAB, _QUOTE = b' \t"'


def extract(text: pl.Series, keys: Mapping[str, Sequence[str]], *, asks_unit: bool = False) -> pl.DataFrame:
    """The fields of each line as text, by the keys of each in order of preference.

    With `asks_unit` lines are refused whose duration is of an unknown unit.
    """
    fits = text.str.contains("=", literal=True)
    quoted = text.str.contains('"', literal=True)
    if quoted.any():
        fits &= ~quoted | text.str.contains(_WELL_QUOTED)
    pairs = _separated(pl.select(pl.when(fits).then(text).otherwise(pl.lit(""))).to_series())
    there = _keys_there(pairs, [key for choices in keys.values() for key in choices])
    found = pairs.to_frame("").select(pl.col("").str.extract(_value_of(key), 1).alias(key) for key in there)
    values = {key: _unquoted(found[key]) for key in there}
    durations = {key: _duration(values[key], key) for key in keys.get("duration", ()) if key in values}
    if asks_unit:
        of_lograge = pairs.str.contains_any([f"{_BETWEEN}{key}=" for key in _OF_LOGRAGE])
        durations = {key: _marked(duration, key, of_lograge) for key, duration in durations.items()}
    fields = {
        name: _first([(durations if name == "duration" else values)[key] for key in chosen])
        for name, choices in keys.items()
        if (chosen := [key for key in choices if key in values])
    }
    if "path" in fields:
        fields["path"] = asked_for(fields["path"])
    problem: pl.Expr = pl.when(~fits).then(found_instead("line", pl.lit(text), "pairs such as key=value"))
    if asks_unit and "duration" in fields:
        fields["duration"], of_unknown_unit = _unmarked(fields["duration"])
        problem = pl.coalesce(problem, of_unknown_unit)
    missing = [name for name in keys if name not in fields]
    return pl.select(
        *(values.alias(name) for name, values in fields.items()),
        *(pl.repeat(None, len(text), dtype=pl.String()).alias(name) for name in missing),
        problem.alias(PROBLEM),
    )


def _separated(text: pl.Series) -> pl.Series:
    """Lines with a NUL around each pair, in place of the white space outside of quotes."""
    escaped = text.str.contains("\\", literal=True)
    lines = pl.select(pl.when(~escaped).then(text).otherwise(pl.lit(""))).to_series()
    joined = lines.str.join(f"{_BETWEEN}\n{_BETWEEN}").item()
    data = np.frombuffer(f"\n{_BETWEEN}{joined}{_BETWEEN}".encode(), dtype=np.uint8).copy()
    # Each line has its quotes in pairs: so in all together what is behind an odd number of them is in quotes.
    spaces = np.flatnonzero((data == _SPACE) | (data == _TAB))
    before = np.searchsorted(np.flatnonzero(data == _QUOTE), spaces)
    data[spaces[before % 2 == 0]] = 0
    separated = pl.read_lines(data.tobytes())["line"].slice(1, len(text))
    if escaped.any():
        pairs = text.filter(escaped).str.extract_all(_TOKEN).list.join(_BETWEEN)
        separated = separated.scatter(escaped.arg_true(), _BETWEEN + pairs + _BETWEEN)
    return separated


def _keys_there(pairs: pl.Series, keys: Sequence[str]) -> list[str]:
    """Those keys that some line has."""
    begins = {f"{_BETWEEN}{key}=": key for key in keys}
    found = set(pairs.str.extract_many(list(begins)).explode().unique())
    return [key for begin, key in begins.items() if begin in found]


def _value_of(key: str) -> str:
    return f"{_BETWEEN}{re.escape(key)}=([^{_BETWEEN}]*)"


def _unquoted(text: pl.Series) -> pl.Series:
    quoted = text.str.starts_with('"')
    if not quoted.any():
        return text
    inner = text.str.strip_prefix('"').str.strip_suffix('"')
    has_escapes = quoted & text.str.contains("\\", literal=True)
    escaped = text.filter(has_escapes).unique()
    unescaped = text.replace(escaped, pl.Series([_unescaped(value) for value in escaped], dtype=pl.String()))
    return pl.select(
        pl.when(has_escapes).then(unescaped).when(quoted).then(inner).otherwise(text)
    ).to_series()


def _unescaped(quoted: str) -> str:
    """What is written in quotes; as it is written where its escapes are not JSON's."""
    try:
        text: str = json.loads(quoted, strict=False)
        text.encode()  # which half of a surrogate pair is not fit for
    except ValueError:
        return quoted[1:-1]
    return text


def _first(choices: Sequence[pl.Series]) -> pl.Series:
    """The first value that says something, else the first that is there."""
    if len(choices) == 1:
        return choices[0]
    telling = (pl.when(~choice.is_in(MISSING)).then(choice) for choice in choices)
    return pl.select(pl.coalesce(*telling, *choices)).to_series()


def _duration(text: pl.Series, key: str) -> pl.Series:
    """With the unit that the name of the key says, where no other is there; null where it is unknown."""
    unit = pl.lit(unit_of(key))
    with_unit = pl.when(text.str.contains(_NUMBER)).then(text + unit).otherwise(text)
    return pl.select(pl.when(~text.is_in(MISSING)).then(with_unit)).to_series()


def _marked(duration: pl.Series, key: str, of_lograge: pl.Series) -> pl.Series:
    """The durations with a NUL behind those that may be of any unit; those that are zero are so in each."""
    is_plain = duration.str.contains(_NUMBER) & duration.str.contains("[1-9]")
    if key in IN_SECONDS:
        is_plain &= duration.str.contains(_WHOLE) | of_lograge
    return pl.select(pl.when(is_plain).then(duration + _BETWEEN).otherwise(duration)).to_series()


def _unmarked(duration: pl.Series) -> tuple[pl.Series, pl.Expr]:
    """The durations without those that have a NUL behind them, and why the lines of these are refused."""
    is_marked = duration.str.ends_with(_BETWEEN).fill_null(value=False)
    found = duration.str.strip_suffix(_BETWEEN)
    expected = f"a unit: set {_unit_setting('')} with LOG_FORMAT={NAME}"
    return found, pl.when(is_marked).then(found_instead("duration", pl.lit(found), expected))


def _open(options: FormatOptions) -> TextFormat:
    rules = Rules(options, customer=("customer_id",) if is_mapped(options) else CUSTOMER)
    keys = keys_of(options, rules.fields)
    asks_unit = options.asks_unit and not options.duration_unit and not is_mapped(options)
    return TextFormat(partial(extract, keys=keys, asks_unit=asks_unit), rules, options.max_line_bytes)


_CLAIMED_PAIR = rf'[A-Za-z_@][\w.@/-]*=(?:{_QUOTED}|[^ \t"]*)'


_WHO = [key for name in CUSTOMER for key in USUAL.get(name, (name,))]


def _any_of(keys: Sequence[str]) -> str:
    return f"(?=(?:{_CLAIMED_PAIR}[ \\t]+)*(?:{'|'.join(keys)})=)"


# The time may be that of what a line is wrapped in; then more has to tell that it is a request.
_CLAIMED = re.compile(
    f"{_any_of(USUAL['status_code'])}(?:{_any_of(USUAL['timestamp'])}|{_any_of(USUAL['path'])}{_any_of(_WHO)})"
    rf"{_CLAIMED_PAIR}(?:[ \t]+{_CLAIMED_PAIR}){{2,}}[ \t]*\Z"
)

_PLAIN = re.compile(_NUMBER.replace(r"\z", r"\Z"))
_AMOUNT = re.compile(rf"{_NUMBER[:-2]} ?(?:[mnuµ]?s)?\Z")
_PAIRS = re.compile(rf"{_CLAIMED_PAIR}(?:[ \t]+{_CLAIMED_PAIR}){{2,}}[ \t]*\Z")
_ANY_PAIR = re.compile(rf'(?:\A|[ \t])([A-Za-z_@][\w.@/-]*)=({_QUOTED}|[^ \t"]*)')
_OF_LOGRAGE = ("controller", "view")


def is_pairs(line: str) -> bool:
    """Whether a line is of the format, though its durations may be of an unknown unit."""
    return _CLAIMED.match(line) is not None and not loses_duration(line)


def described_by(options: FormatOptions) -> Callable[[str], bool]:
    """Whether a line has the keys of LOG_JSON_FIELDS: of path, status, and time or customer."""
    keys = keys_of(options, CUSTOMER)

    def described(line: str) -> bool:
        if not _PAIRS.match(line):
            return False
        there = {name for name, choices in keys.items() if not set(_pairs_of(line)).isdisjoint(choices)}
        return {"path", "status_code"} <= there and not there.isdisjoint(("timestamp", "customer_id"))

    return described


def refused(line: str) -> str:
    """Why a line is not taken for one whose duration is read, and right; empty where it may be one."""
    duration = _Duration.of(line)
    if not duration.settings:
        return ""
    if duration.is_lost:
        why = ", under a key that is not looked at"
    else:
        why = " as lograge writes milliseconds" if duration.unit else ", a number of an unknown unit"
    return (
        f"found {duration.key}={duration.text}{why}, expected {', '.join(duration.settings)} with "
        f"LOG_FORMAT={NAME}"
    )


def suggested(line: str) -> tuple[str, ...]:
    """Settings that read a line whose duration is of an unknown unit, or under another key."""
    return _Duration.of(line).settings


def loses_duration(line: str) -> bool:
    """Whether a line has its duration under a key that is not looked at."""
    return _Duration.of(line).is_lost


def tells_seconds(line: str) -> bool:
    """Whether a line has a duration that shows in which unit its log has them: a decimal, in seconds."""
    duration = _Duration.of(line)
    is_plain = bool(_PLAIN.match(duration.text)) and not unit_of(duration.key)
    return is_plain and not duration.settings


def _unit_setting(unit: str) -> str:
    return f"LOG_DURATION_UNIT={unit or 's, ms, us or ns'}"


def _pairs_of(line: str) -> dict[str, str]:
    return {key: value.strip('"') for key, value in reversed(_ANY_PAIR.findall(line))}


@dataclass(frozen=True, slots=True)
class _Duration:
    """The duration of a line, the settings that it needs to be read, and the unit that it likely is of.

    It `is_lost` when its key is none of those that are looked at.
    """

    key: str = ""
    text: str = ""
    settings: tuple[str, ...] = ()
    unit: str = ""
    is_lost: bool = False

    @classmethod
    def of(cls, line: str) -> _Duration:
        if not _CLAIMED.match(line):
            return cls()
        pairs = {key: value for key, value in _pairs_of(line).items() if value not in MISSING}
        key = next((key for key in USUAL["duration"] if key in pairs), "")
        other = next((key for key, text in pairs.items() if _tells_duration(key, text)), "")
        if not key and other:
            unit = [] if unit_of(other) or not _PLAIN.match(pairs[other]) else [_unit_setting("")]
            return cls(other, pairs[other], (_map_of(pairs, other), *unit), is_lost=True)
        number = pairs.get(key, "")
        if not key or unit_of(key) or not _PLAIN.match(number):
            return cls(key, number)
        if key == "duration" and any(mark in pairs for mark in _OF_LOGRAGE):
            return cls(key, number, (_unit_setting("ms"),), "ms")
        # Whole numbers are seldom seconds, and decimals under other names may be anything.
        is_in_seconds = key in IN_SECONDS and not number.isdecimal()
        return cls(key, number, () if is_in_seconds else (_unit_setting(""),))


def _tells_duration(key: str, text: str) -> bool:
    return is_of_request(key) and _AMOUNT.match(text) is not None


def _map_of(pairs: Mapping[str, str], duration: str) -> str:
    """LOG_JSON_FIELDS with the keys that a line has, and with that of its duration."""
    keys = {
        name: [key for key in USUAL[name] if key in pairs][:1]
        for name in ("timestamp", "path", "status_code")
    }
    choices = {
        "timestamp": keys["timestamp"] or USUAL["timestamp"][:1],
        "customer_id": [key for key in _WHO if key in pairs] or CUSTOMER[:1],
        **{name: keys[name] or USUAL[name][:1] for name in ("path", "status_code")},
        "duration": [duration],
    }
    return "LOG_JSON_FIELDS=" + ",".join(f"{name}={'|'.join(chosen)}" for name, chosen in choices.items())


KIND: Final = Kind(
    name=NAME,
    title="logfmt: pairs of key=value",
    example='ts=2024-10-01T00:00:01Z level=info tenant=acme path="/a b" status=200 duration=0.316',
    claims=lambda line: _CLAIMED.match(line) is not None and not refused(line),
    open=_open,
    customer=CUSTOMER,
)
