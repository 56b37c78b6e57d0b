"""Lines that come in parts: which belong together, and where none is open.

A part goes on in the next line of its stream when that is among the next lines of the log: of what a program
wrote last before it ended, without a line feed, nothing may ever follow.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailmetrics.formats.lines import split
from tailmetrics.formats.text import text_of
from tailmetrics.formats.wrappers.wrapper import GOES_ON, STREAM, Wrapper

WITHIN_LINES = 100


def firsts_of(lines: Iterable[tuple[str | None, bool]]) -> tuple[list[int], int]:
    """Of each line the place of its first part, and before how many lines none is open.

    `lines` are the stream of each line, and whether it goes on.
    """
    firsts: list[int] = []
    open_parts: dict[str | None, tuple[int, int]] = {}  # the first and the last part that was seen
    closed = 0
    for place, (stream, goes_on) in enumerate(lines):
        first, last = open_parts.pop(stream, (place, place))
        if place - last > WITHIN_LINES:
            first = place
        firsts.append(first)
        if goes_on:
            open_parts[stream] = (first, place)
        if all(place + 1 - last > WITHIN_LINES for _, last in open_parts.values()):
            closed = place + 1
    return firsts, closed


def end_of_closed(wrapper: Wrapper, data: bytes) -> int:
    """How many of the bytes of `data`, whole lines, end where no part is open."""
    if not wrapper.may_have_parts(data):
        return len(data)
    lines = split(data, 0)
    unwrapped = wrapper.unwrap(text_of(lines))
    _, closed = firsts_of(zip(unwrapped[STREAM], unwrapped[GOES_ON], strict=True))
    if closed == len(lines):
        return len(data)
    return int(lines.starts[closed]) + len(data) - len(lines.data) if closed else 0
