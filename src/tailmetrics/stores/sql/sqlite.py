"""SQLite: a file that several processes of one machine may share."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from tailmetrics.errors import StoreError, StoreGone, StoreUnavailable
from tailmetrics.stores.base import COMMIT_LINES
from tailmetrics.stores.sql.dialect import NothingInBackground, Rows, tables_removed

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_POOL = 4
_WAIT_SECONDS = 30  # for another process's commit

_DAILY_STATS = """
CREATE VIEW daily_stats AS
WITH placed AS (
    SELECT customer_key, status_code, duration,
        date((time_us - (time_us % 86400000000 + 86400000000) % 86400000000) / 1000000, 'unixepoch') AS day
    FROM records
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY customer_key, day ORDER BY duration IS NULL, duration) AS place,
        count(duration) OVER (PARTITION BY customer_key, day) - 1 AS last
    FROM placed
),
days AS (
    SELECT customer_key, day, count(*) AS total_requests, sum(status_code >= 400) AS failed_requests,
        sum(duration) / count(duration) AS average_latency,
        min(CASE WHEN 100 * place > 50 * last - 50 * last % 100 THEN duration END) AS median_low,
        min(CASE WHEN 100 * place > 50 * last - 50 * last % 100 + 100 THEN duration END) AS median_high,
        min(50 * last % 100) AS median_rest,
        min(CASE WHEN 100 * place > 99 * last - 99 * last % 100 THEN duration END) AS p99_low,
        min(CASE WHEN 100 * place > 99 * last - 99 * last % 100 + 100 THEN duration END) AS p99_high,
        min(99 * last % 100) AS p99_rest
    FROM ranked GROUP BY customer_key, day
)
SELECT customer_id, day, total_requests, total_requests - failed_requests AS successful_requests,
    failed_requests, 100.0 * (total_requests - failed_requests) / total_requests AS uptime, average_latency,
    median_low + coalesce((median_high - median_low) * median_rest / 100.0, 0) AS median_latency,
    p99_low + coalesce((p99_high - p99_low) * p99_rest / 100.0, 0) AS p99_latency
FROM days JOIN customers USING (customer_key)
"""


class SQLite(NothingInBackground):
    """A Database."""

    driver_error: type[Exception] = sqlite3.Error
    commit_lines = COMMIT_LINES
    rows_ahead = False  # its rows are objects of Python, which take much memory and one thread at a time

    def __init__(self, path: Path, name: str, timeout_seconds: float) -> None:
        self.name = name
        self._path = path.absolute()
        self._timeout_seconds = timeout_seconds
        self._identity: tuple[int, int] | None = None

    def writing(self) -> sa.Engine:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self._path.parent} cannot be made: {error.strerror}") from error
        engine = sa.create_engine(
            sa.URL.create("sqlite+pysqlite", database=str(self._path)),
            connect_args={"timeout": _WAIT_SECONDS},
            pool_size=2,
            hide_parameters=True,
        )
        # The write lock is taken first: a transaction that reads before it writes could be refused.
        _set_up(
            engine, "BEGIN IMMEDIATE", "journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768"
        )
        return engine

    def asking(self) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(
            sa.URL.create("sqlite+aiosqlite", database=str(self._path)),
            connect_args={"timeout": _WAIT_SECONDS},
            pool_size=_POOL,
            max_overflow=0,
            pool_timeout=self._timeout_seconds,
            hide_parameters=True,
        )
        _set_up(engine.sync_engine, "BEGIN", "query_only = ON", "cache_size = -32768", "temp_store = MEMORY")
        return engine

    @contextlib.contextmanager
    def alone(self, connection: sa.Connection) -> Iterator[None]:  # noqa: ARG002  # its transaction has the lock
        self._identity = self._stat()
        yield

    def daily_stats(self, connection: sa.Connection) -> sa.TextClause:  # noqa: ARG002
        return sa.text(_DAILY_STATS)

    def insert_new(self, table: sa.Table) -> sa.Insert:
        return sqlite.insert(table).on_conflict_do_nothing()

    def rows(self, frame: pl.DataFrame) -> Rows:
        return Rows(frame.columns, [frame])

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        parts: Iterable[Rows],
        number: int,  # noqa: ARG002
    ) -> None:
        driver: Any = connection.connection.driver_connection
        for rows in parts:
            columns = ", ".join(f'"{name}"' for name in rows.columns)
            marks = ", ".join("?" * len(rows.columns))
            for piece in rows.pieces:
                driver.executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", piece.rows())

    def check_present(self) -> None:
        if self._identity is not None and self._stat() != self._identity:
            what = "was replaced by another file" if self._path.exists() else "was removed"
            raise StoreGone(
                f"{self._path} {what} while it was in use, so nothing more is written; put it back, or "
                "restart to begin with what is there now"
            )

    async def stop(self, engine: AsyncEngine, connection: Any) -> None:  # noqa: ARG002
        await connection.interrupt()

    def meaning(self, error: BaseException) -> StoreError:
        text = str(error)
        if "interrupted" in text:
            return StoreUnavailable("the question was stopped")
        if any(words in text for words in ("locked", "disk I/O error", "is full")):
            return StoreUnavailable(f"{self._path}: {text}")
        if "not a database" in text:
            return StoreError(
                f"{self._path} is no SQLite database; STORE_URL must name a file of this program, or one "
                "that does not exist yet"
            )
        if "unable to open" in text or "readonly" in text:
            return StoreError(
                f"{self._path} cannot be opened: {text}; STORE_URL must name a file in a folder that this "
                "user may write to"
            )
        if "no such table" in text:
            return tables_removed(str(self._path), text)
        return StoreError(f"{self._path}: {text}")

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _set_up(engine: sa.Engine, begin: str, *settings: str) -> None:
    """Begin transactions as this program wants it, not as Python's module guesses, and set what is given."""

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for setting in settings:
            connection.cursor().execute(f"PRAGMA {setting}")

    @sa.event.listens_for(engine, "begin")
    def begin_transaction(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)
