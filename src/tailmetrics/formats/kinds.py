"""What is known of a kind of log: its name, how its lines look, and who opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from tailmetrics.formats.base import LineFormat
from tailmetrics.settings import FormatOptions


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of log, as LOG_FORMAT names it.

    `claims` says of a line whether it has the shape of the kind, whatever its values are: by that a format is
    detected. `customer` are the fields that tell the customer, in order of preference, `unit` that of
    durations without one; None where only LOG_DURATION_UNIT tells. `open` raises FormatError when the options
    cannot be used. `example` is a line as the server writes it. Where the kind reads lines of others too, but
    otherwise, `are_own` says which texts of a log of several kinds are left to it.
    """

    name: str
    title: str
    example: str
    claims: Callable[[str], bool]
    open: Callable[[FormatOptions], LineFormat]
    customer: tuple[str, ...] = ("customer_id",)
    unit: str | None = None
    pattern: str = ""  # of a line, with a group for each field; by it the nearest format is told
    are_own: Callable[[pl.Series], pl.Series] | None = None
    is_object: bool = False  # whether its lines, and no others, begin with a brace
    has_comments: bool = False  # whether lines that begin with # are no lines
    has_header: bool = False  # whether such lines say how those behind them are read


def never_claims(_line: str) -> bool:
    """For kinds that are read only when they are named."""
    return False
