"""The DuckDB file: making it, opening it, and saying clearly why it cannot be opened."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import duckdb

from tailmetrics.errors import SchemaMismatch, StoreBusy, StoreError, StoreGone, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.urls import masked

SCHEMA_VERSION = 4
ROW_GROUP_RECORDS = 122_880  # DuckDB's default; a commit of a load fills one
_DATABASE = "store"  # the name by which the file is attached to a database in memory, which stays empty
_SHOWN_COMMAND_CHARACTERS = 200

# device and inode are text because they may not fit a signed 64-bit integer.
_SCHEMA = """
CREATE TABLE meta (schema_version INTEGER NOT NULL);
CREATE TABLE sources (
    source_key INTEGER PRIMARY KEY,
    source_id VARCHAR NOT NULL UNIQUE,
    node_id VARCHAR NOT NULL,
    device VARCHAR NOT NULL,
    inode VARCHAR NOT NULL,
    epoch BIGINT NOT NULL,
    path VARCHAR NOT NULL,
    position BIGINT NOT NULL,
    head_length BIGINT NOT NULL,
    head_hash VARCHAR NOT NULL,
    tail_length BIGINT NOT NULL,
    tail_hash VARCHAR NOT NULL,
    records BIGINT NOT NULL,
    rejects BIGINT NOT NULL,
    blanks BIGINT NOT NULL,
    registered_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE TABLE records (
    source_key INTEGER,
    "offset" BIGINT,
    timestamp TIMESTAMP,
    customer_id VARCHAR,
    path VARCHAR,
    status_code SMALLINT,
    duration DOUBLE
);
CREATE TABLE rejects (
    id BIGINT,
    source_key INTEGER,
    "offset" BIGINT,
    reason VARCHAR,
    line VARCHAR,
    seen_at TIMESTAMP
);
INSERT INTO meta VALUES (1);
"""

# By the version that each begins with. A new file is made by all of them: both ways lead to one schema.
_UPGRADES = {
    1: """
        ALTER TABLE records RENAME TO fresh;
        CREATE TABLE settled AS SELECT *, NULL::UBIGINT AS customer_key FROM fresh LIMIT 0;
        CREATE VIEW records AS FROM settled UNION ALL SELECT *, NULL FROM fresh;
        CREATE TABLE layout (
            base BIGINT NOT NULL, tail BIGINT NOT NULL, runs BIGINT NOT NULL, expired BIGINT NOT NULL
        );
        INSERT INTO layout VALUES (0, 0, 0, 0);
        CREATE VIEW daily_stats AS
        SELECT
            customer_id, timestamp::DATE AS day, count(*) AS total_requests,
            count(*) FILTER (WHERE status_code < 400) AS successful_requests,
            count(*) FILTER (WHERE status_code >= 400) AS failed_requests,
            100 * count(*) FILTER (WHERE status_code < 400) / count(*) AS uptime,
            favg(duration) AS average_latency, quantile_cont(duration, 0.5) AS median_latency,
            quantile_cont(duration, 0.99) AS p99_latency
        FROM records GROUP BY ALL;
    """,
    # What was not merged yet counts as deleted: where that is much, all is soon merged anew.
    2: """
        ALTER TABLE settled ADD COLUMN run INTEGER DEFAULT 1;
        ALTER TABLE settled ALTER COLUMN run DROP DEFAULT;
        CREATE OR REPLACE VIEW records AS
            SELECT * EXCLUDE (run) FROM settled UNION ALL SELECT *, NULL FROM fresh;
        CREATE TABLE runs (run INTEGER NOT NULL, records BIGINT NOT NULL);
        INSERT INTO runs SELECT 1, base + tail FROM layout WHERE base + tail > 0;
        CREATE TABLE deleted (records BIGINT NOT NULL);
        INSERT INTO deleted SELECT expired + tail FROM layout;
        DROP TABLE layout;
    """,
    # Of a bulk numbers are written, for the texts in names. What asks for no path is spared one join of them.
    3: """
        CREATE TABLE names (number INTEGER NOT NULL, name VARCHAR NOT NULL);
        CREATE TABLE numbered (
            source_key INTEGER USING COMPRESSION bitpacking,
            "offset" BIGINT USING COMPRESSION bitpacking,
            timestamp TIMESTAMP USING COMPRESSION bitpacking,
            customer_number INTEGER USING COMPRESSION bitpacking,
            path_number INTEGER USING COMPRESSION bitpacking,
            status_code SMALLINT USING COMPRESSION bitpacking,
            duration DOUBLE
        );
        CREATE VIEW named AS
            SELECT
                numbered.rowid AS place, source_key, "offset", timestamp,
                customers.name AS customer_id, paths.name AS path, status_code, duration
            FROM numbered
            JOIN names AS customers ON customers.number = customer_number
            JOIN names AS paths ON paths.number = path_number;
        CREATE OR REPLACE VIEW records AS
            SELECT * EXCLUDE (run) FROM settled
            UNION ALL SELECT *, NULL FROM fresh
            UNION ALL SELECT * EXCLUDE (place), NULL FROM named;
        CREATE VIEW requests AS
            SELECT timestamp, customer_id, status_code, duration, customer_key FROM settled
            UNION ALL SELECT timestamp, customer_id, status_code, duration, NULL FROM fresh
            UNION ALL SELECT timestamp, name, status_code, duration, NULL
            FROM numbered JOIN names ON number = customer_number;
    """,
}


class Cursors:
    """The connections of one opening of the file. Methods may be called from any thread."""

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self._root = root
        self._idle: deque[duckdb.DuckDBPyConnection] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._lent = 0
        self._kept_back = False

    def new(self) -> duckdb.DuckDBPyConnection:
        cursor = self._root.cursor()
        cursor.execute(f"USE {_DATABASE}")
        return cursor

    def borrow(self) -> duckdb.DuckDBPyConnection:
        """One without a transaction, to be given back: making one takes part of a short question's time."""
        with self._changed:
            self._changed.wait_for(lambda: not self._kept_back)
            self._lent += 1
        try:
            return self._idle.pop() if self._idle else self.new()
        except BaseException:
            self._count_back()
            raise

    def give_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """End the transaction of a borrowed one, and keep it for others."""
        try:
            cursor.rollback()
        except duckdb.Error:
            cursor.close()
        else:
            self._idle.append(cursor)
        self._count_back()
        if self._closed:
            self._close_idle()

    @contextlib.contextmanager
    def kept_back(self, seconds: float) -> Iterator[None]:
        """Wait until none is lent, or so long at most; until the end of this, whoever wants one waits."""
        with self._changed:
            self._kept_back = True
            self._changed.wait_for(lambda: not self._lent, seconds)
        try:
            yield
        finally:
            with self._changed:
                self._kept_back = False
                self._changed.notify_all()

    def close(self) -> None:
        self._closed = True
        self._close_idle()
        self._root.close()

    def _count_back(self) -> None:
        with self._changed:
            self._lent -= 1
            self._changed.notify_all()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()


class DuckDBFile:
    """An open DuckDB file of which this process is the only user.

    `cursor` gives connections for as many threads as need one; `cursors` lends them.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = settings.store.path.absolute()
        self.memory_limit = settings.duckdb_memory_limit  # checked to be a number with a unit
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": settings.duckdb_memory_limit,
            "threads": settings.duckdb_threads or os.cpu_count() or 1,
            "preserve_insertion_order": False,
            "temp_directory": f"{self.path}.tmp",
            # The thread that sorts brings the log into the file, between its transactions: a commit that did
            # it would take as long as all that others have changed.
            "checkpoint_threshold": "1GB",
            # Nor does a checkpoint join row groups that lost rows, as commits would wait for that: a merge
            # writes all rows anew, and row groups that lost all are dropped in any case.
            "max_vacuum_tasks": 0,
            # Nothing is ever fetched from the internet.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._cursors: Cursors | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> None:
        """Open the file, made with its folder when there is none."""
        root = duckdb.connect(config=self._config)
        try:
            if not self.path.exists():
                self._create(root)
            identity = self._identify()
            _attach(root, self.path)
            self._check_schema(root)
        except BaseException:
            root.close()
            raise
        self._cursors, self._identity = Cursors(root), identity
        _open_in_this_process.add(identity)

    def close(self) -> None:
        if self._cursors is not None:
            self._cursors.close()
            self._cursors = None
        if self._identity is not None:
            _open_in_this_process.discard(self._identity)
            self._identity = None

    @property
    def cursors(self) -> Cursors:
        """Raises StoreUnavailable when the file is closed."""
        if self._cursors is None:
            raise StoreUnavailable(f"{self.path} is closed")
        return self._cursors

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self.cursors.new()

    def size(self) -> int:
        """Of the file, in bytes."""
        return self.path.stat().st_size

    def log_bytes(self) -> int:
        """Size of the write-ahead log, which holds what is not in the file itself yet."""
        try:
            return self.path.with_name(self.path.name + ".wal").stat().st_size
        except OSError:
            return 0

    def check_present(self) -> None:
        """Raise StoreGone when the path no longer leads to the file that was opened."""
        try:
            found = self._stat()
        except StoreError:
            found = None
        if found != self._identity:
            what = "was removed" if found is None else "was replaced by another file"
            raise StoreGone(
                f"{self.path} {what} while it was in use, so nothing more is written; put it back, or "
                "restart to begin with what is there now"
            )

    def _identify(self) -> tuple[int, int]:
        """Which file it is. Raises StoreBusy when that is open already."""
        identity = self._stat()
        if identity in _open_in_this_process:
            raise StoreBusy(
                f"{self.path} is open in this process already; use the store that was opened first"
            )
        return identity

    def _stat(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise StoreError(f"{self.path} cannot be opened: {error.strerror}") from error
        return found.st_dev, found.st_ino

    def _create(self, root: duckdb.DuckDBPyConnection) -> None:
        """Make the file under another name and link it to its own, so that it never exists half made."""
        log = self.path.with_name(self.path.name + ".wal")
        if log.exists():
            raise StoreError(
                f"{self.path} is missing but {log.name}, the end of its data, is there; put the file back, "
                f"or remove {log} to begin with an empty store"
            )
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            _attach(root, draft)
            root.execute(_SCHEMA)
            _upgrade(root, 1)
            root.execute(f"USE memory; DETACH {_DATABASE}")
            try:
                os.link(draft, self.path)
            except FileExistsError:
                pass  # another process was faster; opening tells which
            except OSError:
                draft.rename(self.path)  # a file system without hard links
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be created: {error.strerror}; STORE_URL must name a file in a folder "
                "that this user may write to"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _check_schema(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            found = connection.execute("SELECT schema_version FROM meta").fetchall()
        except duckdb.CatalogException:
            raise StoreError(
                f"{self.path} is a DuckDB database of something else (it has no table meta); STORE_URL must "
                "name a file of this program, or one that does not exist yet"
            ) from None
        if len(found) == 1 and found[0][0] in _UPGRADES:
            _upgrade(connection, found[0][0])
        elif found != [(SCHEMA_VERSION,)]:
            versions = ", ".join(str(version) for (version,) in found) or "none"
            raise SchemaMismatch(
                f"{self.path} has schema version {versions}, this program knows version {SCHEMA_VERSION}; "
                "use the program that wrote it, or another file in STORE_URL"
            )


def _attach(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Open a file as the database that statements are about."""
    quoted = str(path).replace("'", "''")  # not every version takes a parameter there
    try:
        # Only a file that is attached can be told how large its row groups are to be.
        connection.execute(
            f"ATTACH '{quoted}' AS {_DATABASE} (TYPE duckdb, ROW_GROUP_SIZE {ROW_GROUP_RECORDS})"
        )
    except duckdb.Error as error:
        raise _opening_error(path, str(error)) from error
    connection.execute(f"USE {_DATABASE}")


def _upgrade(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """From a version of the schema to the newest, all of it or nothing."""
    connection.begin()
    for step in range(version, SCHEMA_VERSION):
        connection.execute(_UPGRADES[step])
    connection.execute("UPDATE meta SET schema_version = ?", [SCHEMA_VERSION])
    connection.commit()


# DuckDB knows a file that is open by its path alone. Under another one, a hard link, it would open it twice,
# each time with its own idea of positions.
_open_in_this_process: set[tuple[int, int]] = set()


def _opening_error(path: Path, text: str) -> StoreError:
    if "Conflicting lock" in text:
        holder = re.search(r"PID (\d+)", text)
        who = _describe_process(int(holder[1])) if holder else "another process"
        return StoreBusy(
            f"{path} is held by {who}, and one process at a time may open a DuckDB file; stop that one, ask "
            "it over HTTP, or give this one a file of its own in STORE_URL"
        )
    if "not a valid DuckDB database" in text:
        return StoreError(
            f"{path} is no DuckDB database; STORE_URL must name a file of this program, or one that does not "
            "exist yet"
        )
    return StoreError(f"{path} cannot be opened: {text.strip()}")


def _describe_process(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        arguments = []
    # Before it is cut: what is left of a password could not be told from other text.
    command = masked(" ".join(b" ".join(arguments).decode(errors="replace").split()))
    return f"process {pid} ({command[:_SHOWN_COMMAND_CHARACTERS]})" if command else f"process {pid}"


# TransactionException is what a commit raises that finds no room on the disk.
_PASSING = (
    duckdb.FatalException,
    duckdb.InterruptException,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
)


@contextlib.contextmanager
def errors_translated() -> Iterator[None]:
    """DuckDB's errors as this package's: what may pass is StoreUnavailable, all else StoreError."""
    try:
        yield
    except _PASSING as error:
        raise StoreUnavailable(f"DuckDB: {error}") from error
    except duckdb.Error as error:
        raise StoreError(f"DuckDB: {error}") from error
