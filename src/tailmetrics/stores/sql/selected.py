"""Records of spans of time and of customers, found by the index or by looking through all, as frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from tailmetrics.stores.sql.aggregates import us
from tailmetrics.stores.sql.lookup import per_statement
from tailmetrics.stores.sql.schema import customers, records, store
from tailmetrics.stores.summaries.manifest import within
from tailmetrics.stores.windowing import Span

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_ROWS = 50_000  # of a frame
_SPANS_A_STATEMENT = 100
_KEYS_A_STATEMENT = 5000  # of customers
_KEYS_TO_MYSQL = 900  # MariaDB makes a table of a thousand, and seeks them without the times
_ROWS_A_SEEK = 50  # that are read one after the other in the time in which a customer's first one is found
_KINDS: dict[str, pl.DataType] = {
    "time_us": pl.Int64(),
    "customer_key": pl.Int32(),
    "path": pl.String(),
    "status_code": pl.Int16(),
    "duration": pl.Float64(),
}
_CUSTOMERS = {"customer_key": pl.Int32(), "customer_id": pl.String()}


@dataclass(frozen=True, slots=True)
class Selected:
    """The records of some customers, or of all, in spans of time.

    `within_us` are the times of all records. The index has the times of each customer apart: records are
    found `by_customer` where that takes less time than to look through all of them.
    """

    connection: AsyncConnection
    spans: Sequence[Span]
    within_us: Span
    customers: pl.DataFrame
    by_customer: bool

    async def count(self) -> int:
        number = sa.select(sa.func.count()).select_from(records)
        found = [await self.connection.execute(number.where(where)) for where in self.conditions()]
        return sum(each.scalar_one() for each in found)

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """Conditions of which one holds for each of the records."""
        if self.by_customer:
            keys = self.customers["customer_key"].cast(pl.String)
            is_mysql = self.connection.dialect.name in {"mysql", "mariadb"}
            most = _KEYS_TO_MYSQL if is_mysql else _KEYS_A_STATEMENT
            for span in self.spans:
                for begin in range(0, len(keys), most):
                    # As text: to bind so many numbers takes longer than to find what they stand for.
                    listed = ", ".join(keys[begin : begin + most])
                    yield sa.text(f"customer_key IN ({listed})") & _in_span(span)
            return
        for begin in range(0, len(self.spans), _SPANS_A_STATEMENT):
            yield sa.or_(*map(_in_span, self.spans[begin : begin + _SPANS_A_STATEMENT]))

    async def rows(
        self, *columns: sa.Column[Any], wanted: sa.ColumnElement[bool] | None = None
    ) -> AsyncGenerator[pl.DataFrame, None]:
        """The records for which `wanted` holds, too."""
        for where in self.conditions():
            both = where if wanted is None else where & wanted
            statement = sa.select(*columns).where(both).execution_options(yield_per=_ROWS)
            async with self.connection.stream(statement) as found:
                async for rows in found.partitions():
                    yield await asyncio.to_thread(_frame, rows, columns)

    async def requests(
        self, wanted: sa.ColumnElement[bool] | None = None
    ) -> AsyncGenerator[pl.DataFrame, None]:
        """As `Summarized.requests` gives them."""
        columns = (records.c.time_us, records.c.customer_key, records.c.status_code, records.c.duration)
        async with aclosing(self.rows(*columns, wanted=wanted)) as frames:
            async for frame in frames:
                yield frame.join(self.customers, on="customer_key", how="left").drop("customer_key")


async def selected(
    connection: AsyncConnection, spans: Sequence[Span], customer_ids: Sequence[str] | None = None
) -> Selected:
    """The records in spans (apart from each other, in order) of some customers, or of all (None)."""
    counts = await connection.execute(sa.select(store.c.records, store.c.first_us, store.c.last_us))
    number, first, last = counts.one()
    within_us = (0, 0) if first is None else (first, last + 1)
    inside = within(spans, *within_us)
    found: list[Any] = []
    if inside:
        known = sa.select(customers.c.customer_key, customers.c.customer_id)
        of_some = customers.c.customer_id.in_
        for part in [None] if customer_ids is None else per_statement(customer_ids):
            rows = await connection.execute(known if part is None else known.where(of_some(part)))
            found += rows.all()
    # Of all records so many would be read by customer, if they were spread evenly.
    share = sum(high - low for low, high in inside) / max(within_us[1] - within_us[0], 1)
    read = share * number + len(found) * len(inside) * _ROWS_A_SEEK
    by_customer = customer_ids is not None or read < number
    return Selected(connection, inside, within_us, pl.DataFrame(found, _CUSTOMERS, orient="row"), by_customer)


def _in_span(span: Span) -> sa.ColumnElement[bool]:
    return (records.c.time_us >= us(span[0])) & (records.c.time_us < us(span[1]))


def _frame(rows: Sequence[Any], columns: Sequence[sa.Column[Any]]) -> pl.DataFrame:
    """Rows with `time`, the other columns by their names, and a `count` of 1."""
    values = zip(*rows, strict=True)
    series = [
        pl.Series(column.name, column_values, _KINDS[column.name])
        for column, column_values in zip(columns, values, strict=True)
    ]
    return pl.DataFrame(series).rename({"time_us": "time"}).with_columns(count=pl.lit(1, pl.Int64))
