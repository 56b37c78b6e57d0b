"""What the fields of a template are as texts, before the rules of a log are applied to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats.customers import is_told, named_by, without_port
from tailmetrics.formats.fields import PROBLEM, RAW_SCHEMA
from tailmetrics.formats.paths import asked_for
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.templates.template import Field, Kind, Role, Template
from tailmetrics.formats.text import Extract

CUSTOMER: Final = ("user", "address")
PATHS = (Role.REQUEST, Role.TARGET, Role.PATH)
# Hypercorn writes the version alone.
_REQUEST = r"\A[^ \\]+ +([^ ].*?) +(?:HTTP/[0-9.]+|1\.[01]|[23])(?:\\[nr]| )*\z"
_OLD_REQUEST = r"\A[^ \\]+ +((?:/|[a-z]+://).*?)(?:\\[nr]| )*\z"  # of HTTP/0.9, which said no version
_USUAL_REQUEST = r"\A[^ \\]+ ([^ \\]+) HTTP/[0-9.]+\z"


def extract_by(template: Template, rules: Rules) -> Extract:
    """The fields by the template that the rules need.

    Raises FormatError when a field is missing that every record has.
    """
    path = template.first(*PATHS)
    timestamp, status = template.first(Role.TIMESTAMP), template.first(Role.STATUS)
    duration = template.first(Role.DURATION)
    told = {name: template.find(name) for name in rules.fields if name not in RAW_SCHEMA}
    has_customer = any(
        name.startswith("/") or is_told(name) or template.find(name) for name in rules.customer
    )
    needed = {"time": timestamp, "customer": has_customer, "request": path, "status": status}
    if not timestamp or not path or not status or not has_customer:
        missing = [name for name, found in needed.items() if not found]
        raise FormatError(
            f"found a log format without {' and '.join(missing)}, expected variables that tell the time, "
            f"the request, the status and the customer ({', '.join(rules.customer)})"
        )
    fields = [timestamp, path, status, *(field for each in told.values() for field in each)]
    asked = [template.first(role) for role in (Role.METHOD, Role.PROTOCOL)]
    asked = asked if asked[-1] else []  # without a protocol nobody can tell a connection
    fields += [field for field in asked if field]
    wanted = list(dict.fromkeys(field.name for field in (*fields, *([duration] if duration else []))))

    def extract(text: pl.Series) -> pl.DataFrame:
        found = template.extract(text, wanted)
        fits = found[timestamp.name].is_not_null()
        problems = [None if fit else template.failure(line) for fit, line in zip(fits, text, strict=True)]
        is_request = [pl.col(field.name) != "-" for field in (path, *asked) if field]
        no_request = found_instead("line", pl.lit(text), "an HTTP request, not a TCP connection")
        raw = found.with_columns(
            without_port(found[field.name]).alias(field.name)
            for each in told.values()
            for field in each
            if field.role is Role.HOST
        ).select(
            epoch_seconds(pl.col(timestamp.name), timestamp.unit).alias("timestamp"),
            target_of(found[path.name], path.role).alias("path"),
            pl.col(status.name).alias("status_code"),
            _duration(duration).alias("duration"),
            pl.coalesce(
                pl.Series(PROBLEM, problems, pl.String()),
                *([pl.when(~pl.any_horizontal(is_request)).then(no_request)] if asked else []),
            ).alias(PROBLEM),
            *(_first_told(choices).alias(name) for name, choices in told.items() if choices),
        )
        return all_unescaped(raw, told) if template.escapes else raw

    return extract


def _first_told(fields: Sequence[Field]) -> pl.Expr:
    """The first that is there; of a list, as X-Forwarded-For is one, its first."""
    texts = [bare_name(pl.col(field.name)) if field.is_name else pl.col(field.name) for field in fields]
    return pl.coalesce(
        [named_by(text, is_list=field.has_addresses) for text, field in zip(texts, fields, strict=True)]
    )


def bare_name(text: pl.Expr) -> pl.Expr:
    """Who asks, without quotes around him, as Twisted writes them, or a `<6>` before, as syslog has it."""
    return text.str.replace(r"\A<[0-9]{1,3}>", "").str.replace(r'\A"(.+)"\z', "$1")


def target_of(text: pl.Series, role: Role | None) -> pl.Series:
    """The target with its query, without a host; of what is no HTTP request all that was logged, or `-`."""
    if role is Role.REQUEST:
        text = or_else(text.str.extract(_USUAL_REQUEST), text, _odd_target)
    return asked_for(text)


def _odd_target(text: pl.Series) -> pl.Series:
    return pl.select(
        pl.coalesce(text.str.extract(_REQUEST), text.str.extract(_OLD_REQUEST), text)
    ).to_series()


def or_else(found: pl.Series, text: pl.Series, find: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What was found; where nothing was, what `find` makes of the texts there."""
    places = (found.is_null() & text.is_not_null()).arg_true()
    return found.scatter(places, find(text.gather(places))) if len(places) else found


def _duration(field: Field | None) -> pl.Expr:
    if field is None:
        return pl.lit(None, pl.String())
    text = pl.col(field.name)
    if field.kind is Kind.SIGNED:
        return text.str.strip_prefix("+")
    return text if field.kind is Kind.WORD else _sum(text)


def _sum(text: pl.Expr) -> pl.Expr:
    """Of the times of several servers, one after the other, their sum; null when none of them is known."""
    many = text.str.contains(r"[,:]")
    values = text.str.extract_all(r"[0-9]+\.?[0-9]*").list.eval(pl.element().cast(pl.Float64))
    total = pl.when(values.list.len() > 0).then(values.list.sum().round(9).cast(pl.String))
    return pl.when(many).then(total).otherwise(text)


def epoch_seconds(text: pl.Expr, unit: str) -> pl.Expr:
    """Milli- or microseconds since 1970 as seconds with a fraction; any other text as it is."""
    digits = {"ms": 3, "us": 6}.get(unit)
    return text.str.replace(rf"\A([0-9]+)([0-9]{{{digits}}})\z", "$1.$2") if digits else text


def all_unescaped(raw: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """The path and these fields as they were before the server escaped them."""
    return raw.with_columns(unescaped(raw[name]) for name in ("path", *names) if name in raw.columns)


def unescaped(text: pl.Series) -> pl.Series:
    """The texts as they were before the server wrote quotes, backslashes and bytes over 127 as \\xNN."""
    escaped = text.filter(text.str.contains("\\", literal=True)).unique()
    if escaped.is_empty():
        return text
    return text.replace(escaped, pl.Series([_unescape(value) for value in escaped], dtype=pl.String()))


def _unescape(text: str) -> str:
    """Control characters stay escaped, and so does all of a path or a query whose bytes are not UTF-8."""
    return "?".join(_unescape_part(part) for part in text.split("?", 1))


def _unescape_part(text: str) -> str:
    raw = re.sub(rb'\\(?:x([0-9A-Fa-f]{2})|(["\\]))', _byte, text.encode())
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return text


def _byte(escape: re.Match[bytes]) -> bytes:
    if escape[2]:
        return escape[2]
    byte = bytes.fromhex(escape[1].decode())
    return byte if byte in b'"\\' or byte > b"\x7f" else escape[0]
