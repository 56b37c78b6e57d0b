"""Which logs are whose, where several processes of a machine divide them."""

from __future__ import annotations

import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tailmetrics.errors import StoreUnavailable
from tailmetrics.tailing.discovery import AllLogs, FoundFile
from tailmetrics.tailing.rotation import chain

_WAIT_SECONDS = 30.0  # for another process that decides at this moment

_SCHEMA = """
CREATE TABLE IF NOT EXISTS logs (
    path TEXT PRIMARY KEY,
    bare TEXT NOT NULL,    -- the name without any mark of rotation
    share INTEGER NOT NULL,
    is_log INTEGER NOT NULL,  -- not what rotation made of one
    file TEXT NOT NULL,    -- device and inode
    size INTEGER NOT NULL  -- when the processes were started; 0 of what came later
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_bare ON logs (bare);
CREATE INDEX IF NOT EXISTS by_file ON logs (file);
"""


@dataclass(frozen=True, slots=True)
class _Place:
    share: int
    file: str
    size: int


class Shares(AllLogs):
    """The logs of the shares that are held here, out of `count`; not thread-safe.

    Of which share a log is, is decided once, by the first process that finds it: the one with the fewest. All
    read it from one file. What rotation makes of a log is of the same share, and so is a log under a new
    name: only one process knows how far each of them was read. While that file cannot be written, as on
    a full disk, what is new is followed by nobody. Raises StoreUnavailable when it cannot be made or read.
    """

    def __init__(self, database: Path, count: int, held: frozenset[int], followed_since: datetime) -> None:
        super().__init__(followed_since)
        self._count = count
        self._held = held
        self._places: dict[str, _Place] = {}
        self._problem = ""  # why a decision could not be written
        try:
            self._database = sqlite3.connect(
                database, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            # It outlives processes that are killed, and is made anew when all are started.
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{database}: {error}", subject="the list of divided logs") from error

    def own(self, found: list[FoundFile], missing: dict[str, str]) -> tuple[list[FoundFile], dict[str, str]]:
        new = [file for file in found if self._is_news(file)]
        if new:
            self._decide(new)
            missing = missing | {file.path: self._problem for file in new if self._place_of(file) is None}
        here = [file for file in found if self._is_held(file)]
        return here, {path: reason for path, reason in missing.items() if self.share_of(path) in self._held}

    def owns(self, file: FoundFile) -> bool:
        if self._is_news(file):
            self._decide([file])
        return self._is_held(file)

    def size_at_start(self, file: FoundFile) -> int:
        place = self._place_of(file)
        return 0 if place is None or place.file != _file(file) else place.size

    def share_of(self, path: str) -> int:
        place = self._places.get(chain(path)[0])
        return zlib.crc32(path.encode(errors="replace")) % self._count if place is None else place.share

    def close(self) -> None:
        self._database.close()

    def _place_of(self, file: FoundFile) -> _Place | None:
        return self._places.get(chain(file.path)[0])

    def _is_held(self, file: FoundFile) -> bool:
        place = self._place_of(file)
        return place is not None and place.share in self._held

    def _is_news(self, file: FoundFile) -> bool:
        place = self._place_of(file)
        return place is None or (place.share in self._held and place.file != _file(file))

    def _decide(self, files: list[FoundFile]) -> None:
        before = dict(self._places)
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._place_all(files)
            self._database.execute("COMMIT")
        except BaseException as error:
            self._places = before
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                raise
            self._problem = f"which process follows it cannot be written: {error}"
            self._read_places(files)

    def _read_places(self, files: list[FoundFile]) -> None:
        """Take what is decided already."""
        try:
            for file in files:
                name = chain(file.path)[0]
                row = self._database.execute(
                    "SELECT share, file, size FROM logs WHERE path = ?", (name,)
                ).fetchone()
                if row is not None:
                    self._places[name] = _Place(*row)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error), subject="the list of divided logs") from error

    def _place_all(self, files: Iterable[FoundFile]) -> None:
        rows = self._database.execute("SELECT share, sum(is_log), count(*) FROM logs GROUP BY share")
        logs, is_start = Counter(dict.fromkeys(range(self._count), 0)), True
        for share, own, _ in rows:
            logs[share], is_start = own, False
        # A log before what rotation made of it; large ones side by side.
        for file in sorted(files, key=lambda each: (len(chain(each.path)), -each.size, each.path)):
            self._place(file, logs, file.size if is_start else 0)

    def _place(self, file: FoundFile, logs: Counter[int], size: int) -> None:
        names, key = chain(file.path), _file(file)
        row = self._database.execute(
            "SELECT share, file, size FROM logs WHERE path = ?", names[:1]
        ).fetchone()
        if row is None:
            share = self._share_of_relatives(names, key)
            is_log = share is None
            if share is None:
                share = min(logs, key=lambda each: (logs[each], each))
                logs[share] += 1
            self._database.execute(
                "INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?)", (names[0], names[-1], share, is_log, key, size)
            )
            row = (share, key, size)
        elif row[1] != key and row[0] in self._held:
            self._database.execute("UPDATE logs SET file = ?, size = 0 WHERE path = ?", (key, names[0]))
            row = (row[0], key, 0)
        self._places[names[0]] = _Place(*row)

    def _share_of_relatives(self, names: tuple[str, ...], key: str) -> int | None:
        """The share of the log that a file was made of, or was; else of what was made of it, or beside it.

        web-1.log and web-2.log are logs of their own as long as there is no web.log, x.log.1 and x.log.2
        never are.
        """
        find = self._database.execute
        for name in names[1:]:
            if row := find("SELECT share FROM logs WHERE path = ?", (name,)).fetchone():
                return int(row[0])
        if row := find("SELECT share FROM logs WHERE file = ?", (key,)).fetchone():
            return int(row[0])
        own, bare = names[0], names[-1]
        for path, share in find("SELECT path, share FROM logs WHERE bare = ?", (bare,)):
            if own in chain(path) or (own.startswith(bare) and path.startswith(bare)):
                return int(share)
        return None


def _file(file: FoundFile) -> str:
    return f"{file.device}:{file.inode}"
