"""How the first lines of a log are read, of which nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from tailmetrics.formats import open_format
from tailmetrics.formats.customers import is_told
from tailmetrics.formats.detection import HEAD_BYTES, decided, lines_in, of_whole, suggestions
from tailmetrics.formats.framing import framing_of
from tailmetrics.formats.json import kinds as json
from tailmetrics.formats.logfmt import reading as logfmt
from tailmetrics.formats.units import IMPROBABLE_SECONDS
from tailmetrics.records import ParsedLines
from tailmetrics.settings import FormatOptions
from tailmetrics.settings.names import AUTO

_MOST_LOOKED_AT = 100  # lines, for durations that are lost
_MAPPED = (json.NAME, logfmt.NAME)  # formats that LOG_JSON_FIELDS is of


@dataclass(frozen=True, slots=True)
class Trial:
    """What the lines of `head`, the beginning of a log, are in a format."""

    log_format: FormatOptions
    path: str
    written_ns: int
    head: bytes
    parsed: ParsedLines

    @property
    def is_mostly_rejects(self) -> bool:
        return self.parsed.rejects.height > self.parsed.records.height

    @property
    def improbable_median(self) -> float | None:
        """The median of the durations in seconds, when it is so long that their unit is probably another."""
        median = self.parsed.records["duration"].median()
        return median if isinstance(median, float) and median > IMPROBABLE_SECONDS else None

    @property
    def settings_of_durations(self) -> tuple[str, ...]:
        """Settings that read durations of objects or pairs that are under a key which is not looked at."""
        name = self.log_format.name
        if self.log_format.json_fields or self.parsed.records["duration"].drop_nulls().len():
            return ()
        lines = islice(lines_in(self.head, is_whole=True), _MOST_LOOKED_AT)
        lost = [
            line
            for line in lines
            if (name, "duration") in json.lacking(line)
            or (name == logfmt.NAME and logfmt.loses_duration(line))
        ]
        settings = suggestions(lost[:1]) if lost else ()
        return (f"LOG_FORMAT={json.NAME}", *settings) if settings and name not in _MAPPED else settings

    @property
    def silent_customers(self) -> tuple[str, ...]:
        """Fields of LOG_CUSTOMER that say of no line who the customer is, while others do."""
        names = self.log_format.customer if self.parsed.records.height else ()
        return tuple(name for name in names if not is_told(name) and not self._tells(name))

    @property
    def likely_name(self) -> str | None:
        """Another format that the lines have, None when they do not tell."""
        found = of_whole(self.head, replace(self.log_format, name=AUTO)).name
        return None if found in {AUTO, self.log_format.name} else found

    def _tells(self, customer: str) -> bool:
        read = open_format(replace(self.log_format, customer=(customer,))).of_source(
            self.path, self.written_ns
        )
        return not read.parse(self.head, 0).records.is_empty()

    def line_number(self, offset: int) -> int:
        """The number of the line that begins at a byte of the log; the first one is 1."""
        return self.head.count(b"\n", 0, offset) + 1


def tried(
    head: bytes, options: FormatOptions, path: str, written_ns: int, *, is_finished: bool
) -> Trial | None:
    """The first HEAD_BYTES of a log, or all of a shorter one, as they are read; None when no line is whole.

    The last line of a log that is finished need not have its end. Raises UndecidedFormat, or FormatError when
    the options cannot be used.
    """
    is_all = is_finished and len(head) < HEAD_BYTES
    log_format = decided(head, options, is_whole=is_all)
    if log_format is None or log_format.name == AUTO or not head:
        return None
    whole = framing_of(log_format.name).whole(head) or (len(head) if is_all else 0)
    if not whole:
        return None
    read = open_format(log_format).of_source(path, written_ns)
    return Trial(log_format, path, written_ns, head[:whole], read.parse(head[:whole], 0))
