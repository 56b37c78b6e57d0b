"""PostgreSQL: COPY for writing, psycopg for both sides."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
import sqlalchemy as sa
from psycopg.copy import QueuedLibpqWriter
from sqlalchemy.dialects import postgresql

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores.base import COMMIT_LINES
from tailmetrics.stores.results import took_too_long
from tailmetrics.stores.sql.dialect import (
    CONNECT_SECONDS,
    Rows,
    tables_removed,
    unless_given,
)
from tailmetrics.stores.sql.postgresql.copy import COPY_END, COPY_HEAD, binary_rows, columns_of
from tailmetrics.stores.sql.postgresql.segments import BULK_ROWS, Segments
from tailmetrics.stores.sql.schema import records

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK = 0x7461696C  # any number that no other program is likely to lock
_POOL = 8

_DAILY_STATS = """
CREATE VIEW daily_stats AS
SELECT customer_id, day, total_requests, total_requests - failed_requests AS successful_requests,
    failed_requests, 100.0::DOUBLE PRECISION * (total_requests - failed_requests) / total_requests AS uptime,
    average_latency, median_latency, p99_latency
FROM (
    SELECT customer_key,
        DATE '1970-01-01' + (time_us / 86400000000 - (time_us % 86400000000 < 0)::INTEGER)::INTEGER AS day,
        count(*) AS total_requests, count(*) FILTER (WHERE status_code >= 400) AS failed_requests,
        sum(duration) / count(duration) AS average_latency,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY duration) AS median_latency,
        percentile_cont(0.99) WITHIN GROUP (ORDER BY duration) AS p99_latency
    FROM records GROUP BY 1, 2
) AS days JOIN customers USING (customer_key)
"""

# SQLSTATE classes and states after which the same may succeed: connections, transactions that met, resources,
# an operator's interventions (a restart, or a statement that was cancelled).
_PASSING_CLASSES = {"08", "40", "53", "57", "58"}
_PASSING = {"25006", "55P03"}
_GONE = {"42P01", "42703"}

# A refused connection has no state, only the server's text.
_REFUSALS = {
    "password authentication failed": "the user or the password is wrong; STORE_URL must hold both, "
    "signs such as / and @ written as %2F and %40",
    "no password supplied": "a password is needed in STORE_URL: postgresql://user:password@host/database",
    "no pg_hba.conf entry": "this user may not connect from here; pg_hba.conf of the server must allow it",
    "permission denied for database": "this user may not connect; GRANT CONNECT ON DATABASE … TO …",
    "does not exist": "create it (createdb, createuser), or name another one in STORE_URL",
}

_GRANTS = (
    "to write, GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO user and "
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO user; to make the tables, GRANT CREATE, USAGE ON "
    "SCHEMA public TO user; or name one who owns the tables in STORE_URL"
)

# What libpq and the server say of parameters in STORE_URL; without a state, as nothing was connected.
_WRONG_PARAMETER = re.compile(
    r"invalid (?:connection option|integer value|port number|\w+ value: )|definition of service .* not found"
    r"|unrecognized configuration parameter|server does not support SSL|root certificate file"
)


class PostgreSQL:
    """A Database."""

    driver_error: type[Exception] = psycopg.Error
    commit_lines = 2 * COMMIT_LINES  # each waits for the server's disk
    rows_ahead = True

    def __init__(self, url: str, name: str, timeout_seconds: float) -> None:
        self.name = name
        self._url = sa.make_url(url).set(drivername="postgresql+psycopg")
        self._timeout_seconds = timeout_seconds
        self._segments: Segments | None = None

    def writing(self) -> sa.Engine:
        return sa.create_engine(
            self._url,
            connect_args=self._connect_args(),
            isolation_level="READ COMMITTED",
            pool_size=2,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    def asking(self) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine

        timeout = f"-c statement_timeout={self._timeout_seconds * 1000:.0f} -c jit=off"
        return create_async_engine(
            self._url,
            connect_args=self._connect_args(timeout),
            execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
            pool_size=_POOL,
            max_overflow=0,
            pool_timeout=self._timeout_seconds,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    @contextlib.contextmanager
    def alone(self, connection: sa.Connection) -> Iterator[None]:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        [(encoding,)] = connection.execute(sa.text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise StoreError(
                f"{self.name} has the encoding {encoding}, expected UTF8: CREATE DATABASE … ENCODING 'UTF8' "
                "TEMPLATE template0"
            )
        yield

    def daily_stats(self, connection: sa.Connection) -> sa.TextClause:  # noqa: ARG002
        return sa.text(_DAILY_STATS)

    def insert_new(self, table: sa.Table) -> sa.Insert:
        return postgresql.insert(table).on_conflict_do_nothing()

    def rows(self, frame: pl.DataFrame) -> Rows:
        return Rows(columns_of(frame), binary_rows(frame))

    def insert(self, connection: sa.Connection, table: sa.Table, parts: Iterable[Rows], number: int) -> None:
        name = table.name
        if self._segments is not None and table is records and number >= BULK_ROWS:
            name = self._segments.table_for_bulk(connection)
        parts = iter(parts)
        first = next(parts)
        preparer = connection.dialect.identifier_preparer
        columns = ", ".join(preparer.quote(column) for column in first.columns)
        driver: Any = connection.connection.driver_connection
        statement = f"COPY {name} ({columns}) FROM STDIN (FORMAT binary)"
        with driver.cursor() as cursor, cursor.copy(statement, writer=QueuedLibpqWriter(cursor)) as copy:
            copy.write(COPY_HEAD)
            for rows in itertools.chain([first], parts):
                for piece in rows.pieces:
                    copy.write(piece)
            copy.write(COPY_END)

    def begun(self, engine: sa.Engine) -> None:
        if self._segments is None:
            self._segments = Segments(engine)

    def committed(self) -> None:
        if self._segments is not None:
            self._segments.committed()

    def close(self) -> None:
        if self._segments is not None:
            self._segments.close()

    def check_present(self) -> None:
        pass  # the server says so itself

    async def stop(self, engine: AsyncEngine, connection: Any) -> None:  # noqa: ARG002
        await connection.cancel_safe(timeout=CONNECT_SECONDS)

    def meaning(self, error: BaseException) -> StoreError:
        text = " ".join(str(error).split())
        state = getattr(error, "sqlstate", None) or ""
        if state == "57014":
            return took_too_long(self._timeout_seconds)
        if state[:2] in _PASSING_CLASSES or state in _PASSING:
            return StoreUnavailable(f"{self.name} does not answer now: {text}")
        if state in _GONE:
            return tables_removed(self.name, text)
        if state == "42501":
            return StoreError(f"{self.name}: {text}; {_GRANTS}")
        if not state and _WRONG_PARAMETER.search(text):
            return StoreError(
                f"{self.name} cannot be opened: {text}; expected after ? in STORE_URL parameters of libpq "
                "that the server supports, such as sslmode=require or sslmode=prefer"
            )
        if not state and isinstance(error, psycopg.OperationalError):
            for refusal, remedy in _REFUSALS.items():
                if refusal in text:
                    return StoreError(f"{self.name} cannot be opened: {text}; {remedy}")
            return StoreUnavailable(f"{self.name} does not answer: {text}")
        return StoreError(f"{self.name}: {text}")

    def _connect_args(self, options: str = "") -> dict[str, Any]:
        own = self._url.query.get("options", "")
        return {
            **unless_given(
                self._url,
                connect_timeout=CONNECT_SECONDS,
                application_name="tailmetrics",
                tcp_user_timeout=30_000,
            ),
            "client_encoding": "utf8",
            "options": " ".join(
                part for part in (options, *([own] if isinstance(own, str) else own)) if part
            ),
        }
