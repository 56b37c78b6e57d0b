"""What differs between the databases of the SQL store: connecting, bulk inserts, what errors mean."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import sqlalchemy as sa

from tailmetrics.errors import SettingsError, StoreError, StoreGone, StoreUnavailable
from tailmetrics.stores.base import COMMIT_LINES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

CONNECT_SECONDS = 4  # what is told of a server that cannot be reached comes within 5


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, as the database takes them: in pieces that are sent one after the other."""

    columns: Sequence[str]
    pieces: Iterable[Any]


class Database(ABC):
    """One kind of database. Engines are made by it, so that each connection is set up as it needs to be."""

    driver_error: ClassVar[type[Exception]]  # base of the errors of the driver that writes
    commit_lines: ClassVar[int] = COMMIT_LINES  # that are worth a commit
    rows_ahead: ClassVar[bool] = True  # whether a thread makes rows while others are written
    _drivers: ClassVar[tuple[str, str]]  # which writes, and which reads
    _readers: ClassVar[int] = 8  # connections for queries
    _is_remote: ClassVar[bool] = True  # so that connections may be lost while nobody uses them

    def __init__(self, url: str | sa.URL, name: str, timeout_seconds: float) -> None:
        """`name` is the store's as it may be shown, `timeout_seconds` the longest that a query may take."""
        self.name = name
        self._url = sa.make_url(url)
        self._timeout_seconds = timeout_seconds

    @abstractmethod
    def writer_engine(self) -> sa.Engine:
        """Connections on which one transaction at a time writes."""

    @abstractmethod
    def reader_engine(self) -> AsyncEngine:
        """Connections for queries: each transaction is read-only and sees the state after one commit."""

    @abstractmethod
    def schema_lock(self, connection: sa.Connection) -> contextlib.AbstractContextManager[None]:
        """Keep other processes out while tables are made."""

    @abstractmethod
    def daily_stats(self, connection: sa.Connection) -> sa.TextClause:
        """The statement that makes the view of that name."""

    @abstractmethod
    def insert_new(self, table: sa.Table) -> sa.Insert:
        """An insert that leaves rows alone which are there already."""

    @abstractmethod
    def rows(self, frame: pl.DataFrame) -> Rows:
        """The rows of a frame that has the columns of a table; pieces may be made one by one."""

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        parts: Iterable[Rows],
        number: int,  # noqa: ARG002
    ) -> None:
        """Insert rows, `number` in all, as fast as can be; all parts have the same columns.

        A part is taken when it is needed, so that it may be made while those before it are being inserted.
        """
        driver: Any = connection.connection.driver_connection
        quote = connection.dialect.identifier_preparer.quote
        with contextlib.closing(driver.cursor()) as cursor:
            for rows in parts:
                insert = f"INSERT INTO {table.name} ({', '.join(map(quote, rows.columns))}) VALUES "
                for piece in rows.pieces:
                    self._insert_piece(cursor, insert, piece)

    def _insert_piece(self, cursor: Any, insert: str, piece: Any) -> None:
        raise NotImplementedError

    def start_background(self, engine: sa.Engine) -> None:  # noqa: B027  # most have nothing to do there
        """A process begins to write: what there is to do in the background is done from now on."""

    def committed(self) -> None:  # noqa: B027  # likewise
        """Records were committed."""

    def close(self) -> None:  # noqa: B027  # likewise
        """End what is done in the background."""

    def check_made(self) -> None:  # noqa: B027  # likewise
        """Raise StoreError where there is no store, without a change of what else is there."""

    def check_present(self) -> None:  # noqa: B027  # a server says so itself
        """Raise StoreGone or StoreDamaged when what was opened is not there any more, or not whole."""

    def verify(self, connection: sa.Connection) -> bool:  # noqa: ARG002  # as of a server
        """Read all, and raise StoreDamaged where it is damaged; False where only a server can tell."""
        return False

    @abstractmethod
    async def stop(self, engine: AsyncEngine, connection: Any) -> None:
        """End the statement that the driver's connection is running."""

    @abstractmethod
    def translate(self, error: BaseException) -> StoreError:
        """An error of the driver as this package's, with what can be done about it."""

    def _connect_args(self, **defaults: Any) -> dict[str, Any]:
        """Arguments of a server's driver, of which what the URL says itself is left to it."""
        arguments = {"connect_timeout": CONNECT_SECONDS, **defaults}
        return {name: value for name, value in arguments.items() if name not in self._url.query}

    def _writer_engine(self, connect_args: dict[str, Any], **options: Any) -> sa.Engine:
        return sa.create_engine(
            self._url.set(drivername=self._drivers[0]),
            connect_args=connect_args,
            pool_size=2,
            pool_pre_ping=self._is_remote,
            hide_parameters=True,
            **options,
        )

    def _reader_engine(self, connect_args: dict[str, Any], **options: Any) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine

        return create_async_engine(
            self._url.set(drivername=self._drivers[1]),
            connect_args=connect_args,
            pool_size=self._readers,
            max_overflow=0,
            pool_timeout=self._timeout_seconds,
            pool_pre_ping=self._is_remote,
            hide_parameters=True,
            **options,
        )


def tables_removed(name: str, text: str) -> StoreGone:
    """What is said when tables are not there any more that were."""
    return StoreGone(
        f"{name}: {text}; its tables were removed while they were in use, so nothing more is written; put "
        "them back, or drop what is left of them and restart to begin with empty ones"
    )


@contextlib.contextmanager
def parameters_refused(database: Database) -> Iterator[None]:
    """What drivers raise, before they connect, of parameters in STORE_URL that they cannot take."""
    try:
        yield
    except (TypeError, ValueError, sa.exc.ArgumentError, FileNotFoundError, PermissionError) as error:
        problem = (
            f"STORE_URL: found {database.name}, with what its driver cannot take ({error}), expected after ? "
            "parameters of libpq for PostgreSQL (sslmode=require), of PyMySQL for MySQL and MariaDB "
            "(ssl_ca=/path/to/ca.pem)"
        )
        raise SettingsError([problem]) from None


@contextlib.contextmanager
def errors_translated(database: Database) -> Iterator[None]:
    """Errors of drivers, SQLAlchemy and Polars as this package's."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise database.translate(error.orig or error) from error
    except sa.exc.TimeoutError as error:
        raise StoreUnavailable(
            f"{database.name}: all connections are in use; ask again, or for shorter ranges"
        ) from error
    except database.driver_error as error:
        raise database.translate(error) from error
    except (sa.exc.SQLAlchemyError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{database.name}: {error}") from error
    except OSError as error:
        raise StoreUnavailable(f"{database.name} does not answer: {error}") from error
