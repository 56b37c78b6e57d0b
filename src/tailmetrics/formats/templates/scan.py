"""A look at the bytes of lines by a template: which of them are clean, and where their fields are.

A line is clean when it has no backslash, no control character and UTF-8 alone, and when each field, taken as
short as its kind allows, is followed by what the template has next. Then the regular expression of the template
finds the same fields, as that is its first way to go, too. What is not clean may be right all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailmetrics.formats.digits import words_at
from tailmetrics.formats.lines import LF, Bools, Bytes, Integers, Lines
from tailmetrics.formats.scan import DELETE, bytes_until, exclude, odd_characters
from tailmetrics.formats.templates.clf_times import TIME_BYTES, clf_times
from tailmetrics.formats.templates.template import Field, Kind, Literal, Role, Template

_FIRST_PRINTABLE = 0x20
_BACKSLASH, _QUOTE = b"\\", b'"'
_LINE_ENDS = b"\n\r"
_BEHIND = 64  # bytes that may be read behind the last line, apart from the literals of the template


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


def scan(template: Template, lines: Lines, wanted: frozenset[str], max_line_bytes: int) -> Spans:
    """Look for the wanted fields of the template in each line."""
    walk = _Walk(template, lines)
    walk.fits &= lines.lengths <= max_line_bytes
    _exclude_unclean(walk.fits, lines)
    fields: dict[str, tuple[Integers, Integers]] = {}
    times: Integers | None = None
    for index, part in enumerate(template.parts):
        if isinstance(part, Literal):
            walk.literal(part.text.encode())
            continue
        begins = walk.at
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

    `at` is where the next part begins in each line, and `fits` where all up to there is of the template. A line
    that does not fit goes on at the first byte, so that no position is ever far behind the end.
    """

    def __init__(self, template: Template, lines: Lines) -> None:
        literals = [part.text for part in template.parts if isinstance(part, Literal)]
        size = len("".join(literals).encode())
        self.text = lines.data + bytes(size + _BEHIND)
        self.at = lines.starts
        self.fits = np.ones(len(lines), dtype=np.bool_)
        self._ends = lines.ends
        self.array = np.frombuffer(self.text, dtype=np.uint8)
        quotes = sum(literal.count('"') for literal in literals)
        self._quotes, self._next_quote = _quotes(lines, quotes)

    def literal(self, expected: bytes) -> None:
        for begin in range(0, len(expected), 8):
            self.fits &= _has(self.text, self.at + begin, expected[begin : begin + 8])
        self._next_quote = self._next_quote + expected.count(_QUOTE)
        self._go_to(self.at + len(expected))

    def time(self) -> Integers:
        times, real = clf_times(self.text, self.at)
        self.fits &= real
        self._go_to(self.at + TIME_BYTES)
        return times

    def field(self, field: Field, stop: bytes) -> None:
        if field.kind is Kind.QUOTED:
            self.fits &= self._quotes[self._next_quote - 1] == self.at - 1
            ends = self._quotes[self._next_quote]
            self.fits &= ends >= self.at
        elif field.kind is Kind.REST or (field.kind is Kind.TEXT and not stop):
            ends = self._ends
            self.fits &= ends >= self.at
        elif field.kind is Kind.TEXT:
            ends = self._until(stop)
        else:
            is_list = field.kind is Kind.LIST
            stops = b" " + stop.strip(b" ") + (b"," if is_list else b"") + (b"" if stop else _LINE_ENDS)
            ends = self._until(stops)
            if not stop or stop == b"/":  # no literal may follow, which tells whether a stop was found at all
                found = self.array[ends]
                self.fits &= np.any([found == each for each in stops], axis=0)
            if is_list:
                self.fits &= self.array[ends] != ord(",")
                self.fits &= ~_has(self.text, ends, b" : ")
        self._go_to(ends)

    def has_no_more_quotes(self) -> Bools:
        """Or none that were looked for."""
        following = self._quotes[self._next_quote]
        has_none: Bools = (following >= self._ends) | (following == 0)
        return has_none

    def _until(self, stops: bytes) -> Integers:
        words = words_at(self.text, self.at, "<u8")
        return self.at + bytes_until(self.text, self.at, words, stops)

    def _go_to(self, positions: Integers) -> None:
        self.at = positions if self.fits.all() else np.where(self.fits, positions, 0)


def _has(text: bytes, positions: Integers, expected: bytes) -> Bools:
    """Where at most eight bytes are as expected."""
    size = 1 << (len(expected) - 1).bit_length()
    words = words_at(text, positions, f"<u{size}")
    kind = words.dtype.type
    if size > len(expected):
        words &= kind((1 << 8 * len(expected)) - 1)
    is_equal: Bools = words == kind(int.from_bytes(expected, "little"))
    return is_equal


def _quotes(lines: Lines, count: int) -> tuple[Integers, Integers]:
    """The positions of all quotes, and the first of each line among them; so many may be asked for behind it."""
    if not count:
        return np.zeros(1, dtype=np.int64), np.zeros(len(lines), dtype=np.int64)
    quotes = np.flatnonzero(lines.array == ord(_QUOTE))
    of_line = len(quotes) // max(1, len(lines))
    firsts = np.arange(len(lines)) * of_line
    is_even = len(quotes) == len(lines) * of_line and of_line > 0
    if not (
        is_even
        and (quotes[::of_line] >= lines.starts).all()
        and (quotes[of_line - 1 :: of_line] < lines.ends).all()
    ):
        firsts = np.searchsorted(quotes, lines.starts)
    return np.append(quotes, np.zeros(count + 1, dtype=np.int64)), firsts


def _exclude_unclean(clean: Bools, lines: Lines) -> None:
    array: Bytes = lines.array
    returns = int(np.count_nonzero(array[lines.ends] != LF))
    if int(np.count_nonzero(array < _FIRST_PRINTABLE)) != len(lines) + returns:
        places = np.flatnonzero(array < _FIRST_PRINTABLE)
        of_lines = np.searchsorted(lines.starts, places, side="right") - 1
        clean[of_lines[places < lines.ends[of_lines]]] = False
    if _BACKSLASH in lines.data:
        exclude(clean, lines, np.flatnonzero(array == ord(_BACKSLASH)))
    if array.max(initial=0) >= DELETE:
        exclude(clean, lines, np.flatnonzero(array == DELETE))
        exclude(clean, lines, odd_characters(lines.data, array))
