"""The format `json`: one object a line, and a map that tells which key holds which column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from typing import Final

import msgspec
import numpy as np
import polars as pl

from tailmetrics.formats.fields import PROBLEM, RAW_SCHEMA
from tailmetrics.formats.json_fields import JsonFields, Objects, read_map
from tailmetrics.formats.json_shape import FEW_LINES, Shapes
from tailmetrics.formats.json_values import Values, records_of, status_text
from tailmetrics.formats.lines import Bools, Integers, Lines, odd_lines, split
from tailmetrics.formats.reasons import SHOWN_CHARACTERS, found_instead
from tailmetrics.formats.text import Extract, TextFormat
from tailmetrics.formats.timestamps import TimestampReader
from tailmetrics.records import REJECT_SCHEMA, ParsedLines, no_records, no_rejects

NAME: Final = "json"
COLUMNS: Final = tuple(name for name in RAW_SCHEMA if name != PROBLEM)
_OPTIONAL = ("duration",)
_LONGEST_DAMAGED = 4096  # bytes
_SURROGATE = r"\\u[dD][89a-fA-F]"
# Escapes one after the other: a whole pair, else (as the group) half of one, else any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def fields_by(field_map: str) -> JsonFields:
    """Fields by a map as in LOG_JSON_FIELDS. Raises FormatError when it is no such map."""
    return read_map(field_map, COLUMNS, _OPTIONAL)


class JsonFormat:
    """Reads the values of most lines by their bytes, and all others by the rules.

    `fields` tells the keys of each column; durations are divided by `units_per_second`.
    """

    def __init__(
        self, fields: JsonFields, reader: TimestampReader, max_line_bytes: int, units_per_second: int = 1
    ) -> None:
        self._objects = Objects(fields)
        self._columns = [column for column in COLUMNS if column in fields.keys]
        required = [column for column in self._columns if column not in _OPTIONAL]
        self._shapes, self._alike = Shapes(fields, required), Shapes(fields, required)
        self._reader = reader
        self._by_rules = TextFormat(extract_by(fields), reader, max_line_bytes)
        self._max_line_bytes = max_line_bytes
        self._units_per_second = units_per_second

    def of_source(self, path: str, written_ns: int) -> JsonFormat:  # noqa: ARG002  # its lines tell everything
        return self

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        parsed = self._parse(split(data, offset))
        if self._units_per_second == 1:
            return parsed
        seconds = pl.col("duration") / self._units_per_second
        return replace(parsed, records=parsed.records.with_columns(seconds))

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._by_rules.parse_too_long(data, offset)

    def _parse(self, lines: Lines) -> ParsedLines:
        clean = (lines.lengths > 0) & (lines.lengths <= self._max_line_bytes) & ~odd_lines(lines)
        records = self._clean_records(lines if clean.all() else lines.only(clean), clean)
        if clean.all():
            return ParsedLines(records, no_rejects(), 0)
        rest = lines.only(~clean)
        damaged, is_damaged = self._damaged(rest)
        if is_damaged.all():
            return ParsedLines(records, damaged, 0)
        others = self._by_rules.parse_lines(rest.only(~is_damaged))
        both = pl.concat([records, others.records]).sort("offset") if others.records.height else records
        rejects = pl.concat([damaged, others.rejects]).sort("offset") if damaged.height else others.rejects
        return ParsedLines(both, rejects, others.blanks)

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
        records, are_records = records_of(values, offsets[places], self._reader)
        proven[places] = are_records
        return records if are_records.all() else records.filter(are_records)


def extract_by(fields: JsonFields) -> Extract:
    """The columns of the fields as text, however they are written. A column that has no key is null."""
    reader = Objects(fields)
    columns = (*COLUMNS, *(column for column in fields.keys if column not in COLUMNS))

    def extract(text: pl.Series) -> pl.DataFrame:
        whole, halves = _without_halves(text)
        lines = "".join(f"{line}\n" for line in whole).encode()
        objects, others = reader.decode(split(lines, 1))
        is_object = np.ones(len(text), dtype=np.bool_)
        is_object[others] = False
        written = {column: reader.values(column, objects) for column in fields.keys}
        found = pl.DataFrame({column: _texts(values) for column, values in written.items()})
        found = found.select(
            pl.col(column) if column in written else pl.lit(None, pl.String()).alias(column)
            for column in columns
        )
        has_half = pl.any_horizontal(pl.col(columns).str.contains("\0", literal=True))
        half = "line: found {}, which is half of a surrogate pair, expected whole characters"
        customer = pl.Series([_is_name(value) for value in written["customer_id"]], dtype=pl.Boolean())
        return found.with_columns(
            status_text(found["status_code"]).alias("status_code"),
            pl.when(~pl.col("duration").is_in(("", "-"))).then("duration"),
            pl.when(~pl.Series(is_object))
            .then(found_instead("line", pl.lit(text), "a JSON object"))
            .when(has_half)
            .then(pl.format(half, pl.lit(halves)))
            .when(~customer)
            .then(found_instead("customer_id", pl.col("customer_id"), "text or a number"))
            .alias(PROBLEM),
        )

    return extract


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


def _is_name(value: msgspec.Raw) -> bool:
    """Whether a value is text or a number; what is not there is told by the rule of the field."""
    return bytes(value)[:1] not in (b"t", b"f", b"{", b"[")


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
