"""The lines that begin with # and say how those behind them are to be read.

A header is the last directive of each name that matters, as it is written, one a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from tailmetrics.formats.lines import Bools, Lines, split

FIELDS: Final = b"#Fields"
SOFTWARE: Final = b"#Software"
DATE: Final = b"#Date"
_NAMES: Final = (SOFTWARE, DATE, FIELDS)
_HASH = 0x23
_BLOCK_BYTES = 4 * 1024 * 1024  # read at once when the header before a position is looked for


def are_directives(lines: Lines, max_line_bytes: int) -> Bools:
    """Which lines are directives; one that is too long is a line like others."""
    begin_so: Bools = lines.array[lines.starts] == _HASH
    return begin_so & (lines.lengths <= max_line_bytes)


def directives(lines: Lines, chosen: Bools) -> list[bytes]:
    """The chosen lines, each without its end."""
    places = np.flatnonzero(chosen)
    bounds = zip(lines.starts[places].tolist(), lines.ends[places].tolist(), strict=True)
    return [lines.data[begin:end] for begin, end in bounds]


def merged(header: bytes, later: Iterable[bytes]) -> bytes:
    """The header in force behind directives that follow it."""
    found = parts(header)
    for line in later:
        name = line.partition(b":")[0]
        if name in _NAMES:
            found[name] = line
    return b"\n".join(found[name] for name in _NAMES if name in found)


def parts(header: bytes) -> dict[bytes, bytes]:
    """The directives of a header by their names."""
    return {line.partition(b":")[0]: line for line in header.split(b"\n") if line}


def header_after(data: bytes, offset: int, header: bytes, max_line_bytes: int) -> bytes:
    """The header in force behind whole lines that begin at byte `offset`, with `header` before them."""
    if b"#" not in data:
        return header
    lines = split(data, offset)
    return merged(header, directives(lines, are_directives(lines, max_line_bytes)))


def header_before(
    read: Callable[[int, int], bytes], position: int, max_line_bytes: int, *, backwards: bool
) -> bytes:
    """The header in force at byte `position`, where a line begins; a few blocks are held at a time.

    `read` gives up to so many bytes (second) from an offset (first). `backwards` goes from `position` to the
    beginning and ends when all is found; else it is read from the beginning on, which is quicker where going
    back is slow.
    """
    starts = range(0, position, _BLOCK_BYTES)
    limit = max_line_bytes + 1  # of a line that is too long no more is needed
    header = rest = b""
    for start in reversed(starts) if backwards else starts:
        block = read(start, min(_BLOCK_BYTES, position - start))
        if backwards:
            block += rest
            begin = (block.find(b"\n") + 1 or len(block)) if start else 0
            rest = block[:begin][:limit]
            found = header_after(block[begin:], start + begin, b"", max_line_bytes)
            header = merged(found, header.split(b"\n"))
            if len(parts(header)) == len(_NAMES):
                break
        else:
            block = rest + block
            end = len(block) if start == starts[-1] else block.rfind(b"\n") + 1
            header = header_after(block[:end], start - len(rest), header, max_line_bytes)
            rest = block[end:][:limit]
    return header
