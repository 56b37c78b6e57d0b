"""Lines of several programs, each read by the kind of log that it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import polars as pl

from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.fields import PROBLEM, RAW_SCHEMA
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.lines import Lines, split
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import TextFormat, text_of
from tailmetrics.records import ParsedLines, no_records, no_rejects
from tailmetrics.settings import FormatOptions

_LOOKED_AT = 64  # lines at a time, as the first one mostly tells
_OF_THE_WHOLE_LINE = "line: "  # as the reason begins when a line is not of the format


class MixedFormat:
    """Reads each line by the kind that claims it.

    Most logs are of one kind, so all lines are given to the kind of the first one, what that refuses to the
    kind of the first of these, and so on. What is read by its kind never depends on which line is the first:
    of lines that several kinds read, each is left to its own.
    """

    def __init__(self, kinds: Mapping[Kind, LineFormat], nobodys: LineFormat) -> None:
        self._kinds = kinds
        self._nobodys = nobodys

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> MixedFormat:
        kinds = {kind: read.of_source(path, written_ns, header) for kind, read in self._kinds.items()}
        return MixedFormat(kinds, self._nobodys)

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self.parse_lines(split(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        owners = _Owners(self._kinds)
        parts: list[ParsedLines] = []
        while len(lines) and (kind := owners.next_of(lines)):
            are_own = np.ones(len(lines), dtype=np.bool_)
            if kind.are_own:
                are_own = kind.are_own(text_of(lines)).to_numpy()
            own = lines if are_own.all() else lines.only(are_own)
            parsed = self._kinds[kind].parse_lines(own)
            is_refused = owners.are_of_others(own, parsed.rejects)
            parts.append(replace(parsed, rejects=parsed.rejects.filter(~is_refused)))
            refused = parsed.rejects.filter(is_refused)["offset"].to_numpy()
            lines = lines.only(~are_own | np.isin(lines.offsets, refused))
        if len(lines) or not parts:
            parts.append(self._nobodys.parse_lines(lines))
        return _together(parts)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._nobodys.parse_too_long(data, offset)


class WhenNeeded:
    """A format that is opened when its first line comes, as most of those that lines may be of never are."""

    def __init__(self, opened: Callable[[], LineFormat]) -> None:
        self._opened = opened

    @cached_property
    def _read(self) -> LineFormat:
        return self._opened()

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> WhenNeeded:
        return WhenNeeded(lambda: self._read.of_source(path, written_ns, header))

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self._read.parse(data, offset)

    def parse_lines(self, lines: Lines) -> ParsedLines:
        return self._read.parse_lines(lines)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._read.parse_too_long(data, offset)


def open_mixed(kinds: Iterable[Kind], options: FormatOptions, expected: str) -> MixedFormat:
    """A format of these kinds; lines of none of them were `expected` to be something else.

    Raises FormatError when the options cannot be used.
    """

    def extract(text: pl.Series) -> pl.DataFrame:
        problem = found_instead("line", pl.lit(text), expected)
        nothing = [pl.lit(None, dtype).alias(name) for name, dtype in RAW_SCHEMA.items() if name != PROBLEM]
        return pl.select(problem.alias(PROBLEM), *nothing)

    formats = {kind: kind.open(replace(options, name=kind.name, asks_unit=True)) for kind in kinds}
    # Nothing is left out of what no kind claims.
    rules = Rules(replace(options, customer=(), exclude=()))
    return MixedFormat(formats, TextFormat(extract, rules, options.max_line_bytes))


class _Owners:
    """Which kind claims a line, asked once for each line at most."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._asked: set[Kind] = set()
        self._of: dict[int, Kind | None] = {}  # by offset

    def next_of(self, lines: Lines) -> Kind | None:
        """The kind of the first line that is of one which has not been asked yet."""
        for first in range(0, len(lines), _LOOKED_AT):
            part = lines.part(first, _LOOKED_AT)
            for offset, line in zip(part.offsets.tolist(), text_of(part), strict=True):
                kind = self._owner(offset, line)
                if kind and kind not in self._asked:
                    self._asked.add(kind)
                    return kind
        return None

    def are_of_others(self, lines: Lines, rejects: pl.DataFrame) -> pl.Series:
        """Which of the rejects of one kind are lines of another, or of none.

        With a wrong value only it is a line of the kind, unless that does not claim it.
        """
        others = rejects["reason"].str.starts_with(_OF_THE_WHOLE_LINE)
        doubtful = rejects.filter(~others)["offset"]
        if doubtful.is_empty():
            return others
        chosen = lines.only(np.isin(lines.offsets, doubtful.to_numpy()))
        strange = [
            offset
            for offset, line in zip(chosen.offsets.tolist(), text_of(chosen), strict=True)
            if self._owner(offset, line) not in self._asked
        ]
        return others | rejects["offset"].is_in(strange)

    def _owner(self, offset: int, line: str) -> Kind | None:
        if offset not in self._of:
            self._of[offset] = next((kind for kind in self._kinds if kind.claims(line)), None)
        return self._of[offset]


def _together(parts: list[ParsedLines]) -> ParsedLines:
    if len(parts) == 1:
        return parts[0]
    return ParsedLines(
        records=pl.concat([no_records(), *(part.records for part in parts)]).sort("offset"),
        rejects=pl.concat([no_rejects(), *(part.rejects for part in parts)]).sort("offset"),
        blanks=sum(part.blanks for part in parts),
    )
