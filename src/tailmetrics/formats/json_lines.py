"""The format `json`: one object a line, and a map that tells which key holds which column."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats.fields import PROBLEM, RAW_SCHEMA
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import Extract, TextFormat
from tailmetrics.settings import FormatOptions

NAME: Final = "json"
_SETTING = "LOG_JSON_FIELDS"
_COLUMNS = tuple(name for name in RAW_SCHEMA if name != PROBLEM)
_OPTIONAL = "duration"
_OBJECT = r"\A[ \t]*\{"
_IS_OBJECT = "is_object"
_FEW_LINES = 64
_SURROGATE = r"\\u[dD][89a-fA-F]"
# Escapes one after the other: a whole pair, else (as the group) half of one, else any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def extract_by(field_map: str) -> Extract:
    """Fields by a map as in LOG_JSON_FIELDS. Raises FormatError when it is no such map."""
    reader = _Reader(_keys(field_map), field_map)

    def extract(text: pl.Series) -> pl.DataFrame:
        whole, halves = _without_halves(text)
        looks_right = whole.str.contains(_OBJECT)
        found = _spread(reader.rows(whole.filter(looks_right)), looks_right)
        no_object = ~pl.col(_IS_OBJECT).fill_null(value=False)
        has_half = pl.any_horizontal(pl.col(_COLUMNS).str.contains("\0", literal=True))
        return found.select(
            *_COLUMNS,
            pl.when(no_object)
            .then(found_instead("line", pl.lit(text), "a JSON object"))
            .when(has_half)
            .then(
                pl.format(
                    "line: found {}, which is half of a surrogate pair, expected whole characters",
                    pl.lit(halves),
                )
            )
            .alias(PROBLEM),
        )

    return extract


def _without_halves(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The lines with a NUL for each escape that is half of a surrogate pair, and the first such of each line.

    Polars reads some of these as a NUL, some together with what follows as another character, and refuses the
    line for others.
    """
    places = text.str.contains(_SURROGATE).arg_true()
    halves = pl.repeat(None, len(text), dtype=pl.String(), eager=True)
    if places.is_empty():
        return text, halves
    lines = text.gather(places).to_list()
    whole = [_ESCAPE.sub(lambda escape: r"\u0000" if escape[1] else escape[0], line) for line in lines]
    firsts = [next((escape[0] for escape in _ESCAPE.finditer(line) if escape[1]), None) for line in lines]
    return text.clone().scatter(places, whole), halves.scatter(places, pl.Series(firsts, dtype=pl.String()))


class _Reader:
    """Reads lines that begin like objects: a row for each, with the columns as text and `is_object`."""

    def __init__(self, keys: dict[str, list[str]], field_map: str) -> None:
        self._schema = _schema(keys, field_map)
        self._values = [
            _value(keys[name]).alias(name) if name in keys else pl.lit(None, pl.String()).alias(name)
            for name in _COLUMNS
        ]

    def rows(self, text: pl.Series) -> pl.DataFrame:
        """Polars reads all lines or none, so what it refuses is halved until the bad lines are alone."""
        found = self._read(text)
        if found is not None:
            return found.select(*self._values, pl.lit(value=True).alias(_IS_OBJECT))
        if len(text) == 1:
            return pl.DataFrame({name: [None] for name in _COLUMNS} | {_IS_OBJECT: [False]}, _ROW_SCHEMA)
        if len(text) <= _FEW_LINES:
            may_be_json = pl.Series([_may_be_json(line) for line in text], dtype=pl.Boolean())
            if not may_be_json.all():
                return _spread(self.rows(text.filter(may_be_json)), may_be_json)
        half = len(text) // 2
        return pl.concat([self.rows(text[:half]), self.rows(text[half:])])

    def _read(self, text: pl.Series) -> pl.DataFrame | None:
        if text.is_empty():
            return pl.DataFrame(schema=self._schema)
        lines = text.str.join("\n").item().encode()
        try:
            # Even so what is no JSON raises; only a value of an unexpected type is null instead.
            found = pl.read_ndjson(lines, schema=self._schema, ignore_errors=True)
        except (pl.exceptions.PolarsError, OSError):  # the latter of what begins like a compressed file
            return None
        return found if found.height == len(text) else None


_ROW_SCHEMA = {name: pl.String() for name in _COLUMNS} | {_IS_OBJECT: pl.Boolean()}


def _spread(rows: pl.DataFrame, chosen: pl.Series) -> pl.DataFrame:
    """The rows at the lines that are chosen, in order, and nulls at the others."""
    row = pl.select(pl.when(chosen).then(chosen.cum_sum().cast(pl.Int64) - 1)).to_series()
    return rows.select(pl.all().gather(row))


def _may_be_json(line: str) -> bool:
    try:
        json.loads(line, parse_int=str, parse_float=str)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _keys(field_map: str) -> dict[str, list[str]]:
    """Column to the keys that lead to its value, from the outermost on."""
    keys: dict[str, list[str]] = {}
    for entry in field_map.split(","):
        column, separator, path = (part.strip() for part in entry.partition("="))
        if not separator or column not in _COLUMNS or column in keys or not all(path.split(".")):
            raise FormatError(
                f"{_SETTING}: found {entry.strip()!r}, expected column=key, each column once, columns are "
                f"{', '.join(_COLUMNS)}"
            )
        keys[column] = path.split(".")
    missing = [name for name in _COLUMNS if name not in keys and name != _OPTIONAL]
    if missing:
        raise FormatError(f"{_SETTING}: found {field_map!r}, expected a key for {', '.join(missing)} too")
    return keys


def _schema(keys: dict[str, list[str]], field_map: str) -> dict[str, pl.DataType]:
    """What Polars reads of each object: nested structs whose leaves are text."""
    tree: dict[str, Any] = {}
    for path in keys.values():
        inner = tree
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
            if inner is None:
                break
        else:
            if inner.setdefault(path[-1]) is None:
                continue
        raise FormatError(
            f"{_SETTING}: found {field_map!r}, expected {path[0]!r} to hold either a value or an object"
        )
    return {key: _type(inner) for key, inner in tree.items()}


def _type(tree: dict[str, Any] | None) -> pl.DataType:
    if tree is None:
        return pl.String()
    return pl.Struct({key: _type(inner) for key, inner in tree.items()})


def _value(path: list[str]) -> pl.Expr:
    value = pl.col(path[0])
    for key in path[1:]:
        value = value.struct.field(key)
    return value


def _open(options: FormatOptions) -> TextFormat:
    return TextFormat(extract_by(options.json_fields), Rules(options), options.max_line_bytes)


KIND: Final = Kind(
    name=NAME,
    title="a JSON object a line, whose keys LOG_JSON_FIELDS names",
    example='{"timestamp": "2024-10-01T00:00:01Z", "customer_id": "cust_40", "path": "/cart", '
    '"status_code": 200, "duration": 0.316}',
    claims=_may_be_json,
    open=_open,
)
