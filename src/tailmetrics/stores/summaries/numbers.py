"""Names as numbers, and counts added up by them: of many blocks at once, as each step of its own costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from tailmetrics.stores.distinct import Numbers, ranked, spread

_MOST_CELLS = 4_000_000  # of sums that are kept for each combination of keys that there may be
_WIDEST = 1_000_000  # from the least to the greatest value of a key that is looked up by a table
_MOST_CHANGES = 1_000


class Numbered:
    """Numbers for names: for those that are wanted, or for all that come (None)."""

    def __init__(self, wanted: pl.Series | None = None) -> None:
        self._is_open = wanted is None
        self._known = pl.Series("name", [] if wanted is None else wanted, pl.String)

    @property
    def known(self) -> pl.Series:
        """The names in the order of their numbers."""
        return self._known

    def of(self, columns: Sequence[pl.Series]) -> list[Numbers]:
        """The numbers of the names in each column, -1 for those that are not wanted."""
        if not columns:
            return []
        names = pl.concat([column.alias("name") for column in columns])
        if self._is_open:
            self._known = pl.concat([self._known, names]).unique(maintain_order=True)
        found = names.cast(pl.Enum(self._known), strict=False).to_physical().cast(pl.Int64)
        ends = np.cumsum([len(column) for column in columns])
        return np.split(found.fill_null(-1).to_numpy(), ends[:-1])


def added_up(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The sum of `count` for each combination of keys, in order where keys are whole numbers."""
    found = [_ranked(rows[key]) for key in keys]
    ranks = [each for each in found if each is not None]
    cells = math.prod(len(values) for values, _ in ranks)
    if len(ranks) < len(found) or not 0 < cells <= _MOST_CELLS:
        return rows.group_by(keys).agg(pl.col("count").cast(pl.Int64).sum())
    places = np.zeros(rows.height, np.int64)
    for values, of_rows in ranks:
        places = places * len(values) + of_rows
    # Nothing has to be hashed or sorted: a tenth of the time of grouping.
    sums = np.bincount(places, rows["count"].to_numpy(), cells)
    at = np.flatnonzero(sums)
    columns = [pl.Series("count", sums[at].astype(np.int64))]
    for key, (values, _) in zip(reversed(keys), reversed(ranks), strict=True):
        at, place = np.divmod(at, len(values))
        columns.append(pl.Series(key, values[place]).cast(rows.schema[key]))
    return pl.DataFrame(columns[::-1])


def _ranked(column: pl.Series) -> tuple[Numbers, Numbers] | None:
    """The values of a column in order, and the place of each row's among them.

    None where they are no whole numbers, or so many that to find them takes as long as grouping.
    """
    if not column.dtype.is_integer():
        return None
    values = column.to_numpy().astype(np.int64)
    if spread(values) < _WIDEST:
        return ranked(values)
    changes = np.flatnonzero(np.diff(values)) + 1  # of times, which follow each other
    if len(changes) > _MOST_CHANGES:
        return None
    kinds, places = np.unique(values[np.append(0, changes)], return_inverse=True)
    return kinds, np.repeat(places, np.diff(np.concatenate(([0], changes, [len(values)]))))
