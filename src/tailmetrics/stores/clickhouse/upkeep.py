"""What is deleted as time goes by: what is past its retention, and rejects beyond what is kept."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta

from tailmetrics.settings import Settings
from tailmetrics.stores.clickhouse.connection import Connection, quoted
from tailmetrics.stores.clickhouse.log import Entry, Log, now
from tailmetrics.stores.clickhouse.schema import IS_REJECT, IS_REQUEST
from tailmetrics.stores.reject_limits import halves, kept_of_source
from tailmetrics.stores.retention import log_deleted
from tailmetrics.stores.summaries.manifest import spans_as_text
from tailmetrics.windows import from_us, to_us

# Each time all parts with records that are too old are read and marked.
_SECONDS_BETWEEN_EXPIRIES = 3600.0


class Upkeep:
    """Deletes, for one writer."""

    def __init__(self, connection: Connection, log: Log, settings: Settings) -> None:
        self._connection = connection
        self._log = log
        self._retention_days = settings.retention_days
        self._max_rejects_kept = settings.max_rejects_kept
        self._next_expiry = 0.0

    def expire(self) -> None:
        """Delete what is older than the retention, now and then."""
        if not self._retention_days or time.monotonic() < self._next_expiry:
            return
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
        if gone or rejected:
            self._count(gone, rejected, spans_as_text([(first_us, oldest)]) if gone else "")
            began = from_us(first_us) if gone else None
            log_deleted(self._retention_days, from_us(oldest), began, gone, rejected)
        self._next_expiry = time.monotonic() + _SECONDS_BETWEEN_EXPIRIES

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

    def _count(self, gone: int, rejected: int, spans: str) -> None:
        """Note in the log what was deleted."""
        while True:
            left = self._log.state.rejects - rejected
            if not self._connection.rows(f"SELECT 1 FROM rejects WHERE {IS_REJECT} LIMIT 1"):
                left = 0  # with the last row go those that have none
            entry = Entry(records=-gone, rejects=left - self._log.state.rejects, spans=spans)
            if self._log.claim(entry) is not None:
                return
