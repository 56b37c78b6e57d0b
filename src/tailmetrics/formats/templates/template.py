"""A template: what the lines of an access log are made of, text and fields in turn.

A template means one regular expression, anchored at both ends. Whatever reads lines faster has to find the
very same fields.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

import polars as pl

from tailmetrics.formats.customers import is_forwarded

QUOTED_TEXT = r'(?:[^"\\]|\\.)*'
_IN_BRACES = "[^{}]*"
# An address and a port behind it: one of IPv6 has colons itself, without brackets.
_BEFORE_PORT = "(?:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*|[^ ,:]*)"
_CLF_BYTES = len("10/Oct/2024:13:55:36 +0000")
_CHARACTERS_OF_TIME = " /:+-"
_SHOWN_CHARACTERS = 40


class Kind(Enum):
    """What the text of a field may be; each ends where what follows it in the template begins."""

    WORD = "word"  # no space, nor the character with which the next literal begins
    SIGNED = "signed"  # a word that may have a plus sign before it, which says nothing
    NAME = "name"  # a word without comma and colon
    LIST = "list"  # words without comma, with ", " or " : " between them
    TEXT = "text"  # anything, as little as will do
    QUOTED = "quoted"  # between quotes, with a backslash before those that are part of it
    PLAIN = "plain"  # anything but quotes, as little as will do
    BRACES = "braces"  # between braces, or nothing, and then without what follows them
    TIME = "time"  # as 10/Oct/2024:13:55:36 +0000
    STRFTIME = "strftime"  # as many words as its format has
    REST = "rest"  # all up to the end of the line


class Role(str, Enum):
    """What a field tells of the request."""

    TIMESTAMP = "timestamp"
    ADDRESS = "address"
    USER = "user"
    HOST = "host"
    AGENT = "agent"
    REQUEST = "request"  # method, target and protocol
    METHOD = "method"
    TARGET = "target"  # path and query
    PATH = "path"
    QUERY = "query"
    PROTOCOL = "protocol"  # a dash where a connection has no requests, as the method and the target then
    STATUS = "status_code"
    DURATION = "duration"
    TRAILING = "trailing"  # a duration if it is a decimal: nobody said what it is
    BEHIND = "behind"  # a further time, of servers behind, which is no longer than that of the request


_BETWEEN = {Kind.QUOTED: QUOTED_TEXT, Kind.PLAIN: '[^"]*?'}


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that is the same in every line."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field, by the name that its server gives it.

    `unit` is that of a duration (s, ms, us, ns, or empty where nobody can know), of a timestamp the unit
    since 1970 (s, ms, us), a strftime format, or empty where its text tells its shape, and of braces the text
    behind them.
    """

    name: str
    kind: Kind
    role: Role | None = None
    unit: str = ""

    @property
    def has_addresses(self) -> bool:
        """Whether it may hold several addresses, of which the first is the client's."""
        return self.kind is not Kind.WORD and (self.role is Role.ADDRESS or is_forwarded(self.name))

    @property
    def is_name(self) -> bool:
        """Whether it says who asks, which may be in quotes, or behind how urgent a line is."""
        return self.role in (Role.ADDRESS, Role.USER)


Part = Literal | Field


@dataclass(frozen=True)
class Template:
    """The parts of a line, in order. No two fields with one name, no two without a literal between them.

    The exceptions are a host before a path, which begins with a slash, and whatever follows braces. `escapes`
    is whether the server writes a backslash before quotes; `zone` is that of times which tell none, if it is
    not that of the settings.
    """

    parts: tuple[Part, ...]
    escapes: bool = True
    zone: str = ""

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        return tuple(part for part in self.parts if isinstance(part, Field))

    def find(self, name: str | Role) -> list[Field]:
        """The field of that name, or those with that role."""
        named = [field for field in self.fields if field.name == name]
        return named or [field for field in self.fields if field.role and field.role.value == name]

    def first(self, *roles: Role) -> Field | None:
        """The first field with the first of the roles that any field has."""
        return next((field for role in roles for field in self.find(role)), None)

    def stop(self, index: int) -> str:
        """The character at which the field that is part `index` ends; empty for the end of the line."""
        if index + 1 == len(self.parts):
            return ""
        following = self.parts[index + 1]
        if isinstance(following, Literal):
            return following.text[0]
        return "" if following.kind is Kind.REST else "/"

    def extract(self, text: pl.Series, wanted: Sequence[str]) -> pl.DataFrame:
        """The text of each field that is wanted, by its name; all null where the line does not fit."""
        found = text.str.extract_groups(_whole(self, frozenset(wanted))).struct.unnest()
        names = [field.name for field in self.fields if field.name in wanted]
        return found.rename(dict(zip(found.columns, names, strict=True))).select(wanted)

    def fits(self, line: str) -> bool:
        return self._prefixes[-1].fullmatch(line) is not None

    def failure(self, line: str) -> str:
        """Why a line does not fit: where it first differs, and what was expected there."""
        for index in range(len(self.parts), -1, -1):
            if match := self._prefixes[index].match(line):
                break
        else:
            raise AssertionError("the empty prefix fits every line")
        rest = line[match.end() :]
        short = rest if len(rest) <= _SHOWN_CHARACTERS else rest[:_SHOWN_CHARACTERS] + "…"
        found = f"'{short}'" if rest else "the end of the line"
        return f"line: found {found}, expected {self._expected(index)}"

    def _expected(self, index: int) -> str:
        if index == len(self.parts):
            return "the end of the line"
        part = self.parts[index]
        if isinstance(part, Field):
            return part.name
        before, after = self.parts[:index], self.parts[index + 1 :]
        if before and isinstance(before[-1], Field):
            return f"'{part.text}' after {before[-1].name}"
        return f"'{part.text}' before {after[0].name}" if after and isinstance(after[0], Field) else part.text

    @cached_property
    def _prefixes(self) -> tuple[re.Pattern[str], ...]:
        """Patterns of the first so many parts, from none to all."""
        patterns = [_pattern(self, index) for index in range(len(self.parts))]
        return tuple(re.compile("".join(patterns[:count])) for count in range(len(patterns) + 1))


@lru_cache(maxsize=64)
def _whole(template: Template, wanted: frozenset[str]) -> str:
    """The regular expression in Rust's syntax, with a group for each field that is wanted."""
    pieces = []
    for index, part in enumerate(template.parts):
        pattern = _pattern(template, index)
        is_wanted = isinstance(part, Field) and part.name in wanted
        inside = _IN_BRACES if isinstance(part, Field) and part.kind is Kind.BRACES else pattern
        pieces.append(pattern.replace(inside, f"(?P<part{index}>{inside})") if is_wanted else pattern)
    return rf"\A{''.join(pieces)}\z"


def _pattern(template: Template, index: int) -> str:
    part = template.parts[index]
    if isinstance(part, Literal):
        return re.escape(part.text) + ("?" if _may_be_cut(template, index) else "")
    if part.kind is Kind.BRACES:
        return rf'(?:"?\{{{_IN_BRACES}\}}"?{re.escape(part.unit)})?'
    stop = template.stop(index)
    escaped = re.escape(stop) if stop != " " else ""
    if part.role is Role.HOST and stop == ":":
        return r"(?:\[[^] ,]*\]|[^ ,:\[][^ ,:]*|)"  # an address of IPv6 has colons itself, in brackets
    if part.kind is Kind.NAME:
        return f"[^ ,:{escaped}]*"
    if part.kind is Kind.WORD and part.role is Role.ADDRESS:
        # An address with a comma is the first of several.
        return _BEFORE_PORT if stop == ":" else f"[^ ,{escaped}]*"
    if part.kind in (Kind.WORD, Kind.SIGNED):
        return f"[^ {escaped}]*"
    if part.kind is Kind.STRFTIME:
        return f"[^ {escaped}]*(?: [^ {escaped}]*){{{part.unit.count(' ')}}}"
    if part.kind is Kind.LIST:
        item = f"[^ ,{escaped}]+"
        return f"(?:{item}(?:(?:, ?| : ){item})*)?"
    if part.kind in _BETWEEN:
        return _BETWEEN[part.kind]
    if part.kind is Kind.TIME:
        is_of_time = stop in _CHARACTERS_OF_TIME or stop.isalnum()  # nothing, at the end of the line, is too
        return f".{{{_CLF_BYTES}}}" if is_of_time else f"[^{escaped}]*"
    if part.role is Role.USER and stop == " ":
        # A dash and more words are none: then there are more words before than the template has.
        return "(?:-|[^ -].*?|-[^ ].*?)??"
    return ".*?" if part.kind is Kind.TEXT and stop else ".*"


def _may_be_cut(template: Template, index: int) -> bool:
    """Whether a literal is the quote behind a request at the end of a line, which HAProxy may cut off."""
    before = template.parts[index - 1] if index and index + 1 == len(template.parts) else None
    if not isinstance(before, Field) or before.kind is not Kind.PLAIN:
        return False
    is_request = before.role in (Role.REQUEST, Role.TARGET, Role.PATH)
    return is_request and template.parts[index] == Literal('"')
