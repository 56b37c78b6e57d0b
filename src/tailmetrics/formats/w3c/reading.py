"""The formats `w3c`, `iis` and `cloudfront`: lines whose columns the last `#Fields` line before them names.

W3C's extended log format is the working draft WD-logfile-960323: directives begin with #, times are GMT,
`time-taken` is in seconds, a value with spaces is in quotes, and `-` is a value that is not there. IIS writes
it with single spaces, plus signs for spaces, and milliseconds (Microsoft, "W3C Logging"), and a new header
whenever it starts. CloudFront writes it with tabs, URL escapes and seconds (AWS, "Standard logging
reference").
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from tailmetrics.formats import timestamps
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.lines import Integers, Lines, split
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import RuledFormat, too_long_line
from tailmetrics.formats.timestamps import UTC, TimestampReader
from tailmetrics.formats.w3c.columns import Columns
from tailmetrics.formats.w3c.directives import are_directives, directives, merged
from tailmetrics.formats.w3c.sections import (
    CLOUDFRONT,
    IIS,
    OF_IIS,
    PLAIN,
    PROXYSG,
    Dialect,
    Section,
    section_of,
)
from tailmetrics.records import ParsedLines
from tailmetrics.settings import FormatOptions

_READER: Final = TimestampReader(UTC, timestamps.plain, "a real date and time as YYYY-MM-DD HH:MM:SS")


class W3cFormat:
    """Reads lines by the header before them; directives count as blank lines.

    `dialect` is the one of all lines; None: each header tells its own. Raises FormatError when the options
    cannot be used.
    """

    def __init__(self, options: FormatOptions, dialect: Dialect | None) -> None:
        self._options = options
        self._dialect = dialect
        self._header = b""  # in force before the first line
        self._rules = {each: _rules(options, each) for each in (PLAIN, IIS, PROXYSG, CLOUDFRONT)}

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> W3cFormat:  # noqa: ARG002  # its lines tell them
        source = copy.copy(self)
        source._header = header
        return source

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self.parse_lines(split(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        is_directive = are_directives(lines, self._options.max_line_bytes)
        headers = [self._header]
        for line in directives(lines, is_directive):
            headers.append(merged(headers[-1], [line]))
        sections = [section_of(header, self._dialect) for header in headers]
        begins = np.concatenate(([-1], lines.offsets[is_directive]))
        if len(headers) > 1:
            lines = lines.only(~is_directive)
        which = _sections_at(begins, lines.offsets)
        parts = []
        for dialect in dict.fromkeys(section.dialect for section in sections):
            chosen = np.array([section.dialect == dialect for section in sections])[which]
            read = _Sectioned(dialect, sections, begins, self._rules[dialect], self._options)
            parts.append(read.parse_lines(lines if chosen.all() else lines.only(chosen)))
        return ParsedLines(
            records=pl.concat([part.records for part in parts]).sort("offset"),
            rejects=pl.concat([part.rejects for part in parts]).sort("offset"),
            blanks=sum(part.blanks for part in parts) + len(headers) - 1,
        )

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return too_long_line(data, offset, self._options.max_line_bytes)


class _Sectioned(RuledFormat):
    """Lines of one dialect; section i begins behind the line at the offset `begins[i]`."""

    def __init__(
        self,
        dialect: Dialect,
        sections: Sequence[Section],
        begins: Integers,
        rules: Rules,
        options: FormatOptions,
    ) -> None:
        super().__init__(rules, options.max_line_bytes)
        self._sections = sections
        self._begins = begins
        self._dialect = dialect
        self._others = rules.fields
        self._with_query = options.keep_query  # else it would be put there to be cut

    def fields_of(self, text: pl.Series, offsets: pl.Series) -> pl.DataFrame:
        which = _sections_at(self._begins, offsets.to_numpy())
        columns = Columns(self._dialect, self._sections, which)
        return columns.fields(text, self._others, with_query=self._with_query)


def _sections_at(begins: Integers, offsets: Integers) -> Integers:
    return np.searchsorted(begins, offsets, side="right") - 1


def _rules(options: FormatOptions, dialect: Dialect) -> Rules:
    return Rules(options, customer=dialect.customer, unit=dialect.unit, reader=_READER)


_IIS_FIELDS = rf".* (?:{'|'.join(OF_IIS)})\b"
_EDGE_FIELD = r".* x-edge-location\b"
_KNOWN_FIELD = r".* (?:time|date|c-ip|cs-method|cs-uri\S*|sc-status|time-taken)\b"
_OF_IIS = re.compile(
    rf"#Software: Microsoft Internet Information Ser|#Fields:(?!{_EDGE_FIELD})(?={_IIS_FIELDS})"
)
_OF_CLOUDFRONT = re.compile(rf"#Fields:(?={_EDGE_FIELD})")
_OF_OTHERS = re.compile(rf"#Fields:(?!{_EDGE_FIELD})(?!{_IIS_FIELDS})(?={_KNOWN_FIELD})")
_IIS_EXAMPLE: Final = """\
#Software: Microsoft Internet Information Services 10.0
#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status \
sc-substatus sc-win32-status time-taken
2024-01-13 00:32:17 10.0.0.1 GET /cart - 443 - 203.0.113.9 Mozilla/5.0+(X11) 200 0 0 242"""
_CLOUDFRONT_EXAMPLE: Final = """\
#Version: 1.0
#Fields: date time x-edge-location c-ip cs-method cs(Host) cs-uri-stem sc-status x-host-header time-taken
2024-12-04\t21:02:31\tLAX1\t203.0.113.9\tGET\td111.cloudfront.net\t/cart\t200\tshop.example\t0.242"""
_EXAMPLE: Final = """\
#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken
2024-01-13 00:32:17 203.0.113.9 GET /cart 200 0.242"""


def _kind(name: str, title: str, example: str, pattern: re.Pattern[str], dialect: Dialect | None) -> Kind:
    told = dialect or PLAIN
    return Kind(
        name=name,
        title=title,
        example=example,
        claims=lambda line: pattern.match(line) is not None,
        open=lambda options: W3cFormat(options, dialect),
        customer=told.customer,
        unit=told.unit,
        has_comments=True,
        has_header=True,
    )


IIS_KIND: Final = _kind("iis", "IIS, in W3C's extended format", _IIS_EXAMPLE, _OF_IIS, IIS)
CLOUDFRONT_KIND: Final = _kind(
    "cloudfront", "CloudFront's standard logs", _CLOUDFRONT_EXAMPLE, _OF_CLOUDFRONT, CLOUDFRONT
)
KIND: Final = _kind("w3c", "W3C's extended format, with a #Fields line", _EXAMPLE, _OF_OTHERS, None)
