"""Rejects beyond what is kept are deleted: of each source, and of all, the first and the last ones stay."""

from __future__ import annotations

from collections.abc import Collection

from tailmetrics.stores.clickhouse.connection import Connection, quoted
from tailmetrics.stores.clickhouse.log import Log
from tailmetrics.stores.clickhouse.schema import IS_REJECT
from tailmetrics.stores.reject_limits import halves, kept_of_source


class Upkeep:
    """Deletes, for one writer."""

    def __init__(self, connection: Connection, log: Log, max_rejects_kept: int) -> None:
        self._connection = connection
        self._log = log
        self._max_rejects_kept = max_rejects_kept

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
            self._connection.delete("rejects", f"{between} AND commit < {self._log.first_pending()}")
