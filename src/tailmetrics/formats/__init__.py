"""Line formats: bytes of whole lines in, records and rejects out, vectorised."""

from __future__ import annotations

import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats import regex, requests, results, servers
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.fields import PROBLEM, RAW_SCHEMA
from tailmetrics.formats.hints import WithHints
from tailmetrics.formats.json import kinds as json_kinds
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.logfmt import reading as logfmt
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.templates import access_logs
from tailmetrics.formats.text import TextFormat
from tailmetrics.formats.w3c import reading as w3c
from tailmetrics.formats.wrappers import WRAPPERS
from tailmetrics.formats.wrappers.format import open_any, open_wrapped
from tailmetrics.settings import FormatOptions, LogPath
from tailmetrics.settings.names import AUTO, EXPECTED_FORMAT, inner_format

__all__ = [
    "KINDS",
    "Kind",
    "LineFormat",
    "has_header",
    "kind_of",
    "open_by_line",
    "open_entry",
    "open_format",
]

# In this order they are asked whose lines they are.
KINDS = {
    kind.name: kind
    for kind in (
        requests.KIND,
        *access_logs.KINDS,
        *servers.KINDS,
        *json_kinds.KINDS,
        w3c.IIS_KIND,
        w3c.CLOUDFRONT_KIND,
        w3c.KIND,
        logfmt.KIND,
        results.KIND,
        regex.KIND,
    )
}


def open_format(options: FormatOptions) -> LineFormat:
    """The format that the options name, as they describe it.

    That of `auto`, which is left where the lines do not tell, refuses each of them. Raises FormatError when
    there is no such format, or when its options cannot be used.
    """
    wrapper = options.name.partition(":")[0]
    if wrapper in WRAPPERS:
        read = open_wrapped(options, KINDS, open_format)
        return WithHints(read, list(KINDS.values()), wrapper=wrapper)
    kind = KINDS.get(options.name) or access_logs.template_kind(options.name)
    if options.name == AUTO:
        return TextFormat(_nothing, Rules(options), options.max_line_bytes)
    if kind is None:
        raise FormatError(f"LOG_FORMAT: found {options.name!r}, expected {EXPECTED_FORMAT}")
    return WithHints(kind.open(options), list(KINDS.values()), kind)


def open_by_line(options: FormatOptions) -> LineFormat:
    """The same where lines of several programs may come in turn: in `auto` each line tells its format."""
    return open_any(options, KINDS, open_format) if options.name == AUTO else open_format(options)


def has_header(name: str) -> bool:
    """Whether logs of a format have lines that say how those behind them are read."""
    return name in KINDS and KINDS[name].has_header


def open_entry(entry: LogPath) -> LineFormat:
    """The format of an entry. Raises FormatError, which says which table of LOG_SOURCES is wrong."""
    try:
        return open_format(entry.log_format)
    except FormatError as error:
        if entry.table is None:
            raise
        raise FormatError(f"{entry.given_by}: {error}") from None


def kind_of(name: str) -> Kind | None:
    """The kind that a name is about: of what is wrapped that of what is inside."""
    inner = inner_format(name)
    return KINDS.get(inner) or access_logs.template_kind(inner)


def _nothing(text: pl.Series) -> pl.DataFrame:
    columns = {name: pl.lit(None, pl.String()) for name in RAW_SCHEMA if name != PROBLEM}
    problem = found_instead("line", pl.lit(text), "a line of a known format; name it with LOG_FORMAT")
    return text.to_frame("line").select(**columns, problem=problem)
