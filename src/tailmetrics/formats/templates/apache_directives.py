"""Templates from Apache's own words, `LogFormat` and its directives.

The directives and what they hold are told on the page "Apache Module mod_log_config" of its documentation,
and %I, %O, %S and %^FB on that of mod_logio.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tailmetrics.errors import FormatError
from tailmetrics.formats.templates.parts import template_of, with_client
from tailmetrics.formats.templates.template import Field, Kind, Literal, Part, Role, Template

_FIELDS = {
    "a": (Kind.WORD, Role.ADDRESS, ""),
    "h": (Kind.WORD, Role.ADDRESS, ""),
    "u": (Kind.TEXT, Role.USER, ""),
    "v": (Kind.WORD, Role.HOST, ""),
    "V": (Kind.WORD, Role.HOST, ""),
    "r": (Kind.TEXT, Role.REQUEST, ""),
    "m": (Kind.WORD, Role.METHOD, ""),
    "U": (Kind.TEXT, Role.PATH, ""),
    "q": (Kind.WORD, Role.QUERY, ""),
    "s": (Kind.WORD, Role.STATUS, ""),
    "D": (Kind.WORD, Role.DURATION, "us"),
    "T": (Kind.WORD, Role.DURATION, "s"),
}
_WORDS = ("A", "B", "b", "H", "I", "k", "l", "L", "O", "p", "P", "R", "S", "X", "^FB")
_TEXTS = ("f",)
_WITH_NAME = ("C", "c", "e", "i", "n", "o", "x", "^ti", "^to")
_UNITS = ("s", "ms", "us")
_EPOCH = {"sec": "s", "msec": "ms", "usec": "us"}
_FRACTIONS = {"msec_frac": "%3f", "usec_frac": "%6f"}
_DIRECTIVE = re.compile(r"%(?:[<>]|!?\d+(?:,\d+)*)*(?:\{([^}]*)\})?[<>]?(\^\w\w|[A-Za-z%])")
_QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"(?:\s+[\w-]+)?\s*\Z')
_LOG_FORMAT = re.compile(r'\s*(?:LogFormat|CustomLog\s+\S+)\s+"((?:[^"\\]|\\.)*)"', re.IGNORECASE)


def from_apache(text: str) -> Template:
    """The template of a `LogFormat`, whole (`LogFormat "…" name`), its quoted text, or what is between these.

    Raises FormatError when a directive is unknown.
    """
    directive = _LOG_FORMAT.match(text) or _QUOTED.match(text)
    rest = re.sub(
        r'\\(["\\t])',
        lambda escape: "\t" if escape[1] == "t" else escape[1],
        directive[1] if directive else text,
    )
    parts: list[Part] = []
    at = 0
    while (percent := rest.find("%", at)) >= 0:
        parts.append(Literal(rest[at:percent]))
        found = _DIRECTIVE.match(rest, percent)
        if not found:
            raise _unknown(rest[percent : percent + 2], percent)
        parts += _parts(found[2], found[1], found[0], percent)
        at = found.end()
    parts.append(Literal(rest[at:]))
    return template_of(with_client(_one_time(parts)))


def _parts(letter: str, argument: str | None, directive: str, at: int) -> list[Part]:
    if letter == "%":
        return [Literal("%")]
    name = letter if argument is None else f"{{{argument}}}{letter}"
    if letter == "t":
        return _time(name, argument)
    if letter == "T" and argument in _UNITS:
        return [Field(name, Kind.WORD, Role.DURATION, argument)]
    if (letter in _FIELDS and letter != "T") or (letter == "T" and argument is None):
        return [Field(name, *_FIELDS[letter])]
    if letter in _WORDS:
        return [Field(name, Kind.WORD)]
    if name.lower() == "{x-forwarded-for}i":
        return [Field(name, Kind.LIST)]
    if name.lower() == "{user-agent}i":
        return [Field(name, Kind.TEXT, Role.AGENT)]
    if letter in _TEXTS or (letter in _WITH_NAME and argument):
        return [Field(name, Kind.TEXT)]
    raise _unknown(directive, at)


def _unknown(directive: str, at: int) -> FormatError:
    known = ", ".join(
        [f"%{letter}" for letter in ("%", "t", *_FIELDS, *_WORDS, *_TEXTS)]
        + [f"%{{NAME}}{letter}" for letter in _WITH_NAME]
        + ["%{FORMAT}t", *(f"%{{{unit}}}T" for unit in _UNITS)]
    )
    return FormatError(f"LogFormat: found {directive} at column {at + 1}, expected one of {known}")


def _time(name: str, argument: str | None) -> list[Part]:
    if argument is None:
        return [Literal("["), Field(name, Kind.TIME, Role.TIMESTAMP), Literal("]")]
    shape = re.sub(r"\A(?:begin|end):?", "", argument)
    if not shape:
        return [Literal("["), Field(name, Kind.TIME, Role.TIMESTAMP), Literal("]")]
    if shape in _EPOCH:
        return [Field(name, Kind.WORD, Role.TIMESTAMP, _EPOCH[shape])]
    return [Field(name, Kind.STRFTIME, Role.TIMESTAMP, _FRACTIONS.get(shape, shape))]


def _one_time(parts: Sequence[Part]) -> list[Part]:
    """Directives that tell a time in turn, with nothing but text between them, as one field."""
    places = [
        index for index, part in enumerate(parts) if isinstance(part, Field) and part.role is Role.TIMESTAMP
    ]
    if len(places) < 2:
        return list(parts)
    first = places[0]
    last = first
    for place in places[1:]:
        if all(isinstance(part, Literal) for part in parts[last + 1 : place]):
            last = place
    between = parts[first : last + 1]
    head = between[0]
    if not isinstance(head, Field) or head.kind is Kind.TIME or first == last:
        return list(parts)
    if head.unit == "s":  # a fraction follows
        return [*parts[:first], Field(head.name, Kind.WORD, Role.TIMESTAMP, "s"), *parts[last + 1 :]]
    shape = "".join(
        part.unit if isinstance(part, Field) else part.text.replace("%", "%%") for part in between
    )
    shape = re.sub(r"\.%[36]f", ".%f", shape)
    return [*parts[:first], Field(head.name, Kind.STRFTIME, Role.TIMESTAMP, shape), *parts[last + 1 :]]
