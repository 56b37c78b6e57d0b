"""What is deleted as time goes by: what is past its retention, and rejects beyond what is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from datetime import timedelta

from tailmetrics.errors import StoreRefused, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.clickhouse.connection import Connection, quoted
from tailmetrics.stores.clickhouse.log import Entry, Log, now
from tailmetrics.stores.clickhouse.notes import EXPIRY, keep_note
from tailmetrics.stores.clickhouse.schema import IS_REJECT, IS_REQUEST
from tailmetrics.stores.reject_limits import halves, kept_of_source
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


class Upkeep:
    """Deletes, for one writer."""

    def __init__(self, connection: Connection, log: Log, settings: Settings) -> None:
        self._connection = connection
        self._log = log
        self._retention_days = settings.retention_days
        self._max_rejects_kept = settings.max_rejects_kept
        self._next_expiry = 0.0

    def expire(self) -> None:
        """Delete what is older than the retention, now and then; a commit does not fail by it."""
        if not self._retention_days or time.monotonic() < self._next_expiry:
            return
        self._next_expiry = time.monotonic() + _SECONDS_BETWEEN_TRIES
        try:
            if self._takes_turn(_SECONDS_BETWEEN_TRIES):
                self._expire()
                self._takes_turn(_SECONDS_BETWEEN_EXPIRIES, again=True)
        except (StoreUnavailable, StoreRefused) as error:
            _events.warning("RETENTION_DAYS not applied", error=str(error), again_in=_SECONDS_BETWEEN_TRIES)

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
        below = self._first_pending()
        records = f"{IS_REQUEST} AND time_us < {oldest} AND commit < {below}"
        rejects = f"{IS_REJECT} AND seen_us < {oldest} AND commit < {below}"
        [(gone, first_us)] = self._connection.rows(
            f"SELECT count(), min(time_us) FROM records WHERE {records}"
        )
        [(rejected,)] = self._connection.rows(f"SELECT count() FROM rejects WHERE {rejects}")
        if gone:
            self._connection.delete("records", records)
        if rejected:
            self._connection.delete("rejects", rejects)
        self._count(rejected, first_us if gone else EARLIEST_US, oldest)
        if gone or rejected:
            began = from_us(first_us) if gone else None
            log_deleted(self._retention_days, from_us(oldest), began, gone, rejected)

    def limit_rejects(self, source_ids: Collection[str]) -> None:
        """Leave of some sources, and of all together, the first and the last ones."""
        counted = dict(
            self._connection.rows(
                f"SELECT source_id, count() FROM rejects WHERE {IS_REJECT} GROUP BY source_id"
            )
        )
        of_source = kept_of_source(self._max_rejects_kept)
        for source_id in source_ids:
            if counted.get(source_id, 0) > of_source:
                self._keep_ends(f"source_id = {quoted(source_id)}", of_source)
                counted[source_id] = of_source
        if sum(counted.values()) > self._max_rejects_kept:
            self._keep_ends(IS_REJECT, self._max_rejects_kept)

    def _keep_ends(self, where: str, kept: int) -> None:
        first, last = halves(kept)
        places = f"SELECT place FROM rejects WHERE {where} ORDER BY place"
        low = self._connection.rows(f"{places} LIMIT 1 OFFSET {first - 1}")
        high = self._connection.rows(f"{places} DESC LIMIT 1 OFFSET {last - 1}")
        if low and high and low[0][0] < high[0][0]:
            between = f"{where} AND place > {low[0][0]} AND place < {high[0][0]}"
            self._connection.delete("rejects", f"{between} AND commit < {self._first_pending()}")

    def _first_pending(self) -> int:
        """The number below which no entry is pending: what is, is told by its rows, and has to keep them."""
        self._log.reread()
        return min([self._log.state.number + 1, *(entry.number for entry in self._log.pending())])

    def _count(self, rejected: int, first_us: int, end_us: int) -> None:
        """Note in the log what was deleted.

        Records are counted, so that what somebody deleted who did not come to note it is noted, too.
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
            left = max(0, state.rejects - rejected)
            if rejected and not self._connection.rows(f"SELECT 1 FROM rejects WHERE {IS_REJECT} LIMIT 1"):
                left = 0  # with the last row go those that have none
            if gone <= 0 and left == state.rejects:
                return
            spans = spans_as_text([(first_us, end_us)]) if gone > 0 else ""
            entry = Entry(records=-max(0, gone), rejects=left - state.rejects, spans=spans)
            if self._log.claim(entry) is not None:
                return
