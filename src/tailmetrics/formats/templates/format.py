"""Lines that a template describes: the clean ones are read by their bytes, all others by the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailmetrics.formats.customers import is_told
from tailmetrics.formats.fields import RAW_SCHEMA
from tailmetrics.formats.lines import Lines
from tailmetrics.formats.paths import AGENT
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.templates.clean_records import CleanRecords
from tailmetrics.formats.templates.columns import CUSTOMER, extract_by
from tailmetrics.formats.templates.scan import Marks, marks_in, marks_of
from tailmetrics.formats.templates.template import Role, Template
from tailmetrics.formats.text import Extract, TextFormat, with_others
from tailmetrics.formats.timestamps import TimestampReader, by_strftime
from tailmetrics.records import ParsedLines, no_rejects
from tailmetrics.settings import FormatOptions

_LINES_TRIED: Final = 8


class TemplateFormat:
    """Reads lines by the first of several templates that fits one, and what is not clean by the rules.

    The templates are but faster: whatever they read, the rules read just so.
    """

    def __init__(
        self, extract: Extract, rules: Rules, templates: Sequence[Template], max_line_bytes: int
    ) -> None:
        self._rules = rules
        self._by_rules = TextFormat(extract, rules, max_line_bytes)
        # A customer who is told by the text of another field is left to the rules.
        is_plain = not any(
            name.startswith("/") or name in RAW_SCHEMA or is_told(name) for name in rules.customer
        )
        self._templates = [CleanRecords(each, rules, max_line_bytes) for each in templates if is_plain]

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> TemplateFormat:  # noqa: ARG002  # its lines tell everything
        return self

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self._parse(marks_of(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        return self._parse(marks_in(lines))

    def _parse(self, marks: Marks) -> ParsedLines:
        lines = marks.lines
        template = self._template_of(lines)
        if template is None:
            return self._by_rules.parse_lines(lines)
        records, clean = template.read(marks)
        excluded = 0
        if not self._rules.paths.are_as_logged:
            logged = records.height
            records = self._rules.of_paths(records).drop(AGENT, strict=False)
            excluded = logged - records.height
        if clean.all():
            return ParsedLines(records, no_rejects(), excluded)
        others = self._by_rules.parse_lines(lines.only(~clean))
        return with_others(records, others, excluded)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._by_rules.parse_too_long(data, offset)

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
    template: Template, options: FormatOptions, customer: tuple[str, ...] = CUSTOMER
) -> TemplateFormat:
    """The format of one template, as a server's own words describe it.

    `customer` are the fields that tell the customer by default; they are told by name or role. Raises
    FormatError when the template lacks a field that every record has, or has a time that tells no day.
    """
    timestamp, duration = template.first(Role.TIMESTAMP), template.first(Role.DURATION)
    reader = None
    if timestamp and "%" in timestamp.unit:
        expected = f"a real time as {timestamp.unit}"
        reader = TimestampReader(template.zone or options.zone, by_strftime(timestamp.unit), expected)
    rules = Rules(options, customer=customer, unit=duration.unit if duration else None, reader=reader)
    return TemplateFormat(extract_by(template, rules), rules, [template], options.max_line_bytes)
