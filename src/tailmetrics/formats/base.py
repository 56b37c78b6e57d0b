"""What every line format can do."""

from __future__ import annotations

from typing import Protocol

from tailmetrics.formats.lines import Lines
from tailmetrics.records import ParsedLines


class LineFormat(Protocol):
    """Makes records and rejects of lines. It never raises because of what the bytes are."""

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> LineFormat:
        """The format as it reads one source: what its lines do not tell, the name and time of the log may.

        `written_ns` is when the source was written to last, in nanoseconds since 1970. `header` are the
        directives in force before the lines, as of formats.w3c.directives; empty for formats without.
        """
        ...

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        """Read whole lines, or blocks where framing_of(name) says so; `data` begins at byte `offset`.

        Lines end with LF or CRLF; the last one may lack its end. A UTF-8 byte order mark at offset 0 is no
        part of the first line, which begins at 0 all the same.
        """
        ...

    def parse_lines(self, lines: Lines) -> ParsedLines:
        """Read whole lines, or blocks, whose texts may have been taken out of other lines."""
        ...

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        """The one reject that a line over MAX_LINE_BYTES is; `data` is only its beginning.

        A block that is over its limit is one reject too.
        """
        ...
