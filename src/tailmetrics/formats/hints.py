"""What reads a line that the format of its log does not: told with the reason why it is a reject."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.lines import Lines
from tailmetrics.formats.wrappers import unwrapped, wrapper_of
from tailmetrics.records import ParsedLines

# Reasons that are about the shape of a line, and no limit of any format.
_OF_SHAPE = r"\A(?:line: found (?:'|[0-9]+ fields|no #Fields)|(?:timestamp|path|status_code): found nothing)"
_HINT = "; it is of the format "


class WithHints:
    """A format whose rejects name the format that would read them.

    `own` is the kind of the log, or `wrapper` the name of what its lines are wrapped in.
    """

    def __init__(
        self, inner: LineFormat, kinds: Sequence[Kind], own: Kind | None = None, wrapper: str = ""
    ) -> None:
        self._inner = inner
        self._kinds = kinds
        self._own = own
        self._wrapper = wrapper
        others = [kind for kind in kinds if kind is not own]
        # A damaged line costs as much as many right ones, so only who may know it is asked.
        self._of_objects = [kind for kind in others if kind.is_object]
        self._of_text = [kind for kind in others if not kind.is_object]

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> WithHints:
        inner = self._inner.of_source(path, written_ns, header)
        return self if inner is self._inner else WithHints(inner, self._kinds, self._own, self._wrapper)

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self._hinted(self._inner.parse(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        return self._hinted(self._inner.parse_lines(lines))

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._inner.parse_too_long(data, offset)

    def _hinted(self, parsed: ParsedLines) -> ParsedLines:
        rejects = parsed.rejects
        if rejects.is_empty():
            return parsed
        reason = rejects["reason"]
        # What is inside of a wrapper may have its hint already.
        strange = (reason.str.contains(_OF_SHAPE) & ~reason.str.contains(_HINT, literal=True)).arg_true()
        if strange.is_empty():
            return parsed
        hints = pl.Series([self._hint(line) for line in rejects["line"].gather(strange)], dtype=pl.String())
        reasons = reason.clone().scatter(strange, reason.gather(strange) + hints)
        return ParsedLines(parsed.records, rejects.with_columns(reasons), parsed.blanks)

    def _hint(self, line: str) -> str:
        others = self._of_objects if line.lstrip().startswith("{") else self._of_text
        for place, kind in enumerate(others):
            if kind.claims(line):
                others.insert(0, others.pop(place))  # which likely reads the next one too
                return f"{_HINT}{kind.name}"
        wrapper = wrapper_of(line)
        if wrapper is None or wrapper == self._wrapper:
            return ""
        inside = unwrapped(line)
        return f"{_HINT}{wrapper}" if any(kind.claims(inside) for kind in self._kinds) else ""
