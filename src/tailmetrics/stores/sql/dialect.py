"""What differs between the databases of the SQL store: connecting, bulk inserts, what errors mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
import sqlalchemy as sa

from tailmetrics.errors import SettingsError, StoreError, StoreGone, StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

CONNECT_SECONDS = 4  # what is told of a server that cannot be reached comes within 5


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, as the database takes them: in pieces that are sent one after the other."""

    columns: Sequence[str]
    pieces: Iterable[Any]


class Database(Protocol):
    """One kind of database. Engines are made by it, so that each connection is set up as it needs to be."""

    name: str  # of the store, as it may be shown
    driver_error: type[Exception]  # base of the errors of the driver that writes
    commit_lines: int  # that are worth a commit
    rows_ahead: bool  # whether rows are made in one thread while others are written in another

    def writing(self) -> sa.Engine:
        """Connections on which one transaction at a time writes."""
        ...

    def asking(self) -> AsyncEngine:
        """Connections for questions: each transaction is read-only and sees the state after one commit."""
        ...

    def alone(self, connection: sa.Connection) -> contextlib.AbstractContextManager[None]:
        """Keep other processes out while tables are made."""
        ...

    def daily_stats(self, connection: sa.Connection) -> sa.TextClause:
        """The statement that makes the view of that name."""
        ...

    def insert_new(self, table: sa.Table) -> sa.Insert:
        """An insert that leaves rows alone which are there already."""
        ...

    def rows(self, frame: pl.DataFrame) -> Rows:
        """The rows of a frame that has the columns of a table; pieces may be made one by one."""
        ...

    def insert(self, connection: sa.Connection, table: sa.Table, parts: Iterable[Rows], number: int) -> None:
        """Insert rows, `number` in all, as fast as can be; all parts have the same columns.

        A part is taken when it is needed, so that it may be made while those before it are being inserted.
        """
        ...

    def begun(self, engine: sa.Engine) -> None:
        """A process begins to write: what there is to do in the background is done from now on."""
        ...

    def committed(self) -> None:
        """Records were committed."""
        ...

    def close(self) -> None:
        """End what is done in the background."""
        ...

    def check_present(self) -> None:
        """Raise StoreGone when what was opened is not there any more."""
        ...

    async def stop(self, engine: AsyncEngine, connection: Any) -> None:
        """End the statement that the driver's connection is running."""
        ...

    def meaning(self, error: BaseException) -> StoreError:
        """What an error of the driver means, and what can be done about it."""
        ...


class NothingInBackground:
    """The part of a Database that does nothing in the background."""

    def begun(self, engine: sa.Engine) -> None:
        pass

    def committed(self) -> None:
        pass

    def close(self) -> None:
        pass


def unless_given(url: sa.URL, **parameters: Any) -> dict[str, Any]:
    """Those of the driver's parameters of which the URL says nothing itself."""
    return {name: value for name, value in parameters.items() if name not in url.query}


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
        raise database.meaning(error.orig or error) from error
    except sa.exc.TimeoutError as error:
        raise StoreUnavailable(
            f"{database.name}: all connections are in use; ask again, or for shorter ranges"
        ) from error
    except database.driver_error as error:
        raise database.meaning(error) from error
    except (sa.exc.SQLAlchemyError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{database.name}: {error}") from error
    except OSError as error:
        raise StoreUnavailable(f"{database.name} does not answer: {error}") from error
