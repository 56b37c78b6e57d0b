"""Lines of one shape, as a program writes them: the same keys in the same order, only the values differ.

A shape is learned from one line. It is the text between the values, and a line has it when all of this text
follows each other, with a value between, and the line has no other quotes. What has no known shape, or an
escape in it, may be right all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np

from tailmetrics.formats.digits import WORD, Words, decimals, until_any, words_at
from tailmetrics.formats.json.keys import JsonFields, Route
from tailmetrics.formats.json.values import Values, texts_between
from tailmetrics.formats.lines import Bools, Bytes, Integers, Lines

_QUOTE, _BACKSLASH, _ZERO, _DOT = b'"'[0], b"\\"[0], b"0"[0], b"."[0]
_TOKEN = re.compile(rb'"[^"]*"|[{}\[\]:,]|[ \t\r]+|[^"{}\[\]:, \t\r]+')
_SCALAR = r"\A(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z"
_PADDING: Final = b"\n" * 1024  # what is looked at of a line may begin before it and end behind it
_LONGEST_TEXTS = 900
_STRIDE, _MOST_STRIDES = 64, 16
FEW_LINES = 128  # which are as quick without a shape
_MOST_LEARNED, _MOST_KNOWN = 3, 6  # shapes: at a time, and in all
_PASSED_OVER = 15
_FEW_OTHERS = 8  # an eighth of the lines, whose quotes are quicker counted one by one
_TO_LAST_FOUR, _TO_LAST_FIVE = np.uint64(32), np.uint64(24)
_NAMES_OF_FOUR = np.frombuffer(b"truenull", dtype="<u4").astype(np.uint64)
_FALSE = np.uint64(int.from_bytes(b"false", "little"))


@dataclass(frozen=True, slots=True)
class Shape:
    """Texts and values of a line by turns, with a text at both ends.

    `routes[i]` leads to value i, and is None in an array. `lengths[i]` is how long the value is in most
    lines; None when that differs.
    """

    quotes: int
    texts: Sequence[bytes]
    routes: Sequence[Route | None]
    quoted: Sequence[bool]
    lengths: list[int | None]


def shape_of(line: bytes, fields: JsonFields) -> Shape | None:
    """The shape of a line without an escape; None when it is no object, or the routes in it are ambiguous."""
    try:
        if not isinstance(msgspec.json.decode(line), dict):
            return None
    except (msgspec.MsgspecError, RecursionError):
        return None
    texts, routes, values, containers = _Walk(line).parts()
    wanted = {route for column in fields.keys for route in fields.routes(column)}
    named = [route for route in (*routes, *containers) if route is not None]
    if not values or sum(map(len, texts)) > _LONGEST_TEXTS:
        return None
    if len(set(named)) < len(named) or wanted.intersection(containers):
        return None
    quoted = [value.startswith(b'"') for value in values]
    lengths: list[int | None] = [
        len(value.strip(b'"')) if value.startswith(b'"') else None for value in values
    ]
    return Shape(b"".join(texts).count(b'"'), texts, routes, quoted, lengths)


class _Walk:
    """Goes through the tokens of an object."""

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._keys: list[bytes | None] = []  # of the objects that are open; None of an array
        self._is_key = False

    def parts(self) -> tuple[list[bytes], list[Route | None], list[bytes], list[Route]]:
        """Texts around values, the routes to these, the values, and the routes to objects and arrays."""
        texts, routes, values, containers = [b""], [], [], []
        for token in _TOKEN.findall(self._line):
            is_text = token.startswith(b'"')
            if token in b"{}[]:," or token.isspace() or (is_text and self._is_key):
                texts[-1] += token
                if token in (b"{", b"[") and self._keys and (route := self._route()):
                    containers.append(route)
                self._step(token)
            else:
                texts[-1] += b'"' * is_text
                texts.append(b'"' * is_text)
                routes.append(self._route())
                values.append(token)
        return texts, routes, values, containers

    def _step(self, token: bytes) -> None:
        if token in (b"{", b"["):
            self._keys.append(b"" if token == b"{" else None)
        elif token in (b"}", b"]"):
            self._keys.pop()
        elif token.startswith(b'"'):
            self._keys[-1] = token[1:-1]
        if token in (b"{", b"[", b",", b":"):
            self._is_key = token != b":" and self._keys[-1] is not None

    def _route(self) -> Route | None:
        return None if None in self._keys else tuple(key.decode() for key in self._keys if key is not None)


class Shapes:
    """The shapes that a log has, learned from its lines."""

    def __init__(self, fields: JsonFields, required: Sequence[str]) -> None:
        self._fields = fields
        self._required = required
        self._known: tuple[Shape, ...] = ()
        self._passed_over = 0

    def values(self, lines: Lines) -> Iterator[tuple[Integers, dict[str, Values]]]:
        """Groups of lines of one shape: which these are, and what they have for each column."""
        if len(lines) < FEW_LINES:
            return
        if self._passed_over > 0:  # a log of many shapes is not looked at each time in vain
            self._passed_over -= 1
            return
        text = _Text(lines)
        taken, learned = 0, 0
        known = list(self._known)
        while text.rest >= FEW_LINES:
            is_new = not known
            if is_new and learned == _MOST_LEARNED:
                break
            shape = known.pop(0) if known else shape_of(text.line(), self._fields)
            learned += is_new
            if shape is None or not all(_present(shape, self._fields, name) for name in self._required):
                text.drop_line()
                continue
            places, values = text.take(shape, self._fields)
            if is_new and len(places) >= FEW_LINES:
                self._known = (*self._known[-_MOST_KNOWN + 1 :], shape)
            if len(places):
                taken += len(places)
                yield places, values
        if taken < len(lines) // 2:
            self._passed_over = _PASSED_OVER


def _present(shape: Shape, fields: JsonFields, column: str) -> list[int]:
    """Which values of the shape the column may have, in order of preference."""
    return [shape.routes.index(route) for route in fields.routes(column) if route in shape.routes]


class _Text:
    """Lines, and which of them have not been taken yet."""

    def __init__(self, lines: Lines) -> None:
        self._data = b"".join((_PADDING, lines.data, _PADDING))
        self._array = np.frombuffer(self._data, dtype=np.uint8)
        self._starts, self._ends = lines.starts + len(_PADDING), lines.ends + len(_PADDING)
        self._is_quote = self._array == _QUOTE
        self._is_left = np.ones(len(lines), dtype=np.bool_)
        if b"\\" in lines.data:
            escapes = np.flatnonzero(lines.array == _BACKSLASH)
            self._is_left[np.searchsorted(lines.starts, escapes, side="right") - 1] = False
        self._quotes: Integers | None = None

    @property
    def rest(self) -> int:
        return int(np.count_nonzero(self._is_left))

    def line(self) -> bytes:
        """The first of the lines that are left."""
        place = int(np.argmax(self._is_left))
        return self._data[self._starts[place] : self._ends[place]]

    def drop_line(self) -> None:
        self._is_left[np.argmax(self._is_left)] = False

    def take(self, shape: Shape, fields: JsonFields) -> tuple[Integers, dict[str, Values]]:
        """The lines that have the shape, and their values by column."""
        places = np.flatnonzero(self._is_left)
        edges, fits = self._edges(shape, self._starts[places], self._ends[places])
        if not self._have_quotes_of(shape, places[fits]):
            fits &= self._quotes_of_lines()[places] == shape.quotes
        if not fits.all():
            places = places[fits]
            edges = [edge[fits] for edge in edges]
        is_json = np.ones(len(places), dtype=np.bool_)
        for number, quoted in enumerate(shape.quoted):
            if not quoted:
                is_json &= _are_scalars(self._data, self._array, edges[2 * number], edges[2 * number + 1])
        self._is_left[places[is_json]] = False
        values: dict[str, Values] = {}
        for column in fields.keys:
            for rank, number in enumerate(_present(shape, fields, column)):
                begins, ends = edges[2 * number], edges[2 * number + 1]
                found = Values.unescaped(self._data, self._array, begins, ends, shape.quoted[number])
                if route := shape.routes[number]:
                    found = replace(
                        found,
                        unit=fields.unit(column, route),
                        naming=fields.naming(column, route),
                    )
                if rank == 0:
                    values[column] = found
                else:  # which of them it is, the lines tell one by one
                    first = values[column]
                    is_json &= ~(first.may_be_no_times() if column == "timestamp" else first.missing())
        if is_json.all():
            return places, values
        return places[is_json], {column: found.only(is_json) for column, found in values.items()}

    def _edges(self, shape: Shape, begins: Integers, line_ends: Integers) -> tuple[list[Integers], Bools]:
        """Begin and end of each value in turn, and which lines have the text of the shape between these.

        A quote in a value is not seen.
        """
        edges: list[Integers] = []
        fits = _are(self._data, begins, shape.texts[0])
        position = begins + len(shape.texts[0])
        for number, text in enumerate(shape.texts[1:]):
            fits &= position < line_ends
            position = np.minimum(position, line_ends)
            ends, is_text = self._ends_of_values(shape, number, position, text)
            fits &= is_text
            edges += [position, ends]
            position = ends + len(text)
        fits &= position == line_ends
        return edges, fits

    def _ends_of_values(
        self, shape: Shape, number: int, begins: Integers, text: bytes
    ) -> tuple[Integers, Bools]:
        """Where the values end that have one of the numbers, and which are followed by the text."""
        length = shape.lengths[number]
        if length is None:
            ends = _next(self._data, begins, text[:1])
            return ends, _are(self._data, ends, text)
        ends = np.minimum(begins + length, len(self._data) - len(_PADDING))
        fits = _are(self._data, ends, text)
        others = np.flatnonzero(~fits)
        if len(others):
            ends[others] = _next(self._data, begins[others], text[:1])
            fits[others] = _are(self._data, ends[others], text)
            if len(others) > len(begins) // 4:
                shape.lengths[number] = None
        return ends, fits

    def _have_quotes_of(self, shape: Shape, places: Integers) -> bool:
        """Whether lines, of which none has fewer, have together just as many quotes as if each had the shape.

        Where many other lines are, this is not known.
        """
        is_other = np.ones(len(self._starts), dtype=np.bool_)
        is_other[places] = False
        others = np.flatnonzero(is_other)
        if len(others) > len(is_other) // _FEW_OTHERS:
            return False
        edges = zip(self._starts[others].tolist(), self._ends[others].tolist(), strict=True)
        quotes = int(np.count_nonzero(self._is_quote)) - sum(self._data.count(b'"', *edge) for edge in edges)
        return quotes == shape.quotes * len(places)

    def _quotes_of_lines(self) -> Integers:
        if self._quotes is None:
            self._quotes = np.add.reduceat(self._is_quote.view(np.uint8), self._starts, dtype=np.int64)
        return self._quotes


def _next(data: bytes, begins: Integers, mark: bytes) -> Integers:
    """Where the mark is next, from each position on; where it is not near, any other place."""
    found = begins + until_any(words_at(data, begins, "<u8"), mark)
    rest = np.flatnonzero(found == begins + WORD)
    for _ in range(_MOST_STRIDES):
        if not len(rest):
            break
        strides = words_at(data, found[rest], f"V{_STRIDE}").view(np.uint8).reshape(-1, _STRIDE)
        is_mark = strides == mark[0]
        more = is_mark.argmax(axis=1)
        is_found = (more > 0) | is_mark[:, 0]
        found[rest] += np.where(is_found, more, _STRIDE)
        rest = rest[~is_found]
        rest = rest[found[rest] <= len(data) - _STRIDE]
    nearest: Integers = np.minimum(found, len(data) - len(_PADDING))
    return nearest


def _are(data: bytes, begins: Integers, text: bytes) -> Bools:
    """Where in the data the text is."""
    words = -(-len(text) // WORD)
    expected = np.frombuffer(text.ljust(words * WORD, b"\0"), dtype="<u8")
    found: Words = words_at(data, begins, f"V{words * WORD}").view("<u8").reshape(-1, words)
    differ = np.zeros(len(begins), dtype=np.uint64)
    for number in range(words):
        word = found[:, number] ^ expected[number]
        if number == words - 1 and len(text) % WORD:
            word &= np.uint64((1 << 8 * (len(text) % WORD)) - 1)
        differ |= word
    fits: Bools = differ == 0
    return fits


def _are_scalars(data: bytes, array: Bytes, starts: Integers, ends: Integers) -> Bools:
    """Where a value without quotes is a number, true, false or null."""
    lengths = ends - starts
    _, fits = decimals(words_at(data, ends - WORD, "<u8"), lengths)
    fits &= (array[starts] != _DOT) & (array[ends - 1] != _DOT)
    fits &= (array[starts] != _ZERO) | (lengths == 1) | (array[starts + 1] == _DOT)
    if not fits.all():
        odd = np.flatnonzero(~fits)
        tails = words_at(data, ends[odd] - WORD, "<u8")
        fits[odd] = ((lengths[odd] == 4) & np.isin(tails >> _TO_LAST_FOUR, _NAMES_OF_FOUR)) | (
            (lengths[odd] == 5) & (tails >> _TO_LAST_FIVE == _FALSE)
        )
        odd = odd[~fits[odd]]
    if not fits.all():
        fits[odd] = texts_between(data, starts[odd], ends[odd]).str.contains(_SCALAR).to_numpy()
    return fits
