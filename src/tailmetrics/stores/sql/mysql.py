"""MySQL and MariaDB: inserts of many rows for writing, PyMySQL and asyncmy for the two sides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
import pymysql  # type: ignore[import-untyped]  # it has no types
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores.results import took_too_long
from tailmetrics.stores.sql.daily_stats import daily_stats
from tailmetrics.stores.sql.dialect import Database, Rows, tables_removed

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK = "tailmetrics schema"
_LOCK_SECONDS = 30
_WRITE_SECONDS = 300  # for one insert; a server that says nothing for longer is gone
_MOST_STATEMENT_BYTES = 4 * 1024 * 1024

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
# A full disk or table, too many connections, a shutdown, a lock, a server that only reads.
_BUSY = {1021, 1040, 1053, 1114, 1203, 1205, 1213, 1290, 1836}
_LOST_CONNECTION = {1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055}
_NO_CONNECTION = {2002, 2003, 2005}


class MySQL(Database):
    """MySQL 8, or MariaDB."""

    driver_error = pymysql.Error
    _drivers = ("mysql+pymysql", "mysql+asyncmy")

    def writer_engine(self) -> sa.Engine:
        arguments = self._connect_args(read_timeout=_WRITE_SECONDS, write_timeout=_WRITE_SECONDS)
        engine = self._writer_engine({**arguments, "charset": "utf8mb4"}, isolation_level="READ COMMITTED")

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

    def reader_engine(self) -> AsyncEngine:
        arguments = {**self._connect_args(), "charset": "utf8mb4"}
        engine = self._reader_engine(arguments, isolation_level="REPEATABLE READ")

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
    def schema_lock(self, connection: sa.Connection) -> Iterator[None]:
        [(got,)] = connection.execute(sa.select(sa.func.get_lock(_LOCK, _LOCK_SECONDS)))
        if not got:
            raise StoreUnavailable(f"{self.name}: another process is making its tables")
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.release_lock(_LOCK)))

    def daily_stats(self, connection: sa.Connection) -> sa.TextClause:
        collation = _BY_BYTES[getattr(connection.dialect, "is_mariadb", False)]
        return daily_stats(
            "DATE_ADD(DATE '1970-01-01', INTERVAL day_us DIV 86400000000 DAY)",
            customer_id=f"CONVERT(customers.customer_id USING utf8mb4) COLLATE {collation}",
        )

    def insert_new(self, table: sa.Table) -> sa.Insert:
        [key] = table.primary_key.columns
        return mysql.insert(table).on_duplicate_key_update({key.name: key})

    def rows(self, frame: pl.DataFrame) -> Rows:
        return Rows(frame.columns, _literals(frame))

    def _insert_piece(self, cursor: Any, insert: str, piece: Any) -> None:
        cursor.execute(insert + piece)

    async def stop(self, engine: AsyncEngine, connection: Any) -> None:
        async with engine.connect() as other:
            await other.exec_driver_sql(f"KILL QUERY {connection.thread_id():d}")

    def translate(self, error: BaseException) -> StoreError:
        number = error.args[0] if error.args else None
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        if number in _TIMED_OUT:
            return took_too_long(self._timeout_seconds)
        if number in _NO_CONNECTION:
            return StoreUnavailable(f"{self.name} does not answer: {text}; is it running there?")
        if not number or number in _BUSY | _LOST_CONNECTION:
            return StoreUnavailable(f"{self.name} does not answer now: {text or type(error).__name__}")
        if number in _GONE:
            return tables_removed(self.name, text)
        if number in _REFUSALS:
            return StoreError(f"{self.name}: {text}; {_REFUSALS[number]}")
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
