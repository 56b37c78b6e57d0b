"""A look at the bytes of lines by a template: which of them are clean, and where their fields are.

A line is clean when it has no backslash, no control character and UTF-8 alone, and when each field, taken as
short as its kind allows, is followed by what the template has next. Then the regular expression of the
template finds the same fields, as that is its first way to go, too. What is not clean may be right even so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tailmetrics.formats.digits import WORD, words_at
from tailmetrics.formats.lines import (
    DELETE,
    LF,
    Bools,
    Bytes,
    Integers,
    Lines,
    complete,
    lines_at,
    odd_characters,
)
from tailmetrics.formats.scan import bytes_until, exclude
from tailmetrics.formats.templates.clf_times import TIME_BYTES, clf_times
from tailmetrics.formats.templates.template import Field, Kind, Literal, Role, Template

_FIRST_PRINTABLE = 0x20
_BACKSLASH = b"\\"
_QUOTE, _SPACE, _COMMA, _BRACKET, _COLON, _BRACE = (ord(character) for character in '" ,[:{')
_BEHIND_PORT = b': ,|"[]/\t'  # a colon, and what is in no address
_FEW_BYTES = 3  # which are sooner compared one by one
_BLOCK_BYTES = 1 << 18  # looked at in one go: what is made of so many stays near
_LINE_ENDS = b"\n\r"
_BEHIND = 2048  # bytes that may be read behind the last line, as long as literals are not as long


@dataclass(frozen=True, slots=True)
class Spans:
    """Which lines are clean, and of these, in order, where each field begins and ends.

    Positions are in `text` (of which `array` is a view), which begins with the data of the lines. `times` are
    UTC in microseconds since 1970, if the template has a time of this kind.
    """

    text: bytes
    array: Bytes
    clean: Bools
    fields: dict[str, tuple[Integers, Integers]]
    times: Integers | None


@dataclass(frozen=True, slots=True)
class Marks:
    """Lines, and where the marks are in their data, which are quotes and line feeds.

    `text` is the data with some zeros behind. `firsts[i]` is the first mark of line i, and `feeds[i]` its
    end. `controls` are the other C0 control characters, and `highest` is the highest byte.
    """

    text: bytes
    lines: Lines
    marks: Integers
    firsts: Integers
    feeds: Integers
    controls: Integers
    highest: int


def marks_of(data: bytes, offset: int) -> Marks:
    """Find the lines of `data`, which begins at byte `offset` of its source, and the marks, in one go."""
    whole, skipped = complete(data, offset)
    return _marks(whole, lambda array, feeds: lines_at(whole, array, feeds, offset, skipped))


def marks_in(lines: Lines) -> Marks:
    """The marks of lines that are found."""
    return _marks(lines.data, lambda _array, _feeds: lines)


def _marks(whole: bytes, lines_of: Callable[[Bytes, Integers], Lines]) -> Marks:
    text = whole + bytes(_BEHIND)
    array = np.frombuffer(text, dtype=np.uint8, count=len(whole))
    found, highest = [np.zeros(0, dtype=np.int64)], 0
    buffers = np.empty((2, _BLOCK_BYTES), dtype=np.bool_)
    for begin in range(0, len(array), _BLOCK_BYTES):
        block = array[begin : begin + _BLOCK_BYTES]
        is_mark, is_other = buffers[:, : len(block)]
        np.less(block, _FIRST_PRINTABLE, out=is_mark)
        np.logical_or(is_mark, np.equal(block, _QUOTE, out=is_other), out=is_mark)
        places = np.flatnonzero(is_mark)
        places += begin
        found.append(places)
        highest = max(highest, int(block.max()))
    marks = np.concatenate(found)
    kinds = array[marks]
    is_feed = kinds == LF
    controls = marks[:0]
    if np.count_nonzero(is_feed) + np.count_nonzero(kinds == _QUOTE) < len(marks):
        is_control = is_feed < (kinds < _FIRST_PRINTABLE)
        controls = marks[is_control]
        marks, is_feed = marks[~is_control], is_feed[~is_control]
    lasts = np.flatnonzero(is_feed)
    feeds = marks[lasts]
    firsts = np.zeros(len(feeds), dtype=np.int64)
    firsts[1:] = lasts[:-1] + 1
    return Marks(text, lines_of(array, feeds), marks, firsts, feeds, controls, highest)


def scan(template: Template, marks: Marks, wanted: frozenset[str], max_line_bytes: int) -> Spans:
    """Look for the wanted fields of the template in each line."""
    lines = marks.lines
    walk = _Walk(template, marks)
    walk.fits &= lines.lengths <= max_line_bytes
    _exclude_unclean(walk.fits, marks)
    fields: dict[str, tuple[Integers, Integers]] = {}
    times: Integers | None = None
    for index, part in enumerate(template.parts):
        if isinstance(part, Literal):
            walk.literal(part.text.encode())
            continue
        begins = walk.at
        if part.kind is Kind.BRACES:
            fields[part.name] = walk.braces(part.unit.encode())
            continue
        if part.kind is Kind.TIME:
            found = walk.time()
            times = found if part.role is Role.TIMESTAMP and times is None else times
        else:
            walk.field(part, template.stop(index).encode()[:1])
        if part.name in wanted:
            fields[part.name] = (begins, walk.at)
    clean = walk.fits & (walk.at == lines.ends) & walk.has_no_more_quotes()
    if not clean.all():
        fields = {name: (begins[clean], ends[clean]) for name, (begins, ends) in fields.items()}
        times = None if times is None else times[clean]
    return Spans(walk.text, walk.array, clean, fields, times)


class _Walk:
    """Goes through all lines at once, part by part.

    `at` is where the next part begins in each line, and `fits` where all up to there is of the template. A
    line that does not fit goes on at the first byte, so that no position is ever far behind the end.
    """

    def __init__(self, template: Template, marks: Marks) -> None:
        lines = marks.lines
        literals = [part.text for part in template.parts if isinstance(part, Literal)]
        # Usually nothing more is needed, and then the bytes are not copied.
        self.text = marks.text + bytes(len("".join(literals).encode()) // (_BEHIND // 2) * _BEHIND)
        self.at = lines.starts
        self.fits = np.ones(len(lines), dtype=np.bool_)
        self._ends = lines.ends
        self.array = np.frombuffer(self.text, dtype=np.uint8)
        self._quotes = sum(literal.count('"') for literal in literals)
        self._marks = np.append(marks.marks, np.zeros(self._quotes, dtype=np.int64))
        self._next_mark = marks.firsts
        self._feeds = marks.feeds
        self._is_at_literal = False  # whether the first byte of the next literal is known to be there

    def literal(self, expected: bytes) -> None:
        seen = int(self._is_at_literal)
        self._is_at_literal = False
        if expected[seen:]:
            self.fits &= self._has(self.at + seen, expected[seen:])
        if quotes := expected.count(b'"'):
            self._next_mark = self._next_mark + quotes
        self._go_to(self.at + len(expected))

    def time(self) -> Integers:
        times, real = clf_times(self.text, self.at)
        self.fits &= real
        self._go_to(self.at + TIME_BYTES)
        return times

    def braces(self, behind: bytes) -> tuple[Integers, Integers]:
        """Where what is in the braces begins and ends; where there are none, both are where they would be."""
        is_there = self.array[self.at] == _BRACE
        self.fits &= ~self._has(self.at, b'"{')
        begins = self.at + is_there
        ends = np.where(is_there, begins + self._to(begins, b"{}"), begins)
        closing = b"}" + behind
        self.fits &= ~is_there | self._has(ends, closing)
        self._is_at_literal = False
        self._go_to(np.where(is_there, ends + len(closing), self.at))
        return begins, ends

    def field(self, field: Field, stop: bytes) -> None:
        if field.kind is Kind.QUOTED:
            self.fits &= self._marks[self._next_mark - 1] == self.at - 1
            ends = self._marks[self._next_mark]
            self.fits &= ends >= self.at
        elif field.kind is Kind.REST or (field.kind is Kind.TEXT and not stop):
            ends = self._ends
            self.fits &= ends >= self.at
        else:
            ends = self._end_of_words(field, stop)
        self._go_to(ends)

    def _end_of_words(self, field: Field, stop: bytes) -> Integers:
        space = b"" if stop == b" " else b" "
        for _ in range(field.unit.count(" ") if field.kind is Kind.STRFTIME else 0):
            self._go_to(self._until(space + stop) + 1)
            self.fits &= self.array[self.at - 1] == _SPACE
        stops = stop if field.kind is Kind.TEXT else space + (stop or _LINE_ENDS)
        if field.kind is Kind.PLAIN:
            stops = stop if stop == b'"' else (stop or _LINE_ENDS) + b'"'
        is_site = field.role is Role.HOST and stop == b":"
        if field.kind in {Kind.LIST, Kind.NAME} or field.role is Role.ADDRESS or is_site:
            stops += b","
        if field.kind is Kind.NAME and not is_site:
            stops += b":"
        if is_site:  # else an address in brackets ends at its first colon
            self.fits &= self.array[self.at] != _BRACKET
        ends = self._until(stops)
        self.fits &= ends > self.at  # then a stop was found
        if field.role is Role.ADDRESS and stop == b":":  # of IPv6 it is only the first colon
            port = ends + 1
            behind = port + self._to(port, _BEHIND_PORT)
            self.fits &= (behind > port) & (self.array[behind] != _COLON)
        self._is_at_literal = stops == stop
        if field.kind is Kind.LIST:
            self.fits &= self.array[ends] != _COMMA
            self.fits &= ~self._has(ends, b" : ")
        return ends

    def has_no_more_quotes(self) -> Bools:
        """Where there are but those of the template; anywhere when it has none."""
        if not self._quotes:
            return self.fits
        has_none: Bools = self._marks[self._next_mark] == self._feeds
        return has_none

    def _until(self, stops: bytes) -> Integers:
        return self.at + self._to(self.at, stops)

    def _to(self, positions: Integers, stops: bytes) -> Integers:
        return bytes_until(self.text, positions, words_at(self.text, positions, "<u8"), stops)

    def _has(self, positions: Integers, expected: bytes) -> Bools:
        has: Bools = self.array[positions] == expected[0]
        if len(expected) <= _FEW_BYTES:
            for index in range(1, len(expected)):
                has &= self.array[positions + index] == expected[index]
            return has
        for begin in range(0, len(expected), WORD):
            piece = expected[begin : begin + WORD]
            mask = np.uint64((1 << 8 * len(piece)) - 1)
            words = words_at(self.text, positions + begin, "<u8") & mask
            has &= words == np.uint64(int.from_bytes(piece, "little"))
        return has

    def _go_to(self, positions: Integers) -> None:
        self.at = positions if self.fits.all() else np.where(self.fits, positions, 0)


def _exclude_unclean(clean: Bools, marks: Marks) -> None:
    lines, array = marks.lines, marks.lines.array
    if len(marks.controls):
        of_lines = np.searchsorted(lines.starts, marks.controls, side="right") - 1
        clean[of_lines[marks.controls < lines.ends[of_lines]]] = False
    if _BACKSLASH in lines.data:
        exclude(clean, lines, np.flatnonzero(array == ord(_BACKSLASH)))
    if marks.highest >= DELETE:
        exclude(clean, lines, np.flatnonzero(array == DELETE))
        exclude(clean, lines, odd_characters(lines.data, array))
