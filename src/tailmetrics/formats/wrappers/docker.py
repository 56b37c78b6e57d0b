"""Docker's logging driver `json-file`: an object a line, with what was written up to a line feed as `log`.

https://docs.docker.com/engine/logging/drivers/json-file/. A line of more than 16 KiB comes in pieces, of
which only the last one ends with a line feed. A shorter piece without is what a program wrote last before it
ended, and no part of what it writes when it runs again.
"""

from __future__ import annotations

import re
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

# Bytes of a piece that goes on, or more: of a character that is cut each byte is written as U+FFFD.
_FULL_BYTES: Final = 16 * 1024
_STREAM = b'","stream":"'
_SHAPE = re.compile(
    r'\{"log":"(?:[^"\\]|\\.)*","stream":"std(?:out|err)"(?:,"attrs":\{.*\})?,"time":"[0-9T:.+Z-]*"\}\Z'
)


class _Record(msgspec.Struct, gc=False):
    log: str
    stream: str
    time: str


_decoder = msgspec.json.Decoder(_Record)
_NOTHING = _Record("", "", "")


def unwrap(text: pl.Series) -> pl.DataFrame:
    records, others = read_objects(_decoder, lines_of(text), _NOTHING)
    log = pl.Series([record.log for record in records], dtype=pl.String())
    inner = log.scatter(others, None) if others else log
    return pl.DataFrame(
        {
            INNER: inner.str.strip_suffix("\n"),
            PROBLEM: pl.repeat(None, len(text), dtype=pl.String(), eager=True),
            STREAM: pl.Series([record.stream for record in records], dtype=pl.String()),
            GOES_ON: ~inner.str.ends_with("\n").fill_null(value=True) & (log.str.len_bytes() >= _FULL_BYTES),
            TIME: pl.Series([record.time for record in records], dtype=pl.String()),
        },
        schema=UNWRAPPED_SCHEMA,
    )


def _may_have_parts(data: bytes) -> bool:
    # A backslash before the escape of a line feed makes it a backslash and an n.
    ended = data.count(rb"\n" + _STREAM)
    if ended == data.count(b"\n") and rb"\\n" + _STREAM not in data:
        return False
    return max(map(len, data.split(b"\n"))) > _FULL_BYTES


DOCKER: Final = Wrapper(
    name="docker",
    expected="a line of Docker's json-file",
    wraps=lambda line: _SHAPE.match(line) is not None,
    unwrap=unwrap,
    may_have_parts=_may_have_parts,
)
