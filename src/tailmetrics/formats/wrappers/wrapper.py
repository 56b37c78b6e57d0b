"""What a line may be wrapped in by what carried it from the program that wrote it to the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

INNER, PROBLEM, STREAM, GOES_ON, TIME = "inner", "problem", "stream", "goes_on", "time"
# What a wrapper finds in the text of each line: what is inside (null where the line is not of the wrapper),
# why it cannot be had from a line that is, the stream that it was written to, whether it goes on in the
# next line of that stream, and when it was written, perhaps without the year (null where it is not told).
UNWRAPPED_SCHEMA: Final = {
    INNER: pl.String(),
    PROBLEM: pl.String(),
    STREAM: pl.String(),
    GOES_ON: pl.Boolean(),
    TIME: pl.String(),
}


def no_parts(_data: bytes) -> bool:
    """For wrappers that keep lines whole."""
    return False


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A way to wrap lines, as LOG_FORMAT names it.

    `expected` says what its lines are. `wraps` tells of one line whether it has the shape of the wrapper, as
    strictly as a kind claims lines. `unwrap` makes a frame of UNWRAPPED_SCHEMA of texts. `may_have_parts` is
    quick, and false only of whole lines none of which goes on in another. `told` are fields of LOG_CUSTOMER
    that the wrapper tells, as text. `timed` is how the wrapper is had with a time, where it may have none.
    """

    name: str
    expected: str
    wraps: Callable[[str], bool]
    unwrap: Callable[[pl.Series], pl.DataFrame]
    may_have_parts: Callable[[bytes], bool] = no_parts
    told: Callable[[pl.Series, Sequence[str]], pl.DataFrame] | None = None
    timed: str = ""
