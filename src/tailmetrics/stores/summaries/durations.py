"""Durations as whole numbers of a unit, and their exact quantiles from how often each occurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.stores.distinct import Numbers, ranked, spread

_UNITS = (1_000, 1_000_000)  # logs write milliseconds or microseconds
_NO_UNIT = 0
_MOST_SECONDS = 2**53 / 1_000_000  # beyond which floats do not tell microseconds apart
_DENSE_CELLS = 4_000_000

Seconds = npt.NDArray[np.float64]

# Of each key how many durations it has, and their sum; in the order of keys, then of values, the sum of the
# counts up to each place, and what gives the value at it.
_InOrder = tuple[Numbers, Any, Any, Callable[[Numbers], Any]]


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


def timed(requests: pl.DataFrame) -> pl.DataFrame:
    """The requests that have a `duration`, with that as their `value`."""
    return requests.filter(pl.col("duration").is_not_null()).rename({"duration": "value"})


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
    keys, codes = _coded(frame[key])
    counts = frame["count"].to_numpy().astype(np.int64)
    values = frame["value"].to_numpy()
    most = int(values.max()) + 1 if len(values) and values.dtype.kind != "f" else 0
    in_order = _counted if 0 < len(keys) * most <= _DENSE_CELLS else _sorted
    numbers, seconds, through, value_at = in_order(codes, len(keys), values, most, counts)
    before = np.cumsum(numbers) - numbers

    def quantile(q: float) -> Seconds:
        """For each key; `before` precede its first value."""
        place = q * (numbers - 1)
        low = np.floor(place).astype(np.int64)
        lower, upper = (
            value_at(np.searchsorted(through, before + nth, side="right"))
            for nth in (low, np.minimum(low + 1, numbers - 1))
        )
        found: Seconds = (lower + (upper - lower) * (place - low)) / unit
        return found

    return pl.DataFrame(
        {key: keys, "average": seconds / numbers / unit, "median": quantile(0.5), "p99": quantile(0.99)}
    )


def _coded(column: pl.Series) -> tuple[pl.Series, Numbers]:
    """The keys that there are, in order, and the place of each row's among them."""
    codes = column.to_numpy().astype(np.int64, copy=False)
    if spread(codes) > len(codes):
        keys = column.unique().sort()
        return keys, np.searchsorted(keys.to_numpy(), codes)
    values, places = ranked(codes)
    return pl.Series(column.name, values, pl.Int64).cast(column.dtype), places


def _counted(codes: Numbers, keys: int, values: Any, most: int, counts: Numbers) -> _InOrder:
    """With as many places as there may be values: nothing has to be sorted."""
    table = np.bincount(codes * most + values, counts, keys * most)
    by_value = table.reshape(keys, most)
    numbers = by_value.sum(axis=1).astype(np.int64)
    seconds = by_value @ np.arange(most, dtype=np.float64)
    return numbers, seconds, np.cumsum(table, out=table), lambda places: (places % most).astype(np.float64)


def _sorted(codes: Numbers, keys: int, values: Any, most: int, counts: Numbers) -> _InOrder:
    numbers = np.bincount(codes, counts, keys).astype(np.int64)
    with np.errstate(over="ignore"):
        seconds = np.bincount(codes, counts * values.astype(np.float64), keys)
    count_bits = int(counts.max(initial=0)).bit_length()
    bits = (keys * most).bit_length() + count_bits
    if most and bits < 63:
        # All in one number, whose order is that of keys and values: sorted several times as fast as rows.
        packed = (codes * most + values) << count_bits | counts
        if bits <= 32:
            packed = packed.astype(np.uint32)  # which takes half the time
        packed.sort()
        through = np.cumsum(packed & ((1 << count_bits) - 1), dtype=np.int64)
        packed >>= count_bits
        return numbers, seconds, through, lambda places: (packed[places] % most).astype(np.float64)
    order = np.lexsort((values, codes))
    return numbers, seconds, np.cumsum(counts[order]), lambda places: values[order[places]].astype(np.float64)
