"""Lines of any format to records and rejects: vectorised, with a reason for every line that is no record."""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import nanoarrow
import numpy as np
import numpy.typing as npt
import polars as pl
from typing_extensions import Self

from tailmetrics.formats import fields
from tailmetrics.formats.lines import BYTE_ORDER_MARK, Integers, Lines, split
from tailmetrics.formats.rules import Rules
from tailmetrics.records import (
    REJECT_LINE_BYTES,
    REJECT_SCHEMA,
    ParsedLines,
    no_records,
    no_rejects,
)

PASSED_OVER: Final = "passed_over"
# Text of lines to their fields as text: of fields.RAW_SCHEMA all but the customer, and the fields that tell
# who that is, which may be `customer_id` itself. Where PASSED_OVER is true a line tells no request.
Extract = Callable[[pl.Series], pl.DataFrame]
Place = tuple[Integers, Integers]  # where a text begins and ends in each line

_COLOUR: Final = r"\x1b\[[0-9;]*m"
BLANK: Final = r"\A\s*\z"
FEW_LINES: Final = 64  # whose texts are quicker made one by one, as no other thread is let in meanwhile
LINES_AT_ONCE = 1 << 16  # bounds the memory that texts and reasons of very short lines take


class RuledFormat(ABC):
    """A format whose lines are told by the rules of fields, once these are found."""

    def __init__(self, rules: Rules, max_line_bytes: int) -> None:
        self._rules = rules
        self._max_line_bytes = max_line_bytes

    @abstractmethod
    def fields_of(self, text: pl.Series, offsets: pl.Series) -> pl.DataFrame:
        """What an Extract gives, of lines that begin at the offsets."""

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> Self:  # noqa: ARG002  # its lines tell everything
        return self

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self.parse_lines(split(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        parts = [
            self._parse_part(lines.part(first, LINES_AT_ONCE))
            for first in range(0, len(lines), LINES_AT_ONCE)
        ]
        if len(parts) == 1:
            return parts[0]
        return ParsedLines(
            records=pl.concat([no_records(), *(part.records for part in parts)]),
            rejects=pl.concat([no_rejects(), *(part.rejects for part in parts)]),
            blanks=sum(part.blanks for part in parts),
        )

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return too_long_line(data, offset, self._max_line_bytes)

    def _parse_part(self, lines: Lines) -> ParsedLines:
        text = text_of(lines)
        blank = text.str.contains(BLANK) & ~pl.Series(lines.lengths > self._max_line_bytes)
        unfit = unfit_lines(lines, text, self._max_line_bytes)
        candidate = unfit.is_null() & ~blank
        kept = kept_lines(lines, text, self._max_line_bytes)
        table = pl.DataFrame({"offset": lines.offsets, "reason": unfit, "line": kept})
        candidates = table.filter(candidate)

        found = self.fields_of(text.filter(candidate), candidates["offset"])
        if lines.times is not None:
            found = found.with_columns(pl.col("timestamp").fill_null(lines.times.filter(candidate)))
        if lines.told is not None:
            found = found.with_columns(lines.told.filter(candidate))
        excluded = self._rules.paths.excluded(found)
        if PASSED_OVER in found.columns:
            excluded = found[PASSED_OVER] if excluded is None else excluded | found[PASSED_OVER]
        passed_over = int(blank.sum())
        if excluded is not None:
            found, candidates = found.filter(~excluded), candidates.filter(~excluded)
            passed_over += int(excluded.sum())
        raw = self._rules.prepared(found)
        values = fields.read_fields(raw, self._rules.timestamps, self._rules.unit)
        wrong = fields.unreadable(raw, values)
        records = values.with_columns(candidates["offset"]).filter(~wrong)

        rejects = table.filter(unfit.is_not_null())
        if wrong.any():
            reason = fields.reasons(raw.filter(wrong), values.filter(wrong), self._rules.timestamps)
            of_format = candidates.filter(wrong).with_columns(reason.alias("reason"))
            rejects = pl.concat([rejects, of_format]).sort("offset")
        return ParsedLines(records, rejects, passed_over)


class TextFormat(RuledFormat):
    """A format that is told by how it finds the fields of a line in its text."""

    def __init__(self, extract: Extract, rules: Rules, max_line_bytes: int) -> None:
        super().__init__(rules, max_line_bytes)
        self._extract = extract

    def fields_of(self, text: pl.Series, offsets: pl.Series) -> pl.DataFrame:  # noqa: ARG002  # its text tells everything
        return self._extract(text)


def uncoloured(text: pl.Series) -> pl.Series:
    """The texts without the codes by which terminals show them in colours."""
    return text.str.replace_all(_COLOUR, "") if text.str.contains("\x1b", literal=True).any() else text


def uncoloured_line(line: str) -> str:
    """The same of one."""
    return re.sub(_COLOUR, "", line)


def with_others(records: pl.DataFrame, others: ParsedLines, excluded: int) -> ParsedLines:
    """Records of lines that were read by their bytes, and all that the rules read of the other lines."""
    both = pl.concat([records, others.records]).sort("offset") if others.records.height else records
    return ParsedLines(both, others.rejects, others.blanks + excluded)


def too_long_line(data: bytes, offset: int, max_line_bytes: int) -> ParsedLines:
    """The one reject that a line is of which `data` is the beginning."""
    line = data.removeprefix(BYTE_ORDER_MARK) if offset == 0 else data
    kept = _decoded(line[: _kept_bytes(max_line_bytes)])
    reject = {"offset": [offset], "reason": [_too_long(max_line_bytes)], "line": [kept]}
    return ParsedLines(no_records(), pl.DataFrame(reject, schema=REJECT_SCHEMA), 0)


def kept_lines(lines: Lines, text: pl.Series, max_line_bytes: int) -> pl.Series:
    """The texts, of long lines the beginning that is kept of a reject."""
    limit = _kept_bytes(max_line_bytes)
    long = np.flatnonzero(lines.lengths > limit)
    kept = text.str.replace_all("\0", "\\x00", literal=True) if b"\0" in lines.data else text
    if not len(long):
        return kept
    begins = lines.starts[long].tolist()
    return kept.clone().scatter(long, [_decoded(lines.data[begin : begin + limit]) for begin in begins])


def _kept_bytes(max_line_bytes: int) -> int:
    """Of a line over the limit only the limit is sure to be there, so never more is kept."""
    return min(REJECT_LINE_BYTES, max_line_bytes)


def _decoded(beginning: bytes) -> str:
    """The beginning of a line as text; an unfinished last character is left out."""
    return codecs.utf_8_decode(beginning, "backslashreplace", False)[0].replace("\0", "\\x00")


def text_of(lines: Lines) -> pl.Series:
    """The text of each line; bytes that are not UTF-8 as \\xNN."""
    # Behind an empty line: Polars takes bytes that begin like a compressed file for one, and unpacks them.
    try:
        return pl.read_lines(b"\n" + lines.data)["line"].slice(1)
    except pl.exceptions.ComputeError:
        text = lines.data.decode("utf-8", "backslashreplace")
        return pl.read_lines(b"\n" + text.encode())["line"].slice(1)


def unfit_lines(lines: Lines, text: pl.Series, max_line_bytes: int) -> pl.Series:
    """Why a line cannot be of any format; null where it can."""
    # What is not UTF-8 is longer as text, as each such byte became four.
    not_utf8 = text.str.len_bytes() != pl.Series(lines.lengths)
    return pl.select(
        pl.when(pl.Series(lines.lengths > max_line_bytes))
        .then(pl.lit(_too_long(max_line_bytes)))
        .when(text.str.contains("\0", literal=True))
        .then(pl.lit("line: found a NUL byte, expected text"))
        .when(not_utf8)
        .then(pl.lit("line: found bytes that are not UTF-8, expected UTF-8"))
    ).to_series()


def _too_long(max_line_bytes: int) -> str:
    return f"line: found more than {max_line_bytes} bytes, expected at most that (MAX_LINE_BYTES)"


def texts_between(edges: npt.NDArray[np.int32], data: bytes) -> pl.Series:
    """The texts from each edge to the next; their bytes are not copied."""
    array = nanoarrow.c_array_from_buffers(
        nanoarrow.string(), edges.size - 1, [None, edges.ravel(), data], null_count=0
    )
    return pl.Series(array)


def text_pairs(data: bytes, first: Place, second: Place) -> tuple[pl.Series, pl.Series]:
    """Two texts of each line, the first before the second."""
    if len(first[0]) <= FEW_LINES:
        return each_text(data, first), each_text(data, second)
    edges = np.empty((len(first[0]), 4), dtype=np.int32)
    for column, positions in enumerate((*first, *second)):
        edges[:, column] = positions
    # From each edge to the next is a text: the first, what is between, the second, all up to the next line's.
    texts = (
        texts_between(edges, data)
        .to_frame("text")
        .select_seq(
            pl.col("text").gather_every(4).alias("first"),
            pl.col("text").gather_every(4, 2).alias("second"),
        )
    )
    return texts["first"], texts["second"]


def each_text(data: bytes, place: Place) -> pl.Series:
    """The text of each line, of many at once; their bytes are not copied."""
    if len(place[0]) > FEW_LINES:
        return texts_between(np.column_stack(place).astype(np.int32), data).gather_every(2)
    begins, ends = (positions.tolist() for positions in place)
    texts = [data[begin:end].decode() for begin, end in zip(begins, ends, strict=True)]
    return pl.Series(texts, dtype=pl.String())
