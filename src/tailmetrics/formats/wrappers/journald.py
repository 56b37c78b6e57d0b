"""systemd's journal as `journalctl -o json` writes it: an object a line, with the line as `MESSAGE`.

https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format. A message that is not printable UTF-8 is
an array of its bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec
import polars as pl

from tailmetrics.formats.json.keys import read_objects
from tailmetrics.formats.lines import lines_of
from tailmetrics.formats.wrappers.wrapper import (
    GOES_ON,
    INNER,
    PROBLEM,
    STREAM,
    TIME,
    UNWRAPPED_SCHEMA,
    Wrapper,
)

_NULL = (
    "line: found a MESSAGE of null, as journalctl writes long ones, expected text (journalctl --all -o json)"
)
_NOT_UTF8 = "line: found bytes that are not UTF-8 in MESSAGE, expected UTF-8"


class _Entry(msgspec.Struct, gc=False):
    message: str | list[int] | None = msgspec.field(name="MESSAGE")
    realtime: str = msgspec.field(name="__REALTIME_TIMESTAMP")


_decoder = msgspec.json.Decoder(_Entry)
_NOTHING = _Entry("", "")


def unwrap(text: pl.Series) -> pl.DataFrame:
    entries, others = read_objects(_decoder, lines_of(text), _NOTHING)
    messages = [entry.message for entry in entries]
    problems: dict[int, str] = {}
    for place, message in enumerate(messages):
        if not isinstance(message, str):
            messages[place], problem = _text(message)
            if problem:
                problems[place] = problem
    microseconds = pl.Series([entry.realtime for entry in entries], dtype=pl.String())
    inner = pl.Series(messages, dtype=pl.String())
    nothing = pl.repeat(None, len(text), dtype=pl.String(), eager=True)
    return pl.DataFrame(
        {
            INNER: inner.scatter(others, None) if others else inner,
            PROBLEM: nothing.clone().scatter(list(problems), list(problems.values()))
            if problems
            else nothing,
            STREAM: nothing,
            GOES_ON: pl.repeat(value=False, n=len(text), eager=True),
            TIME: microseconds.str.replace(r"([0-9]{6})\z", ".$1"),
        },
        schema=UNWRAPPED_SCHEMA,
    )


def _text(message: list[int] | None) -> tuple[str, str]:
    """What a message is that is not written as text, and what is wrong with it."""
    if message is None:
        return "", _NULL
    try:
        return bytes(message).decode(), ""
    except ValueError:
        return "", _NOT_UTF8


def _wraps(line: str) -> bool:
    return '"__REALTIME_TIMESTAMP"' in line and unwrap(pl.Series([line]))[INNER][0] is not None


JOURNALD: Final = Wrapper(
    name="journald",
    expected="an object of journalctl -o json, with MESSAGE and __REALTIME_TIMESTAMP",
    wraps=_wraps,
    unwrap=unwrap,
)
