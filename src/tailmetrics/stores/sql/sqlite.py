"""SQLite: a file that several processes of one machine may share."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from tailmetrics.errors import StoreDamaged, StoreError, StoreGone, StoreUnavailable
from tailmetrics.stores.base import no_store
from tailmetrics.stores.sql.daily_stats import daily_stats
from tailmetrics.stores.sql.dialect import Database, Rows, tables_removed
from tailmetrics.stores.sql.schema import store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_WAIT_SECONDS = 30  # for another process's commit
_HEADER_BYTES = 512  # of the smallest page


class SQLite(Database):
    """A file in WAL mode, with one process at a time that writes."""

    driver_error = sqlite3.Error
    rows_ahead = False  # its rows are objects of Python, which take much memory and one thread at a time
    _drivers = ("sqlite+pysqlite", "sqlite+aiosqlite")
    _readers = 4
    _is_remote = False

    def __init__(self, path: Path, name: str, timeout_seconds: float) -> None:
        self._path = path.absolute()
        super().__init__(sa.URL.create("sqlite", database=str(self._path)), name, timeout_seconds)
        self._identity: tuple[int, int] | None = None
        self._damage: str | None = None

    def writer_engine(self) -> sa.Engine:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self._path.parent} cannot be made: {error.strerror}") from error
        engine = self._writer_engine({"timeout": _WAIT_SECONDS})
        # The write lock is taken first: a transaction that reads before it writes could be refused.
        _set_up(
            engine, "BEGIN IMMEDIATE", "journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768"
        )
        return engine

    def reader_engine(self) -> AsyncEngine:
        engine = self._reader_engine({"timeout": _WAIT_SECONDS})
        _set_up(engine.sync_engine, "BEGIN", "query_only = ON", "cache_size = -32768", "temp_store = MEMORY")
        return engine

    @contextlib.contextmanager
    def schema_lock(self, connection: sa.Connection) -> Iterator[None]:  # noqa: ARG002  # its transaction has the lock
        self._identity = self._stat()
        yield

    def daily_stats(self, connection: sa.Connection) -> sa.TextClause:  # noqa: ARG002
        return daily_stats("date(day_us / 1000000, 'unixepoch')", create="CREATE")

    def insert_new(self, table: sa.Table) -> sa.Insert:
        return sqlite.insert(table).on_conflict_do_nothing()

    def rows(self, frame: pl.DataFrame) -> Rows:
        return Rows(frame.columns, [frame])

    def _insert_piece(self, cursor: Any, insert: str, piece: Any) -> None:
        marks = ", ".join("?" * piece.width)
        cursor.executemany(f"{insert}({marks})", piece.rows())

    def check_made(self) -> None:
        if not self._path.exists():
            raise no_store(self.name)
        try:
            # To read only: another one would bring the file into WAL mode.
            with contextlib.closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as file:
                tables = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        except sqlite3.Error as error:
            raise self.translate(error) from error
        if (store.name,) not in tables:
            raise no_store(self.name)

    def check_present(self) -> None:
        if self._identity is not None and self._stat() != self._identity:
            what = "was replaced by another file" if self._path.exists() else "was removed"
            raise StoreGone(
                f"{self._path} {what} while it was in use, so nothing more is written; put it back, or "
                "restart to begin with what is there now"
            )
        with contextlib.suppress(OSError):
            if self._identity is not None and (size := self._path.stat().st_size) < _HEADER_BYTES:
                self._damage = self._damage or f"it has {size} bytes, expected at least {_HEADER_BYTES}"
        if self._damage is not None:
            raise self._damaged(self._damage)

    def verify(self, connection: sa.Connection) -> bool:
        found = [text for (text,) in connection.exec_driver_sql("PRAGMA integrity_check")]
        if found != ["ok"]:
            self._damage = "; ".join(found)
            raise self._damaged(self._damage)
        return True

    async def stop(self, engine: AsyncEngine, connection: Any) -> None:  # noqa: ARG002
        await connection.interrupt()

    def translate(self, error: BaseException) -> StoreError:
        text = str(error)
        if "interrupted" in text:
            return StoreUnavailable("the question was stopped")
        if any(words in text for words in ("locked", "disk I/O error", "is full")):
            return StoreUnavailable(f"{self._path}: {text}")
        if "malformed" in text or ("not a database" in text and self._identity is not None):
            self._damage = text
            return self._damaged(text)
        if "not a database" in text:
            return StoreError(
                f"{self._path} is no SQLite database; STORE_URL must name a file of this program, or one "
                "that does not exist yet"
            )
        if "unable to open" in text or "readonly" in text:
            return StoreError(
                f"{self._path} cannot be opened: {text}; STORE_URL must name a file that this user may "
                "write, in a folder that this user may write to"
            )
        if "no such table" in text:
            return tables_removed(str(self._path), text)
        return StoreError(f"{self._path}: {text}")

    def _damaged(self, reason: str) -> StoreDamaged:
        return StoreDamaged(self._path, f"{self._path.name}-wal", reason)

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
