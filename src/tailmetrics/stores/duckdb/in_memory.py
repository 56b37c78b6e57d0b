"""Few records as rows in memory.

Planning a statement that groups and ranks costs DuckDB more than reading some ten thousand rows; a plain
selection is planned at once, and the aggregates of so many rows take a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.stores.duckdb.reader import Reader

MOST_ROWS = 500_000


def few_rows(reader: Reader, columns: str, where: str, parameters: Mapping[str, Any]) -> pl.DataFrame | None:
    """These columns, of numbers, of the records for which `where` holds; None when they are too many."""
    found = reader.columns(f"SELECT {columns} FROM requests WHERE {where} LIMIT {MOST_ROWS + 1}", parameters)
    rows = pl.DataFrame({name: _series(values) for name, values in found.items()})
    return None if rows.height > MOST_ROWS else rows


def _series(values: npt.NDArray[Any]) -> pl.Series:
    series = pl.Series(np.ma.getdata(values))
    return series.set(pl.Series(np.ma.getmaskarray(values)), None) if np.ma.is_masked(values) else series
