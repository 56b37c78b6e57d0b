"""Lines of one shape, as a program writes them: the same keys in the same order, only the values differ.

A shape is learned from one line. It is the text between the values, and a line has it when all of this text
is in its place: at the quotes, of which each line of a shape has the same number. What has no known shape, or
an escape in it, may be right all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from tailmetrics.formats.digits import WORD, Words, decimals, words_at
from tailmetrics.formats.json_fields import JsonFields, Route
from tailmetrics.formats.json_values import Values, texts_between
from tailmetrics.formats.lines import Bools, Bytes, Integers, Lines

_QUOTE, _BACKSLASH, _ZERO, _DOT = b'"'[0], b"\\"[0], b"0"[0], b"."[0]
_TOKEN = re.compile(rb'"[^"]*"|[{}\[\]:,]|[ \t\r]+|[^"{}\[\]:, \t\r]+')
_SCALAR = r"\A(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)\z"
_PADDING: Final = b"\n" * 1024  # what is looked at of a line may begin before it and end behind it
_LONGEST_BLOCK = 1000
_MOST_BEFORE_QUOTE = 64
_FEW_LINES = 128  # which are as quick without a shape
_MOST_LEARNED, _MOST_KNOWN = 3, 6  # shapes: at a time, and in all
_PASSED_OVER = 15


@dataclass(frozen=True, slots=True)
class _Block:
    """Text between two values; `quote` is the number of its first quote in the line, and where that is in it.

    The last block may have no quote.
    """

    text: bytes
    quote: int
    shift: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Text and values of a line by turns: `routes[i]` leads to the value behind block i, None in an array."""

    quotes: int
    blocks: Sequence[_Block]
    routes: Sequence[Route | None]
    quoted: Sequence[bool]


def shape_of(line: bytes, fields: JsonFields) -> Shape | None:
    """The shape of a line without an escape; None when it is no object, or not to be told by its quotes."""
    try:
        if not isinstance(msgspec.json.decode(line), dict):
            return None
    except (msgspec.MsgspecError, RecursionError):
        return None
    texts, routes, quoted, containers = _Walk(line).parts()
    blocks, quotes = [], 0
    for text in texts:
        blocks.append(_Block(text, quotes, text.find(b'"')))
        quotes += text.count(b'"')
    wanted = {route for column in fields.keys for route in fields.routes(column)}
    named = [route for route in (*routes, *containers) if route is not None]
    told = all(0 <= block.shift <= _MOST_BEFORE_QUOTE for block in blocks[:-1])
    if not told or len(set(named)) < len(named) or wanted.intersection(containers):
        return None
    if len(blocks) < 2 or max(map(len, texts)) > _LONGEST_BLOCK:
        return None
    return Shape(quotes, blocks, routes, quoted)


class _Walk:
    """Goes through the tokens of an object."""

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._keys: list[bytes | None] = []  # of the objects that are open; None of an array
        self._is_key = False

    def parts(self) -> tuple[list[bytes], list[Route | None], list[bool], list[Route]]:
        """Texts between values, the routes to these, which are quoted, and routes to objects and arrays."""
        texts, routes, quoted, containers = [b""], [], [], []
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
                quoted.append(is_text)
        return texts, routes, quoted, containers

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
        if len(lines) < _FEW_LINES:
            return
        if self._passed_over:  # a log of many shapes is not looked at each time in vain
            self._passed_over -= 1
            return
        text = _Text(lines)
        taken, learned = 0, 0
        known = list(self._known)
        while text.rest >= _FEW_LINES:
            is_new = not known
            if is_new and learned == _MOST_LEARNED:
                break
            shape = known.pop(0) if known else shape_of(text.line(), self._fields)
            learned += is_new
            if shape is None or not all(_present(shape, self._fields, name) for name in self._required):
                text.drop_line()
                continue
            places, values = text.take(shape, self._fields)
            if is_new and len(places) >= _FEW_LINES:
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
    """Lines whose quotes are known, and which of them have not been taken yet."""

    def __init__(self, lines: Lines) -> None:
        self._data = b"".join((_PADDING, lines.data, _PADDING))
        self._array = np.frombuffer(self._data, dtype=np.uint8)
        self._starts, self._ends = lines.starts + len(_PADDING), lines.ends + len(_PADDING)
        self._quotes = np.flatnonzero(self._array == _QUOTE)
        self._is_left = np.ones(len(lines), dtype=np.bool_)
        if b"\\" in lines.data:
            escapes = np.flatnonzero(lines.array == _BACKSLASH)
            self._is_left[np.searchsorted(lines.starts, escapes, side="right") - 1] = False
        self._first_quotes: Integers | None = None

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
        places, quotes = self._with_quotes(shape.quotes)
        starts, ends = self._starts[places], self._ends[places]
        edges: list[Integers] = []
        fits = np.ones(len(places), dtype=np.bool_)
        for number, block in enumerate(shape.blocks):
            has_quote = block.shift >= 0
            begins = quotes[:, block.quote] - block.shift if has_quote else ends - len(block.text)
            fits &= _are(self._data, begins, block.text)
            if number == 0:
                fits &= begins == starts
            elif not shape.quoted[number - 1]:
                fits &= begins > edges[-1]
            edges += [begins, begins + len(block.text)]
        fits &= edges[-1] == ends
        edges = edges[1:-1] if fits.all() else [edge[fits] for edge in edges[1:-1]]
        places = places if fits.all() else places[fits]
        is_json = np.ones(len(places), dtype=np.bool_)
        for number, quoted in enumerate(shape.quoted):
            if not quoted:
                is_json &= _are_scalars(self._data, self._array, edges[2 * number], edges[2 * number + 1])
        values: dict[str, Values] = {}
        for column in fields.keys:
            for rank, number in enumerate(_present(shape, fields, column)):
                found = Values.unescaped(
                    self._data, self._array, edges[2 * number], edges[2 * number + 1], shape.quoted[number]
                )
                if rank == 0:
                    values[column] = found
                else:  # which of them it is, the lines tell one by one
                    is_json &= ~values[column].missing()
        self._is_left[places] = False
        if is_json.all():
            return places, values
        return places[is_json], {column: found.only(is_json) for column, found in values.items()}

    def _with_quotes(self, count: int) -> tuple[Integers, Integers]:
        """The lines that are left and have so many quotes, and a row of these for each."""
        if len(self._quotes) == count * len(self._starts) and self._is_left.all():
            rows = self._quotes.reshape(-1, count)
            if (rows[:, 0] >= self._starts).all() and (rows[:, -1] < self._ends).all():
                return np.arange(len(rows)), rows
        if self._first_quotes is None:
            self._first_quotes = np.searchsorted(self._quotes, self._starts)
        counts = np.diff(self._first_quotes, append=len(self._quotes))
        places = np.flatnonzero(self._is_left & (counts == count))
        return places, self._quotes[self._first_quotes[places, None] + np.arange(count)]


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
        fits[odd] = texts_between(data, starts[odd], ends[odd]).str.contains(_SCALAR).to_numpy()
    return fits
