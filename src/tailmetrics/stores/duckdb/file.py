"""The DuckDB file: making it, opening it, and saying clearly why it cannot be opened."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb

from tailmetrics.errors import StoreBusy, StoreDamaged, StoreError, StoreGone, StoreUnavailable
from tailmetrics.process import is_other_process
from tailmetrics.settings import Settings
from tailmetrics.stores.duckdb import schema
from tailmetrics.stores.duckdb.connections import (
    DATABASE,
    Cursors,
    connect,
    ends_all_use,
    tells_of_damage,
    translated,
)
from tailmetrics.stores.duckdb.moves import Moves
from tailmetrics.urls import masked

ROW_GROUP_RECORDS = 122_880  # DuckDB's default; a commit of a load fills one
_SHOWN_COMMAND_CHARACTERS = 200
HEADERS_BYTES = 3 * 4096  # before the first block

# DuckDB knows a file that is open by its path alone. Under another one, a hard link, it would open it twice,
# each time with its own idea of positions.
_open_in_this_process: set[tuple[int, int]] = set()


class DuckDBFile:
    """A DuckDB file of which this process is the only user.

    `invalidated` is the error after which DuckDB refuses everything until the file is opened anew. A
    checkpoint is made by who has `checkpoint_lock`: who copies the file holds it, so that none is.
    """

    def __init__(self, settings: Settings) -> None:
        self.invalidated: str | None = None
        self.checkpoint_lock = threading.Lock()
        self.copy_lock = threading.Lock()
        self.moves = Moves()
        self.path = settings.store.path.absolute()
        self.memory_limit = settings.duckdb_memory_limit  # checked to be a number with a unit
        self._log = self.path.with_name(self.path.name + ".wal")
        self._settings = settings
        self._cursors: Cursors | None = None
        self._identity: tuple[int, int] | None = None
        self._damage: str | None = None
        self._descriptor: int | None = None
        self._reading = threading.Lock()

    def open(self) -> None:
        """Open the file, made with its folder when there is none.

        Opened once more it has to be the same file. Raises StoreGone and StoreDamaged when it is not.
        """
        if self._identity is not None:
            self.check_present()
        root = connect(self._settings, self.path)
        try:
            with self.errors_translated():
                if not self.path.exists():
                    self._create(root)
                identity = self._identify()
                attach(root, self.path)
                schema.bring_up_to_date(root, self.path)
        except BaseException:
            root.close()
            raise
        self._remove_drafts()
        self._cursors, self._identity = Cursors(root), identity
        _open_in_this_process.add(identity)

    def close(self) -> None:
        """Also brings the log into the file, unless that is damaged: nothing of it is overwritten then."""
        if self._cursors is None:
            return
        if self._find_damage() is not None:
            with contextlib.suppress(duckdb.Error):
                self._cursors.leave_log()
        self._cursors.close()
        self._cursors = None
        with self._reading:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
        if self._identity is not None:
            _open_in_this_process.discard(self._identity)

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
            return self._log.stat().st_size
        except OSError:
            return 0

    def read(self, length: int, offset: int) -> bytes:
        """Bytes of the file as they lie on the disk. Raises StoreUnavailable when it is closed."""
        with self._reading:
            if self._cursors is None:
                raise StoreUnavailable(f"{self.path} was closed meanwhile")
            if self._descriptor is None:
                # Kept until the end: to close it would end the lock that DuckDB has on the file.
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._descriptor, length, offset)

    @property
    def is_open(self) -> bool:
        return self._cursors is not None

    def has_room_for_checkpoint(self) -> bool:
        """Whether the disk has as much room as what the log holds may need in the file."""
        return shutil.disk_usage(self.path.parent).free > self.log_bytes()

    @contextlib.contextmanager
    def errors_translated(self) -> Iterator[None]:
        """DuckDB's errors as this package's; what one says of the file is remembered."""
        try:
            yield
        except duckdb.Error as error:
            if tells_of_damage(error):
                self._damage = self._damage or str(error).strip()
                raise StoreDamaged(self.path, self._log.name, self._damage) from error
            if ends_all_use(error):
                self.invalidated = str(error)
                raise StoreUnavailable(f"{self.path} is to be opened anew: {error}") from error
            raise translated(error) from error

    def check_whole(self) -> None:
        """Look whether the file has all of its blocks; nothing may be writing to it meanwhile.

        Only its size is looked at: to open it here, and close it, would end DuckDB's lock on it.
        """
        with self.errors_translated(), contextlib.closing(self.cursor()) as cursor:
            [(block_bytes, blocks)] = cursor.execute(
                "SELECT block_size, used_blocks FROM pragma_database_size() "
                "WHERE database_name = current_database()"
            ).fetchall()
        with contextlib.suppress(OSError):
            found, expected = self.size(), HEADERS_BYTES + block_bytes * blocks
            if found < expected:
                self._damage = f"it has {found} bytes, expected at least {expected}"

    def _find_damage(self) -> str | None:
        with contextlib.suppress(OSError):
            if self._damage is None and (size := self.size()) < HEADERS_BYTES:
                self._damage = f"it has {size} bytes, expected at least {HEADERS_BYTES}"
        return self._damage

    def check_present(self) -> None:
        """Raise StoreGone when the path leads elsewhere than to the file that was opened, StoreDamaged when
        that is known to be damaged.
        """
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
        if damage := self._find_damage():
            raise StoreDamaged(self.path, self._log.name, damage)

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
        if self._log.exists():
            raise StoreError(
                f"{self.path} is missing but {self._log.name}, the end of its data, is there; put the file "
                f"back, or remove {self._log} to begin with an empty store"
            )
        draft = self.path.with_name(f"{self._draft_prefix}{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            attach(root, draft)
            schema.upgrade(root, 0)
            root.execute(f"USE memory; DETACH {DATABASE}")
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

    @property
    def _draft_prefix(self) -> str:
        return f".{self.path.name}."

    def _remove_drafts(self) -> None:
        """Remove what processes that were killed while they made the file have left of it."""
        draft = re.compile(re.escape(self._draft_prefix) + r"(\d+)(\.wal)?")
        for found in self.path.parent.iterdir():
            if (name := draft.fullmatch(found.name)) and not is_other_process(int(name[1])):
                with contextlib.suppress(OSError):
                    found.unlink()


def attach(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Open a file as the database that statements are about."""
    quoted = str(path).replace("'", "''")  # not every version takes a parameter there
    # Only a file that is attached can be told how large its row groups are to be.
    options = f"TYPE duckdb, ROW_GROUP_SIZE {ROW_GROUP_RECORDS}"
    try:
        connection.execute(f"ATTACH '{quoted}' AS {DATABASE} ({options}); USE {DATABASE}")
    except duckdb.Error as error:
        raise _opening_error(path, error) from error


def _opening_error(path: Path, error: duckdb.Error) -> StoreError:
    text = str(error)
    if "Conflicting lock" in text:
        holder = re.search(r"PID (\d+)", text)
        who = _describe_process(int(holder[1])) if holder else "another process"
        return StoreBusy(
            f"{path} is held by {who}, and one process at a time may open a DuckDB file; stop that one, ask "
            "it over HTTP, give this one a file of its own in STORE_URL, or read a snapshot, which "
            "`tailmetrics backup FILE` makes while the other goes on"
        )
    if "not a valid DuckDB database" in text:
        if not path.stat().st_size:
            return StoreDamaged(path, f"{path.name}.wal", "it has 0 bytes")
        return StoreError(
            f"{path} is no DuckDB database; STORE_URL must name a file of this program, or one that does not "
            "exist yet"
        )
    if tells_of_damage(error) or "WAL" in text:
        log = f"{path.name}.wal"
        hint = f" (where only {log} is damaged, move it alone away: what was committed last is read again)"
        return StoreDamaged(path, log, text.strip() + (hint if "WAL" in text else ""))
    kind = StoreUnavailable if "No space left" in text or "Could not write" in text else StoreError
    return kind(f"{path} cannot be opened: {text.strip()}")


def _describe_process(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        arguments = []
    # Before it is cut: what is left of a password could not be told from other text.
    command = masked(" ".join(b" ".join(arguments).decode(errors="replace").split()))
    return f"process {pid} ({command[:_SHOWN_COMMAND_CHARACTERS]})" if command else f"process {pid}"
