"""Statistics of customers by windows, as /stats gives those of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import polars as pl

from tailmetrics.cli import documents
from tailmetrics.cli.client import Session
from tailmetrics.cli.export.files import FileFormat, write
from tailmetrics.client.connection import WINDOW_COLUMNS

_CUSTOMERS_A_PAGE = "1000"
_ROWS_A_FRAME = 10_000
_TIMES = ("start", "end")
_UTC = pl.Datetime("us", "UTC")


def to_file(
    session: Session,
    file: IO[bytes],
    form: FileFormat,
    asked: Mapping[str, Any],
    on_customers: Callable[[int, int], None],
) -> int:
    """Write a row for each customer and window; returns how many. Raises ServiceError, StoreError, OSError.

    `asked` are parameters of /stats. Times are text in their zone, of Parquet and Arrow times in UTC.
    """
    schema = WINDOW_COLUMNS if form in ("csv", "jsonl") else WINDOW_COLUMNS | dict.fromkeys(_TIMES, _UTC)
    written = 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal written
        for rows in _pages(session, asked, on_customers):
            frame = pl.DataFrame(rows, WINDOW_COLUMNS)
            if schema is not WINDOW_COLUMNS:
                frame = frame.with_columns(pl.col(*_TIMES).str.to_datetime(time_unit="us", time_zone="UTC"))
            yield frame
            written += frame.height

    write(frames(), schema, form, file)
    return written


def _pages(
    session: Session, asked: Mapping[str, Any], on_customers: Callable[[int, int], None]
) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for customer_id, bounds in _customers(session, asked, on_customers):
        parameters = {**asked, **bounds, "customer_id": customer_id}
        found = json.loads(session.ask(documents.Stats, parameters).json)
        rows += [{"customer_id": customer_id, **window} for window in found["windows"]]
        if len(rows) >= _ROWS_A_FRAME:
            yield rows
            rows = []
    if rows:
        yield rows


def _customers(
    session: Session, asked: Mapping[str, Any], on_customers: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Each customer, by its id, and the bounds: those that are relative to now must be the same for all."""
    if "customer_id" in asked:
        yield asked["customer_id"], {}
        return
    names = ("from", "to", "tz", "failures", "path", "status")
    parameters = {name: asked[name] for name in names if name in asked} | {"limit": _CUSTOMERS_A_PAGE}
    bounds: dict[str, str] = {}
    done = 0
    while True:
        page = json.loads(session.ask(documents.Customers, {**parameters, **bounds}).json)
        bounds = {name: page[name] for name in ("from", "to") if page[name] is not None}
        for customer in page["customers"]:
            yield customer["customer_id"], bounds
            done += 1
            on_customers(done, page["total"])
        if page["next_cursor"] is None:
            return
        parameters["cursor"] = page["next_cursor"]
