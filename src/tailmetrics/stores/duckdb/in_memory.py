"""The figures of few records, computed from the rows themselves.

Planning a statement that groups and ranks costs DuckDB more than reading some ten thousand rows; a plain
selection is planned at once, and the figures of so many rows take a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.stats import Failures, Summary
from tailmetrics.stores.duckdb.reader import Reader
from tailmetrics.stores.results import summary_of
from tailmetrics.windows import Grid

MOST_ROWS = 500_000

Times = npt.NDArray[np.int64]

_FAILED: Mapping[Failures, Callable[[pl.Expr], pl.Expr]] = {
    "4xx+5xx": lambda status: status >= 400,
    "5xx": lambda status: status >= 500,
    "5xx+429": lambda status: (status >= 500) | (status == 429),
}


def few_rows(reader: Reader, columns: str, where: str, parameters: Mapping[str, Any]) -> pl.DataFrame | None:
    """These columns, of numbers, of the records for which `where` holds; None when they are too many."""
    found = reader.columns(f"SELECT {columns} FROM requests WHERE {where} LIMIT {MOST_ROWS + 1}", parameters)
    rows = pl.DataFrame({name: _series(values) for name, values in found.items()})
    return None if rows.height > MOST_ROWS else rows


def figures(rows: pl.DataFrame, failures: Failures) -> Summary:
    """The figures of all rows, which have status_code and duration."""
    [row] = rows.select(_figures(failures)).rows()
    return summary_of(*row)


def figures_by(rows: pl.DataFrame, key: str, failures: Failures) -> dict[Any, Summary]:
    """The figures of the rows that have the same value in the column `key`."""
    grouped = rows.group_by(key).agg(_figures(failures))
    return {value: summary_of(*row) for value, *row in grouped.rows()}


def quantiles() -> list[pl.Expr]:
    """Aggregates median and p99."""
    duration = pl.col("duration")
    return [
        duration.quantile(0.5, "linear").alias("median"),
        duration.quantile(0.99, "linear").alias("p99"),
    ]


def _figures(failures: Failures) -> list[pl.Expr]:
    failed = _FAILED[failures](pl.col("status_code")).sum()
    return [
        pl.len().alias("requests"),
        failed.alias("failed"),
        pl.col("duration").mean().alias("average"),
        *quantiles(),
    ]


def window_starts(times: Times, grid: Grid) -> Times:
    """Where the window begins that holds each of the times, in microseconds."""
    pieces = grid.pieces
    at = np.searchsorted([piece.start_us for piece in pieces], times, side="right") - 1
    since = times - np.array([piece.anchor_us for piece in pieces])[at]
    whole = np.iinfo(np.int64).max
    since %= np.array([whole if piece.day_us is None else piece.day_us for piece in pieces])[at]
    starts: Times = times - since % np.array([piece.step_us for piece in pieces])[at]
    return starts


def _series(values: npt.NDArray[Any]) -> pl.Series:
    series = pl.Series(np.ma.getdata(values))
    return series.set(pl.Series(np.ma.getmaskarray(values)), None) if np.ma.is_masked(values) else series
