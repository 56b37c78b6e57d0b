"""Logs of servers whose lines one regular expression reads, with a named group for each field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from tailmetrics.formats.customers import is_behind_file
from tailmetrics.formats.fields import MISSING, PROBLEM
from tailmetrics.formats.kinds import Kind, never_claims
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.templates.columns import or_else
from tailmetrics.formats.text import TextFormat, uncoloured, uncoloured_line
from tailmetrics.formats.timestamps import Parse, TimestampReader
from tailmetrics.settings import FormatOptions

# The inside of quotes, where quotes and backslashes are escaped.
QUOTED: Final = r'(?:[^"\\]|\\.)*'
# The inside of quotes where nothing is escaped, up to the next quotes: no quote, space and quote are in it.
# There is one way to go on at each place, so no line takes long to match.
RAW: Final = r'(?:[^"]|"[^ ]|" [^"])*'
# Who and when in the common log format.
CLF: Final = (
    r"(?P<address>[^ ,]*)(?:, ?[^ ,]+)* - (?P<user>-|(?:[^ -]|-[^ ])[^ ]*(?: [^ \[][^ ]*)*) "
    r"\[(?P<timestamp>[0-9]{2}/[^\]]*)\] "
)
# A request line; some servers write - or nothing for the protocol that they did not see.
_REQUEST = r"\A[A-Za-z-]+ ([^ ]+)(?: (?:HTTP/[0-9.]+|-)?)?\z"
_SPACED_REQUEST = r"\A[A-Za-z]+ ([^ ].*) HTTP/[0-9.]+\z"
_URL = r"\A[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?@]*@)?(?P<host>\[[^\]]*\]|[^/?:]*)(?::[0-9]*)?(?P<path>.*)\z"
_UNKNOWN = (*MISSING, "-1")
_LONGEST_CLAIMED = 2048  # characters: matching may take time with the square of them


@dataclass(frozen=True, slots=True)
class ServerLog:
    """What is to be known of a log to read it.

    Groups of `pattern`, which has to match the whole line: `timestamp`, `status_code`; `request` (the request
    line) or `target` (what it asks for), a URL or path; `duration`, or several that begin so and are added:
    none is known if one is -1 or -, and one that is empty adds nothing; and all that may tell the customer,
    as its own name. `host` and `address` are without ports where the pattern says so; an absolute URL tells
    the host where no group does.

    `unit` is that of durations; `unit_of_whole_numbers` that of those without a decimal point where
    LOG_DURATION_UNIT says no other: when empty, they are refused without it. `refused` are lines that are of
    the format but tell no request: a condition, and what was expected instead.
    """

    name: str
    title: str
    example: str
    pattern: str
    expected: str
    unit: str
    customer: tuple[str, ...] = ("user", "address")
    unit_of_whole_numbers: str | None = None
    is_like_no_other: bool = True  # else it is read only when it is named
    path_otherwise: str = "request"  # the group that is the path of what is no HTTP request
    unescaped: Callable[[pl.Series], pl.Series] | None = None
    status_names: Mapping[str, str] = field(default_factory=dict)
    unit_names: Mapping[str, str] = field(default_factory=dict)  # of durations, where no other log has them
    refused: tuple[tuple[pl.Expr, str], ...] = ()
    times: tuple[Parse, str] | None = None  # how its times are read, and how that is called

    @property
    def whole_line(self) -> str:
        """The pattern in the syntax of Rust."""
        return rf"\A{self.pattern}\z"

    def kind(self) -> Kind:
        """The kind of log that LOG_FORMAT names."""
        return Kind(
            name=self.name,
            title=self.title,
            example=self.example,
            claims=self._claims if self.is_like_no_other else never_claims,
            open=self._open,
            customer=self.customer,
            unit=None if self.unit_of_whole_numbers == "" else self.unit,
            pattern=self.whole_line if self.is_like_no_other else "",
        )

    def _claims(self, line: str) -> bool:
        if len(line) > _LONGEST_CLAIMED or not (match := self._matched(line)):
            return False
        return not is_behind_file(match.groupdict().get("address") or "")

    def _matched(self, line: str) -> re.Match[str] | None:
        return re.match(rf"\A{self.pattern}\Z", uncoloured_line(line))

    def _open(self, options: FormatOptions) -> TextFormat:
        reader = None
        if self.times and not options.timestamp_format:
            reader = TimestampReader(options.zone, *self.times)
        rules = Rules(options, customer=self.customer, unit=self.unit, reader=reader)
        return TextFormat(_Extract(self, options.duration_unit), rules, options.max_line_bytes)


class _Extract:
    """The fields of each line as text."""

    def __init__(self, log: ServerLog, duration_unit: str) -> None:
        self._log = log
        self._whole_unit = duration_unit or log.unit_of_whole_numbers

    def __call__(self, text: pl.Series) -> pl.DataFrame:
        log, text = self._log, uncoloured(text)
        found = text.str.extract_groups(log.whole_line).struct.unnest().with_columns(line=text)
        found = found.with_columns(_target(found, log.path_otherwise))
        found = found.with_columns(_without_host(found))
        duration = _duration([name for name in found.columns if name.startswith("duration")])
        raw = found.with_columns(
            pl.col("status_code").replace(log.status_names),
            duration=duration.str.replace_many(log.unit_names),
        ).with_columns(self._unit(), self._problem())
        if log.unescaped:
            texts = [name for name in ("path", "user") if name in raw.columns]
            raw = raw.with_columns(log.unescaped(raw[name]).alias(name) for name in texts)
        return raw

    def _unit(self) -> pl.Expr:
        duration = pl.col("duration")
        if self._log.unit_of_whole_numbers is None:
            return duration
        return pl.when(_is_whole(duration)).then(duration + pl.lit(self._whole_unit)).otherwise(duration)

    def _problem(self) -> pl.Expr:
        log, line = self._log, pl.col("line")
        problems = [
            pl.when(pl.col("status_code").is_null()).then(found_instead("line", line, log.expected)),
            *(pl.when(when).then(found_instead("line", line, expected)) for when, expected in log.refused),
        ]
        if log.unit_of_whole_numbers is not None and not self._whole_unit:
            unit = found_instead("duration", pl.col("duration"), "a unit: set LOG_DURATION_UNIT")
            problems.append(pl.when(_is_whole(pl.col("duration"))).then(unit))
        return pl.coalesce(problems).alias(PROBLEM)


def _is_whole(duration: pl.Expr) -> pl.Expr:
    return duration.str.contains(r"\A[0-9]+\z")


def _target(found: pl.DataFrame, otherwise: str) -> pl.Expr:
    """What is asked for, or all that was logged of what is no HTTP request."""
    if "target" in found.columns:
        return pl.col("target").alias("path")
    line = found["request"]
    request = or_else(line.str.extract(_REQUEST), line, lambda text: text.str.extract(_SPACED_REQUEST))
    asked = pl.when(pl.lit(request) != "-").then(pl.lit(request))
    return pl.coalesce(asked, pl.col(otherwise).replace("", "-"), pl.lit("-")).alias("path")


def _without_host(found: pl.DataFrame) -> list[pl.Expr]:
    url = pl.col("path").str.extract_groups(_URL)
    path, host = url.struct.field("path").replace("", "/"), url.struct.field("host")
    named = pl.when(~pl.col("host").is_in(MISSING)).then("host") if "host" in found.columns else pl.lit(None)
    return [pl.coalesce(path, pl.col("path")).alias("path"), pl.coalesce(named, host).alias("host")]


def _duration(parts: list[str]) -> pl.Expr:
    """The one part as it is written, or the sum of several; null when it is not known."""
    if not parts:
        return pl.lit(None, pl.String())
    if len(parts) == 1:
        return pl.when(~pl.col(parts[0]).is_in(_UNKNOWN)).then(parts[0])
    numbers = [pl.col(part).cast(pl.Float64, strict=False) for part in parts]
    is_told = pl.any_horizontal(number.is_not_null() for number in numbers)
    is_known = pl.all_horizontal(
        (number >= 0) | (pl.col(part) == "") for number, part in zip(numbers, parts, strict=True)
    )
    # What is written with six decimals is the double that it would be if it were written as a sum.
    total = pl.sum_horizontal(numbers).round(6).cast(pl.String)
    return pl.when(is_told & is_known).then(total)
