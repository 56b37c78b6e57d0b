"""Templates from HAProxy's own words, `log-format` and its aliases and sample expressions.

What they hold is told in HAProxy's "Configuration Manual", sections 2.2 (quoting), 8.2.6 (custom log format),
8.4 (timing events) and 8.6 (non-printable characters).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tailmetrics.errors import FormatError
from tailmetrics.formats.templates.parts import (
    best_of,
    literals,
    template_of,
    unknown,
    with_client,
    without_quotes,
)
from tailmetrics.formats.templates.template import Field, Kind, Literal, Part, Role, Template

_LOCAL_TIME = "%d/%b/%Y:%H:%M:%S.%f"
_FIELDS = {
    "ci": (Kind.WORD, Role.ADDRESS, ""),
    "t": (Kind.STRFTIME, Role.TIMESTAMP, _LOCAL_TIME),
    "tr": (Kind.STRFTIME, Role.TIMESTAMP, _LOCAL_TIME),
    "T": (Kind.TIME, Role.TIMESTAMP, ""),
    "Tl": (Kind.TIME, Role.TIMESTAMP, ""),
    "trg": (Kind.TIME, Role.TIMESTAMP, ""),
    "trl": (Kind.TIME, Role.TIMESTAMP, ""),
    "Ts": (Kind.WORD, Role.TIMESTAMP, "s"),
    "r": (Kind.TEXT, Role.REQUEST, ""),
    "HM": (Kind.WORD, Role.METHOD, ""),
    "HU": (Kind.TEXT, Role.TARGET, ""),
    "HP": (Kind.TEXT, Role.PATH, ""),
    "HPO": (Kind.TEXT, Role.PATH, ""),
    "HQ": (Kind.WORD, Role.QUERY, ""),
    "ST": (Kind.WORD, Role.STATUS, ""),
    "Ta": (Kind.SIGNED, Role.DURATION, "ms"),
    "Tu": (Kind.SIGNED, Role.DURATION, "ms"),
    "Tt": (Kind.SIGNED, Role.DURATION, "ms"),
    "hr": (Kind.BRACES, None, ""),
    "hs": (Kind.BRACES, None, ""),
    "hrl": (Kind.TEXT, None, ""),
    "hsl": (Kind.TEXT, None, ""),
    "ID": (Kind.TEXT, None, ""),
}
# Names, with spaces between them.
_WORDS = (
    "B CC CS H HV OG TR Tc Td Th Ti Tq Tr Tw U ac b bc bi bp bq cp f fc fi fp ft lc ms pid rc rt s sc si "
    "sp sq sslc sslv ts tsc"
)
# What is text and in quotes with the flag Q, as addresses are; other items are numbers, times, or either.
_STRINGS = "CC CS H HM HP HPO HQ HU HV ID OG b bi ci f fi ft r s si sslc sslv"
# Of the time of the request before that of the connection, which may have several, and so of durations.
_BEST_TIMES, _BEST_DURATIONS = ("tr", "t", "T"), ("Ta", "Tu", "Tt")
_SAMPLES = {
    "src": "ci",
    "method": "HM",
    "url": "HU",
    "pathq": "HU",
    "path": "HPO",
    "status": "ST",
    "txn.status": "ST",
    "txn.timer.total": "Ta",
    "txn.timer.user": "Tu",
    "fc.timer.total": "Tt",
}
_HEADER = re.compile(r"(?:req\.|capture\.req\.)?f?hdr(?:_ip)?\( *[\"']?([\w-]+)", re.IGNORECASE)
_HEADERS = {
    "host": (Kind.TEXT, Role.HOST),
    "user-agent": (Kind.TEXT, Role.AGENT),
    "x-forwarded-for": (Kind.LIST, None),
}
_ITEM = re.compile(r"%(?:\(([^:)]*)(?::\w*)?\))?(?:\{([^}]*)\})?([A-Za-z0-9]+|\[)?")
_DIRECTIVE = re.compile(r"\s*log-format(?:-sd)?\s+")
_QUOTED = re.compile(r"\s*(?:'[^']*'|\"(?:[^\"\\]|\\.)*\")\s*")
_WORD = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|((?:[^\s'\"\\#]|\\.)+)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\ \"'#t])")
_COMMENT = re.compile(r"\s*(?:#.*)?\Z")


def from_haproxy(text: str) -> Template:
    """The template of a `log-format`, whole (`log-format "…"`), its quoted text, or what is between these.

    Raises FormatError when an alias is unknown, or lines are not of text.
    """
    rest = _unquoted(text)
    parts: list[Part] = []
    flags: frozenset[str] = frozenset()
    at = 0
    while (percent := rest.find("%", at)) >= 0:
        parts.append(Literal(rest[at:percent]))
        if rest.startswith("%%", percent):
            parts.append(Literal("%"))
            at = percent + 2
            continue
        item = _ITEM.match(rest, percent)
        if not item or not item[3]:
            raise _unknown(rest[percent:].split()[0], percent)
        own = _flags(flags, item[2] or "", percent)
        at = item.end()
        if item[3] == "o":
            flags = own
        elif item[3] == "[":
            at = _end_of_expression(rest, at)
            parts += _quoted(_expression(rest[item.end() : at - 1], item[1]), is_string=True, flags=own)
        else:
            field = _field(item[3], item[1], own, item[0], percent)
            parts += _quoted(field, is_string=item[3] in _STRINGS.split(), flags=own)
    parts.append(Literal(rest[at:]))
    told = _epoch(_spaced(parts))
    told = best_of(best_of(told, Role.TIMESTAMP, _BEST_TIMES), Role.DURATION, _BEST_DURATIONS)
    return template_of(without_quotes(with_client(told), _may_have_quotes), escapes=False)


def _unquoted(text: str) -> str:
    """The format as HAProxy reads it from its configuration."""
    directive = _DIRECTIVE.match(text)
    if not directive and not _QUOTED.fullmatch(text):
        return _ESCAPE.sub(_unescaped, text)
    found, at = [], directive.end() if directive else len(text) - len(text.lstrip())
    while word := _WORD.match(text, at):
        found.append(word[1] if word[1] is not None else _ESCAPE.sub(_unescaped, word[2] or word[3] or ""))
        at = word.end()
    if not _COMMENT.match(text, at):
        raise FormatError(
            f"log-format: found {text[at:].strip()!r} behind the format, expected it in quotes, or with a "
            "backslash before each of its spaces"
        )
    return "".join(found)


def _unescaped(escape: re.Match[str]) -> str:
    return "\t" if escape[1] == "t" else escape[1]


def _flags(flags: frozenset[str], given: str, at: int) -> frozenset[str]:
    """The flags with those that `+Q,-E` sets and takes away."""
    for flag in filter(None, given.replace(" ", "").split(",")):
        name = flag.lstrip("+-")
        if name in ("json", "cbor") and not flag.startswith("-"):
            raise FormatError(
                f"log-format: found {flag} at column {at + 1}, expected lines of text; those of JSON are "
                "read with LOG_FORMAT=json"
            )
        flags = flags - {name} if flag.startswith("-") else flags | {name}
    return flags


def _end_of_expression(text: str, begin: int) -> int:
    """Behind the bracket that ends an expression; one in parentheses or quotes is part of it."""
    depth, quote = 0, ""
    for index in range(begin, len(text)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "]" and depth <= 0:
            return index + 1
        else:
            depth += (character == "(") - (character == ")")
    raise FormatError(f"log-format: found the end of the format, expected ] for %[ at column {begin - 1}")


def _expression(expression: str, name: str | None) -> Field:
    """By its own name, if it has one, else by all of it."""
    called = name or expression
    if alias := _SAMPLES.get(expression.strip()):
        return Field(called, *_FIELDS[alias])
    if header := _HEADER.match(expression.strip()):
        return Field(called, *_HEADERS.get(header[1].lower(), (Kind.TEXT, None)))
    return Field(called, Kind.TEXT)


def _field(alias: str, name: str | None, flags: frozenset[str], item: str, at: int) -> Field:
    if alias == "Ts" and "X" in flags:
        raise FormatError(
            f"log-format: found {item} at column {at + 1} in hexadecimals, expected it without +X"
        )
    if alias in _FIELDS:
        return Field(name or alias, *_FIELDS[alias])
    if alias in _WORDS.split():
        return Field(name or alias, Kind.WORD)
    raise _unknown(item, at)


def _quoted(field: Field, *, is_string: bool, flags: frozenset[str]) -> list[Part]:
    if "Q" not in flags or not is_string:
        return [field]
    if "E" in flags:
        field = replace(field, kind=Kind.QUOTED)
    return [Literal('"'), field, Literal('"')]


def _spaced(parts: Sequence[Part]) -> list[Part]:
    """Spaces that follow each other are one, as items that write nothing leave no space of their own."""
    spaced: list[Part] = []
    is_behind_space = True
    joined = literals(parts)
    for index, part in enumerate(joined):
        if isinstance(part, Literal):
            text = re.sub(r"[ \t]+", " ", part.text)
            text = text.removeprefix(" ") if is_behind_space else text
            is_behind_space = text.endswith(" ") if text else is_behind_space
            spaced.append(Literal(text))
            continue
        following = joined[index + 1] if index + 1 < len(joined) else None
        is_before_space = isinstance(following, Literal) and following.text.startswith((" ", "\t"))
        is_behind_space &= part.kind is Kind.BRACES
        spaced.append(replace(part, unit=" ") if is_behind_space and is_before_space else part)
    return _lists_at_end(literals(spaced))


def _lists_at_end(parts: list[Part]) -> list[Part]:
    """Lists of headers that end a line as one: they have any number of words, or none."""
    match parts[-3:]:
        case [Field(name="hrl") as requests, Literal(text=" "), Field(name="hsl")]:
            return [*parts[:-3], replace(requests, kind=Kind.REST)]
        case [*_, Field(name="hrl" | "hsl") as last]:
            return [*parts[:-1], replace(last, kind=Kind.REST)]
    return parts


def _epoch(parts: Sequence[Part]) -> list[Part]:
    """Seconds since 1970 and the milliseconds behind them as one field."""
    for index, part in enumerate(parts):
        match parts[index : index + 3]:
            case [Field(name="Ts"), Literal(text="."), Field(name="ms")]:
                return [*parts[:index], part, *parts[index + 3 :]]
            case [Field(name="Ts") as seconds, Field(name="ms"), *_]:
                return [*parts[:index], replace(seconds, unit="ms"), *parts[index + 2 :]]
    return list(parts)


def _may_have_quotes(field: Field) -> bool:
    """Whether a field is what clients write as they please, and HAProxy as it is: samples of two headers."""
    return field.role is Role.AGENT or "(referer)" in field.name.lower()


def _unknown(found: str, at: int) -> FormatError:
    names = sorted([*_FIELDS, *_WORDS.split(), "o"])
    said = unknown(found, found.strip("%"), at + 1, names, form="%{}")
    return FormatError(f"log-format: {said}, a sample expression as %[req.hdr(host)], and %% for %")
