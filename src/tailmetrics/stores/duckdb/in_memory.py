"""Few records as rows in memory.

Planning a statement that groups and ranks costs DuckDB more than reading some ten thousand rows; a plain
selection is planned at once, and the aggregates of so many rows take a few milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.stores.duckdb.reader import Condition, Reader

MOST_ROWS = 500_000


def few_rows(reader: Reader, columns: str, where: Condition) -> pl.DataFrame | None:
    """These columns, of numbers, of the records that a condition selects; None when they are too many."""
    sql = f"SELECT {columns} FROM requests WHERE {where.sql} LIMIT {MOST_ROWS + 1}"
    found = reader.columns(sql, where.parameters)
    rows = pl.DataFrame({name: _series(values) for name, values in found.items()})
    return None if rows.height > MOST_ROWS else rows


def _series(values: npt.NDArray[Any]) -> pl.Series:
    series = pl.Series(np.ma.getdata(values))
    return series.set(pl.Series(np.ma.getmaskarray(values)), None) if np.ma.is_masked(values) else series
