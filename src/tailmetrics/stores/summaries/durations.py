"""Durations as whole numbers of a unit, and their exact quantiles from how often each occurs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

_UNITS = (1_000, 1_000_000)  # logs write milliseconds or microseconds
_NO_UNIT = 0
_MOST_SECONDS = 2**53 / 1_000_000  # beyond which floats do not tell microseconds apart
_DENSE_CELLS = 8_000_000

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Durations:
    """How often each duration occurs under some keys.

    `frame` has the keys, `value` and `count`; a value is so many parts of a second as `unit` says, or with
    unit 0 a float of seconds.
    """

    frame: pl.DataFrame
    unit: int

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Durations:
        """From `value` in seconds, in the coarsest unit that gives back the same floats."""
        seconds = frame["value"].to_numpy()
        if seconds.max(initial=0.0) > _MOST_SECONDS:
            return cls(frame, _NO_UNIT)
        for unit in _UNITS:
            with np.errstate(over="ignore"):  # of durations from before they had a bound
                whole = np.round(seconds * unit)
            if np.array_equal(whole / unit, seconds):  # NumPy divides; Polars multiplies by the inverse
                return cls(frame.with_columns(value=whole.astype(np.int64)), unit)
        return cls(frame, _NO_UNIT)

    def in_unit(self, unit: int) -> pl.DataFrame:
        """The frame with values of a unit that is as fine as this one."""
        if unit == self.unit:
            return self.frame
        if unit == _NO_UNIT:
            return self.frame.with_columns(value=self.frame["value"].to_numpy() / self.unit)
        return self.frame.with_columns(pl.col("value").cast(pl.Int64) * (unit // self.unit))


def joined(parts: Sequence[Durations]) -> Durations:
    """All parts as one, in the finest of their units."""
    units = {part.unit for part in parts}
    unit = _NO_UNIT if _NO_UNIT in units else max(units, default=_UNITS[0])
    frames = [part.in_unit(unit) for part in parts]
    return Durations(pl.concat(frames, how="vertical_relaxed"), unit)


def summed(durations: Durations, keys: Sequence[str]) -> Durations:
    """Each value of each combination of `keys` once."""
    by = [*keys, "value"]
    return Durations(durations.frame.group_by(by).agg(pl.col("count").sum()), durations.unit)


def latencies_by(durations: Durations, key: str) -> pl.DataFrame:
    """Columns `key`, `average`, `median` and `p99`: seconds, for each key that has a duration.

    Keys are whole numbers. Quantiles interpolate linearly between the neighbours of the place q·(n-1).
    """
    frame, unit = durations.frame, durations.unit or 1
    keys = frame[key].unique().sort()
    codes = frame[key].to_numpy()
    if len(keys) and (keys[0] or keys[-1] != len(keys) - 1):
        codes = np.searchsorted(keys.to_numpy(), codes)
    counts = frame["count"].to_numpy().astype(np.int64)
    values = frame["value"].to_numpy()
    numbers = np.bincount(codes, counts, len(keys)).astype(np.int64)
    with np.errstate(over="ignore"):
        seconds = np.bincount(codes, counts * values.astype(np.float64), len(keys))
    ordered, through = _in_order(codes, values, counts)
    before = np.cumsum(numbers) - numbers
    return pl.DataFrame(
        {
            key: keys,
            "average": seconds / numbers / unit,
            "median": _quantile(0.5, numbers, before, through, ordered) / unit,
            "p99": _quantile(0.99, numbers, before, through, ordered) / unit,
        }
    )


def _in_order(codes: Numbers, values: Any, counts: Numbers) -> tuple[npt.NDArray[np.float64], Numbers]:
    """Values in order of their keys, then of themselves; and the sum of the counts up to each of them."""
    if not len(values) or values.dtype.kind == "f":
        order = np.lexsort((values, codes))
        return values[order].astype(np.float64), np.cumsum(counts[order])
    most = int(values.max()) + 1
    cells = (int(codes.max()) + 1) * most
    if cells <= _DENSE_CELLS:
        # As many places as there may be values: nothing has to be sorted.
        places = np.bincount(codes * most + values, counts, cells).astype(np.int64)
        return np.tile(np.arange(most, dtype=np.float64), cells // most), np.cumsum(places)
    count_bits = int(counts.max()).bit_length()
    if cells.bit_length() + count_bits < 63:
        # All in one number, whose order is that of keys and values: sorted several times as fast as rows.
        packed = (codes * most + values) << count_bits | counts
        packed.sort()
        through = np.cumsum(packed & ((1 << count_bits) - 1))
        packed >>= count_bits
        packed %= most
        return packed.astype(np.float64), through
    order = np.lexsort((values, codes))
    return values[order].astype(np.float64), np.cumsum(counts[order])


def _quantile(
    q: float, numbers: Numbers, before: Numbers, through: Numbers, values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """One quantile for each group of `numbers` values, of which `before` precede the group's first."""
    place = q * (numbers - 1)
    low = np.floor(place).astype(np.int64)
    lower = values[np.searchsorted(through, before + low, side="right")]
    upper = values[np.searchsorted(through, before + np.minimum(low + 1, numbers - 1), side="right")]
    result: npt.NDArray[np.float64] = lower + (upper - lower) * (place - low)
    return result
