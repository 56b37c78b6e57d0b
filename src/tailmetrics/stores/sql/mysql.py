"""MySQL and MariaDB: inserts of many rows for writing, PyMySQL and asyncmy for the two sides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
import pymysql  # type: ignore[import-untyped]  # it has no types
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores.base import COMMIT_LINES
from tailmetrics.stores.results import took_too_long
from tailmetrics.stores.sql.dialect import (
    CONNECT_SECONDS,
    NothingInBackground,
    Rows,
    tables_removed,
    unless_given,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK = "tailmetrics schema"
_LOCK_SECONDS = 30
_WRITE_SECONDS = 300  # for one insert; a server that says nothing for longer is gone
_POOL = 8
_MOST_STATEMENT_BYTES = 4 * 1024 * 1024

# Quantiles as tailmetrics.stores.sql.aggregates has them: MySQL knows no function for them.
_DAILY_STATS = """
CREATE VIEW daily_stats AS
SELECT CONVERT(customers.customer_id USING utf8mb4) COLLATE {collation} AS customer_id,
    DATE_ADD(DATE '1970-01-01', INTERVAL days.day_number DAY) AS day, total_requests,
    total_requests - failed_requests AS successful_requests, failed_requests,
    100e0 * (total_requests - failed_requests) / total_requests AS uptime, average_latency,
    median_low + COALESCE((median_high - median_low) * median_rest / 100, 0) AS median_latency,
    p99_low + COALESCE((p99_high - p99_low) * p99_rest / 100, 0) AS p99_latency
FROM (
    SELECT customer_key, day_number, COUNT(*) AS total_requests, SUM(status_code >= 400) AS failed_requests,
        SUM(duration) / COUNT(duration) AS average_latency,
        MIN(CASE WHEN 100 * place > 50 * last - 50 * last % 100 THEN duration END) AS median_low,
        MIN(CASE WHEN 100 * place > 50 * last - 50 * last % 100 + 100 THEN duration END) AS median_high,
        MIN(50 * last % 100) AS median_rest,
        MIN(CASE WHEN 100 * place > 99 * last - 99 * last % 100 THEN duration END) AS p99_low,
        MIN(CASE WHEN 100 * place > 99 * last - 99 * last % 100 + 100 THEN duration END) AS p99_high,
        MIN(99 * last % 100) AS p99_rest
    FROM (
        SELECT customer_key, day_number, status_code, duration,
            ROW_NUMBER() OVER (PARTITION BY customer_key, day_number
                ORDER BY duration IS NULL, duration) AS place,
            COUNT(duration) OVER (PARTITION BY customer_key, day_number) - 1 AS last
        FROM (
            SELECT customer_key, time_us DIV 86400000000 - (time_us MOD 86400000000 < 0) AS day_number,
                status_code, duration
            FROM records
        ) AS dated
    ) AS placed GROUP BY customer_key, day_number
) AS days JOIN customers ON customers.customer_key = days.customer_key
"""

# By whether it is MariaDB: ids compare by their bytes, to the last blank.
_BY_BYTES = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}

_REFUSALS = {
    1045: "the user or the password is wrong; STORE_URL must hold both, signs such as / and @ written as %2F "
    "and %40",
    1044: "this user may not use the database, or there is none; CREATE DATABASE, and GRANT ALL ON "
    "database.* TO user",
    1049: "create it with CREATE DATABASE, or name another one in STORE_URL",
    1142: "to write, GRANT SELECT, INSERT, UPDATE, DELETE ON database.* TO user; to make the tables, "
    "GRANT ALL ON database.* TO user",
    1698: "this user may not log in with a password; name another one in STORE_URL",
    1227: "this user lacks a right; GRANT ALL ON database.* TO user",
    1251: "this user's way to log in is not supported",
}
_GONE = {1146, 1054}
_TIMED_OUT = {1969, 3024, 1317}
# A full disk or table, too many connections, a shutdown, a lock, a lost connection, a server that only reads.
_PASSING = {
    1021,
    1040,
    1053,
    1114,
    1158,
    1159,
    1160,
    1161,
    1203,
    1205,
    1213,
    1290,
    1836,
    1927,
    2006,
    2013,
    2055,
}
_NO_CONNECTION = {2002, 2003, 2005}


class MySQL(NothingInBackground):
    """A Database."""

    driver_error: type[Exception] = pymysql.Error
    commit_lines = COMMIT_LINES
    rows_ahead = True

    def __init__(self, url: str, name: str, timeout_seconds: float) -> None:
        self.name = name
        self._url = sa.make_url(url)
        self._timeout_seconds = timeout_seconds

    def writing(self) -> sa.Engine:
        engine = sa.create_engine(
            self._url.set(drivername="mysql+pymysql"),
            connect_args={
                **unless_given(
                    self._url,
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=_WRITE_SECONDS,
                    write_timeout=_WRITE_SECONDS,
                ),
                "charset": "utf8mb4",
            },
            isolation_level="READ COMMITTED",
            pool_size=2,
            pool_pre_ping=True,
            hide_parameters=True,
        )

        @sa.event.listens_for(engine, "do_connect")
        def connect(dialect: Any, _: object, args: Any, parameters: dict[str, Any]) -> Any:
            # The driver's time for connecting is over when the server takes the connection: one that says
            # nothing then would be waited for as long as for the longest write.
            lasting = parameters["read_timeout"]
            connecting = {**parameters, "read_timeout": min(lasting, parameters["connect_timeout"])}
            connection = dialect.connect(*args, **connecting)
            connection._read_timeout = lasting
            return connection

        return engine

    def asking(self) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(
            self._url.set(drivername="mysql+asyncmy"),
            connect_args={**unless_given(self._url, connect_timeout=CONNECT_SECONDS), "charset": "utf8mb4"},
            isolation_level="REPEATABLE READ",
            pool_size=_POOL,
            max_overflow=0,
            pool_timeout=self._timeout_seconds,
            pool_pre_ping=True,
            hide_parameters=True,
        )

        @sa.event.listens_for(engine.sync_engine, "connect")
        def set_up(connection: Any, _: Any) -> None:
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute("SELECT VERSION()")
                [version] = cursor.fetchone()
                if "MariaDB" in version:
                    cursor.execute(f"SET SESSION max_statement_time = {self._timeout_seconds:g}")
                else:
                    cursor.execute(f"SET SESSION max_execution_time = {self._timeout_seconds * 1000:.0f}")
                cursor.execute("SET SESSION TRANSACTION READ ONLY")

        return engine

    @contextlib.contextmanager
    def alone(self, connection: sa.Connection) -> Iterator[None]:
        [(got,)] = connection.execute(sa.select(sa.func.get_lock(_LOCK, _LOCK_SECONDS)))
        if not got:
            raise StoreUnavailable(f"{self.name}: another process is making its tables")
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.release_lock(_LOCK)))

    def daily_stats(self, connection: sa.Connection) -> sa.TextClause:
        is_mariadb = getattr(connection.dialect, "is_mariadb", False)
        return sa.text(_DAILY_STATS.format(collation=_BY_BYTES[is_mariadb]))

    def insert_new(self, table: sa.Table) -> sa.Insert:
        [key] = table.primary_key.columns
        return mysql.insert(table).on_duplicate_key_update({key.name: key})

    def rows(self, frame: pl.DataFrame) -> Rows:
        return Rows(frame.columns, _literals(frame))

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        parts: Iterable[Rows],
        number: int,  # noqa: ARG002
    ) -> None:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            for rows in parts:
                columns = ", ".join(f"`{name}`" for name in rows.columns)
                for piece in rows.pieces:
                    cursor.execute(f"INSERT INTO `{table.name}` ({columns}) VALUES {piece}")

    def check_present(self) -> None:
        pass  # the server says so itself

    async def stop(self, engine: AsyncEngine, connection: Any) -> None:
        async with engine.connect() as other:
            await other.exec_driver_sql(f"KILL QUERY {connection.thread_id():d}")

    def meaning(self, error: BaseException) -> StoreError:
        number = error.args[0] if error.args else None
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        if number in _TIMED_OUT:
            return took_too_long(self._timeout_seconds)
        if number in _NO_CONNECTION:
            return StoreUnavailable(f"{self.name} does not answer: {text}; is it running there?")
        if number in _PASSING:
            return StoreUnavailable(f"{self.name} does not answer now: {text}")
        if number in _GONE:
            return tables_removed(self.name, text)
        if number in _REFUSALS:
            return StoreError(f"{self.name}: {text}; {_REFUSALS[number]}")
        if number is None or number == 0:
            return StoreUnavailable(f"{self.name} does not answer now: {text or type(error).__name__}")
        return StoreError(f"{self.name}: {text}")


def _literals(frame: pl.DataFrame) -> Iterator[str]:
    """The rows as SQL, in parts of one statement each.

    Text goes as hexadecimal digits: no sign in it can end the literal, whatever the server's mode.
    """
    values = frame.select(
        pl.format(
            "({})",
            pl.concat_str([_literal(name, kind) for name, kind in frame.schema.items()], separator=","),
        ).alias("row")
    )
    sizes = values["row"].str.len_bytes().cum_sum()
    for part in values.with_columns(part=sizes // _MOST_STATEMENT_BYTES).partition_by("part"):
        yield part["row"].str.join(",").item()


def _literal(name: str, kind: pl.DataType) -> pl.Expr:
    if kind == pl.String:
        return pl.format("x'{}'", pl.col(name).cast(pl.Binary).bin.encode("hex"))
    return pl.col(name).cast(pl.String).fill_null("NULL")
