"""Lines that a template describes: the clean ones are read by their bytes, all others by the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from tailmetrics.formats.lines import Lines
from tailmetrics.formats.templates.clean_records import CleanRecords
from tailmetrics.formats.templates.columns import CUSTOMERS, extract_by
from tailmetrics.formats.templates.scan import marks_of
from tailmetrics.formats.templates.template import Role, Template
from tailmetrics.formats.text import TextFormat
from tailmetrics.formats.timestamps import TimestampReader, by_strftime, reader
from tailmetrics.records import ParsedLines, no_rejects

_LINES_TRIED: Final = 8


class TemplateFormat:
    """Reads lines by the first of several templates that fits one, and what is not clean by the rules.

    The templates are but faster: whatever they read, the rules read just so.
    """

    def __init__(self, rules: TextFormat, templates: Sequence[CleanRecords]) -> None:
        self._rules = rules
        self._templates = list(templates)

    def of_source(self, path: str, written_ns: int) -> TemplateFormat:  # noqa: ARG002  # its lines tell everything
        return self

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        marks = marks_of(data, offset)
        lines = marks.lines
        template = self._template_of(lines)
        if template is None:
            return self._rules.parse_lines(lines)
        records, clean = template.read(marks)
        if clean.all():
            return ParsedLines(records, no_rejects(), 0)
        others = self._rules.parse_lines(lines.only(~clean))
        both = pl.concat([records, others.records]).sort("offset") if others.records.height else records
        return ParsedLines(both, others.rejects, others.blanks)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._rules.parse_too_long(data, offset)

    def _template_of(self, lines: Lines) -> CleanRecords | None:
        """The first that fits one of the first lines; it is tried first from then on."""
        for begin, end in zip(
            lines.starts[:_LINES_TRIED].tolist(), lines.ends[:_LINES_TRIED].tolist(), strict=True
        ):
            line = lines.data[begin:end].decode("utf-8", "replace")
            for records in self._templates:
                if records.template.fits(line):
                    if records is not self._templates[0]:
                        self._templates = [
                            records,
                            *(each for each in self._templates if each is not records),
                        ]
                    return records
        return None


def template_format(
    template: Template,
    zone: str,
    max_line_bytes: int,
    *,
    customer: Sequence[str] = CUSTOMERS,
    keep_query: bool = False,
) -> TemplateFormat:
    """The format of one template, as a server's own words describe it.

    `customer` are names of fields or roles; the first that tells one in a line is the customer. Raises
    FormatError when the template lacks a field that every record has, or has a time that tells no day.
    """
    extract = extract_by(template, customer, keep_query=keep_query)
    timestamps = reader(zone, "")
    timestamp = template.first(Role.TIMESTAMP)
    if timestamp and "%" in timestamp.unit:
        expected = f"a real time as {timestamp.unit}"
        timestamps = TimestampReader(zone, by_strftime(timestamp.unit), expected)
    clean = CleanRecords(template, timestamps, max_line_bytes, customer=customer, keep_query=keep_query)
    return TemplateFormat(TextFormat(extract, timestamps, max_line_bytes), [clean])
