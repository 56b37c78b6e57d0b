"""What is past its retention is deleted by one writer of all, beside commits, none of which waits for it.

Rejects that are gone are told by nothing but their number. So an entry of the log says first which of them go
and how many these are, and is pending until they are gone: whoever finds it later, as its writer died, has
them deleted again. Of records those that are there are counted.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta

from tailmetrics.errors import StoreError
from tailmetrics.settings import Settings
from tailmetrics.stores.clickhouse.connection import Connection, quoted
from tailmetrics.stores.clickhouse.log import Entry, Expired, Log, now
from tailmetrics.stores.clickhouse.notes import EXPIRY, keep_note
from tailmetrics.stores.clickhouse.schema import IS_REJECT, IS_REQUEST
from tailmetrics.stores.retention import log_deleted
from tailmetrics.stores.summaries.manifest import spans_as_text
from tailmetrics.stores.windowing import EARLIEST_US
from tailmetrics.telemetry.log import EventLog
from tailmetrics.windows import from_us, to_us

_events = EventLog()

# Each time all parts with records that are too old are read and marked.
_SECONDS_BETWEEN_EXPIRIES = 3600.0
# More than a statement may take.
_SECONDS_BETWEEN_TRIES = 600.0
_SECONDS_AT_CLOSE = 5.0


class Expiry:
    """Deletes by RETENTION_DAYS, for one writer, in a thread with a view of the log of its own."""

    def __init__(self, connection: Connection, writer: str, settings: Settings) -> None:
        self._connection = connection
        self._log = Log(connection, writer)
        self._retention_days = settings.retention_days
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def begin(self) -> None:
        """Delete what is older than the retention, now and then; nobody waits for it."""
        is_running = self._thread is not None and self._thread.is_alive()
        if not self._retention_days or is_running or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS_BETWEEN_TRIES
        self._thread = threading.Thread(target=self.expire, name="clickhouse-expiry", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let what is being deleted come to its end, but no longer than a moment: another writer ends it."""
        self._is_closed = True
        if self._thread is not None:
            self._thread.join(_SECONDS_AT_CLOSE)

    def expire(self) -> None:
        """Delete what is older than the retention, unless another writer does; what fails is said."""
        try:
            if self._takes_turn(_SECONDS_BETWEEN_TRIES):
                self._expire()
                self._takes_turn(_SECONDS_BETWEEN_EXPIRIES, again=True)
        except StoreError as error:
            if not self._is_closed:
                _events.warning(
                    "RETENTION_DAYS not applied", error=str(error), again_in=_SECONDS_BETWEEN_TRIES
                )

    def _takes_turn(self, seconds: float, *, again: bool = False) -> bool:
        """Whether of all who write this one expires now; the others leave it to it for so long."""
        name = f"name = {quoted(EXPIRY)}"
        rows = self._connection.rows(
            f"SELECT version, text FROM notes WHERE {name} ORDER BY version DESC LIMIT 1"
        )
        version, until = (rows[0][0], json.loads(rows[0][1])) if rows else (0, {})
        is_free = to_us(now()) >= until.get("until_us", 0)
        if not is_free and not (again and until["by"] == self._log.writer):
            return False
        text = json.dumps({"by": self._log.writer, "until_us": to_us(now() + timedelta(seconds=seconds))})
        return keep_note(self._connection, EXPIRY, text, version)

    def _expire(self) -> None:
        oldest = to_us(now() - timedelta(days=self._retention_days))
        for entry in self._log.pending():
            if entry.expired is not None:
                self._log.delete_expired(entry.number, entry.expired)
        rejected = self._delete_rejects(oldest)
        gone, first_us = self._delete_records(oldest)
        self._count(first_us, oldest)
        if gone or rejected:
            began = from_us(first_us) if gone else None
            log_deleted(self._retention_days, from_us(oldest), began, gone, rejected)

    def _delete_rejects(self, oldest_us: int) -> int:
        """Delete rejects that were seen before a time; how many there were."""
        while True:
            below = self._log.first_pending()
            state, expired = self._log.state, Expired(oldest_us, below)
            [(rejected, there)] = self._connection.rows(
                f"SELECT countIf({expired.where}), count() FROM rejects WHERE {IS_REJECT}"
            )
            if not rejected:
                return 0
            # With the last row go those that have none.
            is_last = rejected == there and below > state.number
            gone = state.rejects if is_last else min(rejected, state.rejects)
            number = self._log.claim(Entry(rejects=-gone, expired=expired))
            if number is not None:
                self._log.delete_expired(number, expired)
                return int(rejected)

    def _delete_records(self, oldest_us: int) -> tuple[int, int]:
        """Delete records of before a time; how many there were, and the time of the first one."""
        old = f"{IS_REQUEST} AND time_us < {oldest_us} AND commit < {self._log.first_pending()}"
        [(gone, first_us)] = self._connection.rows(f"SELECT count(), min(time_us) FROM records WHERE {old}")
        if not gone:
            return 0, EARLIEST_US
        self._connection.delete("records", old)
        return gone, first_us

    def _count(self, first_us: int, end_us: int) -> None:
        """Note in the log how many records were deleted.

        They are counted, so that what somebody deleted who did not come to note it is noted, too.
        """
        while True:
            self._log.reread()
            state = self._log.state
            pending = [entry for entry in self._log.pending() if entry.number <= state.number]
            numbers = "".join(f" AND commit != {entry.number}" for entry in pending)
            [(there,)] = self._connection.rows(
                f"SELECT count() FROM records WHERE {IS_REQUEST} AND commit <= {state.number}{numbers}"
            )
            gone = state.records - sum(entry.records for entry in pending) - there
            if gone <= 0:
                return
            entry = Entry(records=-gone, spans=spans_as_text([(first_us, end_us)]))
            if self._log.claim(entry) is not None:
                return
