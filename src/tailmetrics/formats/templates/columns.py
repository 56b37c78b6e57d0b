"""What the fields of a template are as columns of a record, by their rules: text to text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats.fields import PROBLEM
from tailmetrics.formats.templates.template import Field, Kind, Role, Template
from tailmetrics.formats.text import Extract

CUSTOMERS: Final = ("user", "address")
MISSING: Final = ("", "-")  # what servers write where there is nothing
UNITS: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "µs": 1e6, "ns": 1e9}
PATHS = (Role.REQUEST, Role.TARGET, Role.PATH)
_REQUEST = r"\A[^ \\]+ +(.*?) +HTTP/[0-9.]+(?:\\[nr]| )*\z"
_OLD_REQUEST = r"\A[^ \\]+ +((?:/|[a-z]+://).*?)(?:\\[nr]| )*\z"  # of HTTP/0.9, which said no version
_USUAL_REQUEST = r"\A[^ \\]+ ([^ ?\\]+)(?:\?[^ \\]*)? HTTP/[0-9.]+\z"
_NUMBER = r"\A((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
_NEEDS_UNIT = "a whole number of an unknown unit, expected LOG_DURATION_UNIT (us for Apache's %D)"


def customer_fields(template: Template, customer: Sequence[str]) -> list[Field]:
    """The fields that may tell the customer, those that tell first before the others."""
    return [field for name in customer for field in template.find(name)]


def extract_by(template: Template, customer: Sequence[str], *, keep_query: bool = False) -> Extract:
    """Fields by the template, the customer by the first of the names (of fields or roles) that tells one.

    Raises FormatError when a field is missing that every record has.
    """
    customers, path = customer_fields(template, customer), template.first(*PATHS)
    timestamp, status = template.first(Role.TIMESTAMP), template.first(Role.STATUS)
    duration = template.first(Role.DURATION)
    needed = {"time": timestamp, "customer": customers, "request": path, "status": status}
    missing = [name for name, found in needed.items() if not found]
    if not timestamp or not path or not status or not customers:
        raise FormatError(
            f"found a log format without {' and '.join(missing)}, expected variables that tell the time, "
            f"the request, the status and the customer ({', '.join(customer)})"
        )
    fields = [timestamp, path, status, *customers, *([duration] if duration else [])]
    wanted = list(dict.fromkeys(field.name for field in fields))

    def extract(text: pl.Series) -> pl.DataFrame:
        found = template.extract(text, wanted)
        fits = found[timestamp.name].is_not_null()
        problems = [None if fit else template.failure(line) for fit, line in zip(fits, text, strict=True)]
        seconds, unknown = duration_columns(pl.col(duration.name) if duration else None, duration)
        raw = found.with_columns(pl.Series(PROBLEM, problems, pl.String())).select(
            epoch_seconds(pl.col(timestamp.name), timestamp.unit).alias("timestamp"),
            customer_id(customers).alias("customer_id"),
            path_of(found[path.name], path.role, keep_query=keep_query).alias("path"),
            pl.col(status.name).alias("status_code"),
            seconds.alias("duration"),
            pl.coalesce(PROBLEM, unknown).alias(PROBLEM),
        )
        return raw.with_columns(unescaped(raw["customer_id"]), unescaped(raw["path"]))

    return extract


def customer_id(fields: Sequence[Field]) -> pl.Expr:
    """The first that is there; of a list, as X-Forwarded-For is one, its first."""
    texts = []
    for field in fields:
        text = pl.col(field.name)
        if field.role is Role.ADDRESS and field.kind is not Kind.WORD:
            text = text.str.extract(r"\A([^,]*)")
        texts.append(pl.when(~text.is_in(MISSING)).then(text))
    return pl.coalesce(texts)


def path_of(text: pl.Series, role: Role | None, *, keep_query: bool = False) -> pl.Series:
    """The path without its query; of what is no HTTP request it is all that was logged, or `-`."""
    if role is Role.REQUEST and not keep_query:
        return or_else(text.str.extract(_USUAL_REQUEST), text, _odd_path)
    return _odd_path(text, role, keep_query=keep_query)


def _odd_path(text: pl.Series, role: Role | None = Role.REQUEST, *, keep_query: bool = False) -> pl.Series:
    target = text
    if role is Role.REQUEST:
        found = text.str.extract(_REQUEST), text.str.extract(_OLD_REQUEST)
        target = pl.select(pl.coalesce(*found, text)).to_series()
    path = target if keep_query or role is Role.PATH else target.str.replace(r"\?.*\z", "")
    return pl.select(pl.coalesce(path.replace("", None), text.replace("", "-"))).to_series()


def or_else(found: pl.Series, text: pl.Series, find: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What was found; where nothing was, what `find` makes of the texts there."""
    places = (found.is_null() & text.is_not_null()).arg_true()
    return found.scatter(places, find(text.gather(places))) if len(places) else found


def duration_columns(text: pl.Expr | None, field: Field | None) -> tuple[pl.Expr, pl.Expr]:
    """Seconds as text, null where there are none, and the problem of those whose unit nobody can know."""
    if text is None or field is None:
        return pl.lit(None, pl.String()), pl.lit(None, pl.String())
    given: pl.Expr = pl.when(~text.is_in(MISSING)).then(text)
    if field.kind is not Kind.WORD:
        given = _sum(given)
    return seconds(given, field.unit or "s"), unknown_unit(given) if not field.unit else pl.lit(None)


def seconds(text: pl.Expr, unit: str) -> pl.Expr:
    """A number in the unit behind it, or else in `unit`, as text in seconds; any other text as it is."""
    number = pl.coalesce(text.str.extract(_NUMBER + r" ?(?:s|ms|us|µs|ns)\z"), text)
    own = text.str.extract(_NUMBER + r" ?(s|ms|us|µs|ns)\z", 2).fill_null(unit)
    scale = own.replace_strict(UNITS, default=1.0, return_dtype=pl.Float64)
    value = pl.when(number.str.contains(_NUMBER + r"\z")).then(number.cast(pl.Float64, strict=False) / scale)
    return pl.when((scale != 1) & value.is_not_null()).then(value.cast(pl.String)).otherwise(number)


def unknown_unit(text: pl.Expr) -> pl.Expr:
    """The reason of those that are whole numbers; null for others."""
    problem = pl.format(f"duration: found '{{}}', {_NEEDS_UNIT}", text)
    return pl.when(text.str.contains(r"\A[0-9]+\z")).then(problem)


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


def unescaped(text: pl.Series) -> pl.Series:
    """The texts as they were before the server wrote quotes, backslashes and bytes over 127 as \\xNN."""
    escaped = text.filter(text.str.contains("\\", literal=True)).unique()
    if escaped.is_empty():
        return text
    return text.replace(escaped, pl.Series([_unescape(value) for value in escaped], dtype=pl.String()))


def _unescape(text: str) -> str:
    """Control characters stay escaped, and so does everything when the bytes are not UTF-8."""
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
