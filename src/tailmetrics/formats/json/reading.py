"""Objects a line: their values by the bytes where these are, and what may be no record by the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from typing import Final

import msgspec
import numpy as np
import polars as pl

from tailmetrics.formats.fields import MISSING, PROBLEM, RAW_SCHEMA
from tailmetrics.formats.json.keys import NULL, JsonFields, Objects
from tailmetrics.formats.json.messages import OtherMessages
from tailmetrics.formats.json.shape import FEW_LINES, Shapes
from tailmetrics.formats.json.values import Values, records_of, status_text
from tailmetrics.formats.lines import Bools, Integers, Lines, lines_of, odd_lines, split
from tailmetrics.formats.paths import AGENT, asked_for
from tailmetrics.formats.reasons import SHOWN_CHARACTERS, found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import PASSED_OVER, Extract, TextFormat, with_others
from tailmetrics.records import REJECT_SCHEMA, ParsedLines, no_records, no_rejects

COLUMNS: Final = tuple(name for name in RAW_SCHEMA if name != PROBLEM)
OPTIONAL: Final = ("duration",)
MESSAGE: Final = "_message"  # a field by which requests are told from what else is in the log
_LONGEST_DAMAGED = 4096  # bytes
_HALF = "line: found {}, which is half of a surrogate pair, expected whole characters"
_WHOLE = r"\A0*[1-9][0-9]*\z"
_SURROGATE = r"\\u[dD][89a-fA-F]"
# Escapes one after the other: a whole pair, else (as the group) half of one, else any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


class JsonFormat:
    """Reads the values of most lines by their bytes, and all others by the rules.

    `fields` tells the keys of each column, and of each further field that the rules need. Lines whose MESSAGE
    is there and is not `message` tell no request, and are counted as blank, unless they are of another
    program; where `message` is empty, all do. `whole_unit` is that of durations without a point and a unit,
    where it is not that of others: without it (when empty) such lines are refused.
    """

    def __init__(
        self,
        fields: JsonFields,
        rules: Rules,
        max_line_bytes: int,
        message: str = "",
        whole_unit: str | None = None,
    ) -> None:
        self._objects = Objects(fields)
        self._columns = [column for column in fields.keys if column in COLUMNS or column == MESSAGE]
        required = [column for column in self._columns if column not in OPTIONAL]
        self._shapes, self._alike = Shapes(fields, required), Shapes(fields, required)
        self._rules = rules
        self._by_rules = TextFormat(extract_by(fields, message, whole_unit), rules, max_line_bytes)
        self._max_line_bytes = max_line_bytes
        self._message = message
        self._whole_unit = whole_unit
        # Else the customer or what is counted is told by more than one value.
        self._is_plain = rules.customer == ("customer_id",) and not rules.paths.needs_agent

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> JsonFormat:  # noqa: ARG002  # its lines tell everything
        return self

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self.parse_lines(split(data, offset))

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._by_rules.parse_too_long(data, offset)

    def parse_lines(self, lines: Lines) -> ParsedLines:
        if not self._is_plain:
            return self._by_rules.parse_lines(lines)
        clean = (lines.lengths > 0) & (lines.lengths <= self._max_line_bytes) & ~odd_lines(lines)
        records = self._clean_records(lines if clean.all() else lines.only(clean), clean)
        logged = records.height
        records = records.with_columns(asked_for(records["path"]))
        may_have_queries = b"?" in lines.data or b"\\" in lines.data
        records = self._rules.applied(records, may_have_queries=may_have_queries)
        excluded = logged - records.height
        if clean.all():
            return ParsedLines(records, no_rejects(), excluded)
        rest = lines.only(~clean)
        damaged, is_damaged = self._damaged(rest)
        if is_damaged.all():
            return ParsedLines(records, damaged, excluded)
        others = self._by_rules.parse_lines(rest.only(~is_damaged))
        if damaged.height:
            others = replace(others, rejects=pl.concat([damaged, others.rejects]).sort("offset"))
        return with_others(records, others, excluded)

    def _damaged(self, lines: Lines) -> tuple[pl.DataFrame, Bools]:
        """The rejects that lines are which are no objects, and which lines these are; a few may be left out.

        They are told here as the rules tell them, which take as long for a few lines as for thousands.
        """
        chosen = np.zeros(len(lines), dtype=np.bool_)
        chosen[self._objects.decode(lines)[1]] = True
        chosen &= ~odd_lines(lines) & (lines.lengths <= min(_LONGEST_DAMAGED, self._max_line_bytes))
        rows = []
        for place in np.flatnonzero(chosen).tolist():
            line = lines.data[lines.starts[place] : lines.ends[place]].decode()
            if "\\u" in line or not line.strip():  # it may have half of a surrogate pair, or be blank
                chosen[place] = False
                continue
            shown = line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"
            rows.append((lines.offsets[place], f"line: found '{shown}', expected a JSON object", line))
        return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row"), chosen

    def _clean_records(self, lines: Lines, clean: Bools) -> pl.DataFrame:
        """The records of lines that may be clean; of `clean` those are taken out that are none."""
        if not len(lines):
            return no_records()
        proven = np.zeros(len(lines), dtype=np.bool_)
        parts = [
            self._records(values, lines.offsets, places, proven) for places, values in self._values(lines)
        ]
        clean[clean] = proven
        return parts[0] if len(parts) == 1 else pl.concat([no_records(), *parts]).sort("offset")

    def _values(self, lines: Lines) -> Iterator[tuple[Integers, dict[str, Values]]]:
        """The values of all lines, of some at a time, and which lines these are."""
        is_left = np.ones(len(lines), dtype=np.bool_)
        for places, values in self._shapes.values(lines):
            is_left[places] = False
            yield places, values
        rest = np.flatnonzero(is_left)
        if not len(rest):
            return
        objects, others = self._objects.decode(lines if is_left.all() else lines.only(is_left))
        if others:
            is_object = np.ones(len(rest), dtype=np.bool_)
            is_object[others] = False
            rest, objects = rest[is_object], list(compress(objects, is_object))
        if len(rest) >= FEW_LINES:
            # Written anew they are of one shape, however they were.
            is_left = np.ones(len(rest), dtype=np.bool_)
            for places, values in self._alike.values(split(self._objects.encode(objects), 1)):
                is_left[places] = False
                yield rest[places], values
            rest, objects = rest[is_left], list(compress(objects, is_left))
        if len(rest):
            yield rest, {name: Values.of(self._objects.values(name, objects)) for name in self._columns}

    def _records(
        self, values: dict[str, Values], offsets: Integers, places: Integers, proven: Bools
    ) -> pl.DataFrame:
        """The records of the lines at some places; which are `proven` is written down."""
        records, are_records = records_of(values, offsets[places], self._rules.timestamps, self._rules.unit)
        if self._message:
            is_request = values[MESSAGE].texts() == self._message
            are_records &= is_request.fill_null(value=False).to_numpy()
        if self._whole_unit is not None:
            duration = records["duration"]
            # Whether one is written as a whole number, is seen by the rules.
            are_records &= ((duration % 1 != 0) | (duration == 0)).fill_null(value=True).to_numpy()
        proven[places] = are_records
        return records if are_records.all() else records.filter(are_records)


def extract_by(fields: JsonFields, message: str = "", whole_unit: str | None = None) -> Extract:
    """The columns of the fields as text, however they are written. A column that has no key is null.

    Lines with another `message` of the same program are passed over, where one is given. `whole_unit` is
    as of JsonFormat.
    """
    reader = Objects(fields)
    messages = OtherMessages() if message else None
    columns = (*COLUMNS, *(column for column in fields.keys if column not in COLUMNS))

    def extract(text: pl.Series) -> pl.DataFrame:
        whole, halves = _without_halves(text)
        objects, others = reader.decode(lines_of(whole))
        is_object = np.ones(len(text), dtype=np.bool_)
        is_object[others] = False
        written = {column: reader.values(column, objects) for column in fields.keys}
        found = pl.DataFrame({column: _texts(values) for column, values in written.items()})
        found = found.select(
            pl.col(column) if column in written else pl.lit(None, pl.String()).alias(column)
            for column in columns
        )
        found = found.with_columns(
            asked_for(found["path"]),
            status_text(found["status_code"]).alias("status_code"),
            pl.when(~pl.col("duration").is_in(MISSING)).then("duration"),
            pl.when(~pl.Series(is_object))
            .then(found_instead("line", pl.lit(text), "a JSON object"))
            .when(pl.any_horizontal(pl.col(columns).str.contains("\0", literal=True)))
            .then(pl.format(_HALF, pl.lit(halves)))
            .when(~pl.Series(_are_names(written.get("customer_id", [NULL] * len(text)))))
            .then(found_instead("customer_id", pl.col("customer_id"), "text or a number"))
            .alias(PROBLEM),
        )
        if whole_unit is not None:
            found = _with_whole_unit(found, whole_unit)
        if AGENT in written:  # a header that may be there several times is an array
            found = found.with_columns(pl.col(AGENT).str.strip_prefix('["').str.strip_suffix('"]'))
        if messages:
            is_other = (found[MESSAGE] != message).fill_null(value=False) & pl.Series(is_object)
            are_of_caddy = messages.are_of_caddy(whole, is_other)
            strange = pl.when(is_other & ~are_of_caddy).then(
                found_instead("line", pl.lit(text), OtherMessages.EXPECTED)
            )
            found = found.with_columns(
                pl.coalesce(strange, PROBLEM).alias(PROBLEM), are_of_caddy.alias(PASSED_OVER)
            )
        return found

    return extract


def _with_whole_unit(found: pl.DataFrame, unit: str) -> pl.DataFrame:
    duration = pl.col("duration")
    is_whole = duration.str.contains(_WHOLE)
    if unit:
        return found.with_columns(pl.when(is_whole).then(duration + pl.lit(unit)).otherwise(duration))
    problem = found_instead("duration", duration, "a unit: set LOG_DURATION_UNIT")
    return found.with_columns(pl.coalesce(PROBLEM, pl.when(is_whole).then(problem)).alias(PROBLEM))


def _texts(values: Sequence[msgspec.Raw]) -> pl.Series:
    return pl.Series([_text(bytes(value)) for value in values], dtype=pl.String())


def _text(value: bytes) -> str | None:
    if value.startswith(b'"'):
        text: str = msgspec.json.decode(value, type=str)
        return text
    if value == b"null":
        return None
    # What a NUL in it is has to be seen, in whichever string it is.
    return value.decode().replace(r"\u0000", "\0")


def _are_names(values: Sequence[msgspec.Raw]) -> Bools:
    """Which values are text or numbers; what is not there is told by the rule of the field."""
    return np.array([bytes(value)[:1] not in (b"t", b"f", b"{", b"[") for value in values], dtype=np.bool_)


def _without_halves(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The lines with a NUL for each escape that is half of a surrogate pair, and the first such of each line.

    They are no characters, but what is under another key is no reason to refuse the line.
    """
    places = text.str.contains(_SURROGATE).arg_true()
    halves = pl.repeat(None, len(text), dtype=pl.String(), eager=True)
    if places.is_empty():
        return text, halves
    lines = text.gather(places).to_list()
    whole = [_ESCAPE.sub(lambda escape: r"\u0000" if escape[1] else escape[0], line) for line in lines]
    firsts = [next((escape[0] for escape in _ESCAPE.finditer(line) if escape[1]), None) for line in lines]
    return text.clone().scatter(places, whole), halves.scatter(places, pl.Series(firsts, dtype=pl.String()))
