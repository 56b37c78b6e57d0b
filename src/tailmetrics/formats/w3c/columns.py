"""The fields of lines whose columns are named by the header of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote

import numpy as np
import polars as pl

from tailmetrics.formats.fields import MISSING, PROBLEM
from tailmetrics.formats.lines import Integers
from tailmetrics.formats.paths import AGENT, asked_for
from tailmetrics.formats.text import PASSED_OVER
from tailmetrics.formats.w3c.sections import Dialect, Section

# Columns that say the same, in order of preference.
_ALIASES: Final = {
    "user": ("cs-username",),
    "address": ("c-ip", "c-dns"),
    "host": ("x-host-header", "cs(host)", "cs-host"),
    AGENT: ("cs(user-agent)",),
    "path": ("cs-uri-stem", "cs-uri", "cs-uri-path"),
}
_WORD = r'"(?:[^"]|"")*"|[^ ]+'
# Escapes of what may stand in a field; a question mark that is decoded would end the path.
_URL_ESCAPES = re.compile(r"(?:%(?!3[Ff]|[01][0-9A-Fa-f]|7[Ff])[0-9A-Fa-f]{2})+")


class Columns:
    """Reads lines of some sections, all of one dialect; `which` is the section of each line."""

    def __init__(self, dialect: Dialect, sections: Sequence[Section], which: Integers) -> None:
        used, self._which = np.unique(which, return_inverse=True)
        self._dialect = dialect
        self._sections = [sections[place] for place in used]

    def fields(self, text: pl.Series, others: Iterable[str], *, with_query: bool) -> pl.DataFrame:
        """The columns that an Extract gives, those of `others` where the lines have them."""
        table = pl.DataFrame({"cells": _cells(text, self._dialect)})
        count = pl.col("cells").list.len()
        expected = self._of_line([section.count for section in self._sections], pl.UInt32())
        nameless = "line: found no #Fields line before it, expected one; LOG_FORMAT=regex reads lines without"
        mismatch = pl.format(
            "line: found {} fields, expected {} as the #Fields line before it names", count, expected
        )
        problem = pl.when(expected == 0).then(pl.lit(nameless)).when(count != expected).then(mismatch)
        names = dict.fromkeys(("path", *others))
        found = {name: self._field(name) for name in names}
        if with_query:
            query = self._cell("cs-uri-query").str.strip_prefix("?")  # which some servers write, others not
            has_query = ~query.is_in(MISSING)
            found["path"] = pl.when(has_query).then(found["path"] + "?" + query).otherwise(found["path"])
        duration = self._cell("time-taken")
        found |= {
            "timestamp": self._timestamp(),
            "status_code": self._cell("sc-status"),
            "duration": pl.when(~duration.is_in(MISSING)).then(duration),
            PROBLEM: problem,
            PASSED_OVER: self._is_connection(),
        }
        fields = table.select(**found).with_columns(**{name: self._unescaped(name) for name in names})
        return fields.with_columns(asked_for(fields["path"]))

    def _is_connection(self) -> pl.Expr:
        """Whether a line tells why http.sys closed a connection on which nothing was asked for."""
        if not self._has("s-reason"):
            return pl.lit(value=False)
        asked = [self._cell(name) for name in ("cs-method", "cs-uri", "sc-status")]
        return pl.all_horizontal(self._cell("s-reason").is_not_null(), *(cell == "-" for cell in asked))

    def _timestamp(self) -> pl.Expr:
        dates = self._of_line([section.date or None for section in self._sections], pl.String())
        return pl.coalesce(self._cell("date"), dates) + " " + self._cell("time")

    def _field(self, name: str) -> pl.Expr:
        names = (*_ALIASES.get(name, ()), name)
        cells = [self._cell(each) for each in names if self._has(each)]
        if len(cells) < 2:
            return cells[0] if cells else pl.lit(None, pl.String())
        return pl.coalesce(*(pl.when(~cell.is_in(MISSING)).then(cell) for cell in cells))

    def _has(self, name: str) -> bool:
        return any(section.place(name) is not None for section in self._sections)

    def _cell(self, name: str) -> pl.Expr:
        """The text of a column, null in sections without it."""
        place = self._of_line([section.place(name) for section in self._sections], pl.Int64())
        return pl.col("cells").list.get(place, null_on_oob=True)

    def _of_line(self, values: Sequence[int | str | None], kind: pl.DataType) -> pl.Expr:
        """A value of each section, for each line."""
        if len(set(values)) == 1:
            return pl.lit(values[0], kind)
        return pl.lit(pl.Series(values, dtype=kind).gather(self._which))

    def _unescaped(self, name: str) -> pl.Expr:
        if self._dialect.escapes == "url":
            return pl.col(name).map_batches(_url_decoded, return_dtype=pl.String())
        if self._dialect.escapes == "plus" and name == AGENT:
            return pl.col(name).str.replace_all("+", " ", literal=True)
        return pl.col(name) if self._dialect.separator else _unquoted(pl.col(name))


def _unquoted(text: pl.Expr) -> pl.Expr:
    inner = text.str.extract(r'(?s)\A"(.*)"\z', 1).str.replace_all('""', '"', literal=True)
    return pl.coalesce(inner, text)


def _cells(text: pl.Series, dialect: Dialect) -> pl.Series:
    if dialect.separator:
        return text.str.split(dialect.separator)
    text = text.str.strip_chars_end(" \t")
    tabbed = text.str.contains("\t", literal=True)
    spaced = text.str.contains('"|  |^ ') & ~tabbed
    if not tabbed.any() and not spaced.any():
        return text.str.split(" ")
    words = text.str.extract_all(_WORD)
    return pl.select(
        pl.when(tabbed).then(text.str.split("\t")).when(spaced).then(words).otherwise(text.str.split(" "))
    ).to_series()


def _url_decoded(text: pl.Series) -> pl.Series:
    escaped = text.filter(text.str.contains("%", literal=True)).unique()
    if escaped.is_empty():
        return text
    decoded = [_URL_ESCAPES.sub(_decoded, value) for value in escaped]
    return text.replace(escaped, pl.Series(decoded, dtype=pl.String()))


def _decoded(escapes: re.Match[str]) -> str:
    try:
        return unquote(escapes[0], errors="strict")
    except UnicodeDecodeError:
        return escapes[0]
