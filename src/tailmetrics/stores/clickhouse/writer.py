"""The write side of the ClickHouse store: sources, and commits of records with the positions after them."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime

import polars as pl

from tailmetrics.errors import PositionConflict, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Source
from tailmetrics.status import SourceStatus
from tailmetrics.stores.clickhouse.connection import Connection, listed
from tailmetrics.stores.clickhouse.expiry import Expiry
from tailmetrics.stores.clickhouse.log import KEPT_ENTRIES, Entry, Log, Place, now
from tailmetrics.stores.clickhouse.pending import Settlement
from tailmetrics.stores.clickhouse.rows import record_rows, reject_rows
from tailmetrics.stores.clickhouse.upkeep import Upkeep
from tailmetrics.stores.reject_limits import kept_of_source, thinned
from tailmetrics.stores.summaries.manifest import spans_as_text
from tailmetrics.stores.windowing import spans_touched
from tailmetrics.windows import to_us

_Places = Mapping[str, Place | None]

_MOST_TRIES = 100  # while others are quicker
_TRIM_EVERY = KEPT_ENTRIES // 10


class ClickHouseWriter:
    """Commits to a database that other processes may write to as well."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._max_rejects_kept = settings.max_rejects_kept
        name = f"process {os.getpid()} on {socket.gethostname()} ({secrets.token_hex(4)})"
        self._log = Log(connection, name)
        self._settlement = Settlement(connection, self._log)
        self._upkeep = Upkeep(connection, self._log, settings.max_rejects_kept)
        self._expiry = Expiry(connection, name, settings)
        self._lock = threading.Lock()

    def sources(self, node_id: str | None) -> Sequence[Source]:
        return self._standing(self._log.of_node(node_id))

    def all_sources(self) -> Sequence[Source]:
        """All there are, none of them in the midst of a commit that was interrupted."""
        with self._lock:
            self._settlement.settle_all()
        return self._standing(self._log.of_all())

    def _standing(self, places: Sequence[Place]) -> Sequence[Source]:
        """Sources, those of an entry whose rows are not there where they stood before it."""
        missing = self._settlement.missing() if places else set()
        return [
            place.before if place.before is not None and place.number in missing else place.source
            for place in places
        ]

    def source(self, source_id: str) -> Source | None:
        """A source where it stands for good: whoever was moving it has ended, or is shut out."""
        with self._lock:
            self._log.reread()
            place = self._settled([source_id])[source_id]
            return None if place is None or place.is_gone else place.source

    def register(self, new: Sequence[Source]) -> None:
        """Write those of the sources that are not known yet, all in one commit."""

        def entry(places: _Places) -> Entry | None:
            at = now()
            unknown = {source.source_id: source for source in new if not _is_known(places[source.source_id])}
            registered = [
                Place(
                    replace(source, committed_at=at, followed_since=source.followed_since or at),
                    0,
                    self._log.writer,
                )
                for source in unknown.values()
            ]
            return Entry(places=registered) if registered else None

        with self._lock:
            self._log.reread()
            self._claim([source.source_id for source in new], entry)

    def forget(self, source_ids: Sequence[str], *, with_records: bool) -> int:
        """Drop sources without a reject, and without a record unless `with_records`; returns how many."""
        if not source_ids:
            return 0
        dropped: list[Place] = []

        def entry(places: _Places) -> Entry | None:
            held = self._held(source_ids, with_records=with_records)
            known = [place for place in places.values() if place is not None and not place.is_gone]
            dropped[:] = [
                replace(place, is_gone=True) for place in known if place.source.source_id not in held
            ]
            return Entry(places=dropped) if dropped else None

        with self._lock:
            self._log.reread()
            self._claim(source_ids, entry)
            return len(dropped)

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit all batches together or nothing of them. Raises PositionConflict."""
        with self._lock:
            self._expiry.begin()
            if not batches:
                return
            kept = kept_of_source(self._max_rejects_kept)
            rejects = reject_rows([thinned(batch, kept) for batch in batches])
            records = record_rows(batches)
            entry = Entry(
                records=records.height,
                rejects=sum(batch.rejects for batch in batches),
                kept_rejects=rejects.height,
                blanks=sum(batch.parsed.blanks for batch in batches),
                spans=spans_as_text(spans_touched([batch.parsed.records["timestamp"] for batch in batches])),
            )
            number = self._commit(batches, entry, {"rejects": rejects, "records": records})
            if rejects.height:
                self._upkeep.limit_rejects(rejects["source_id"].unique().to_list())
            if number % _TRIM_EVERY == 0:
                self._log.trim()

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        said = json.dumps([asdict(status) for status in statuses], default=datetime.isoformat)
        row = pl.DataFrame({"processor": [processor], "said_us": [to_us(now())], "statuses": [said]})
        self._connection.insert("reports", row, secrets.token_hex(8))

    def close(self) -> None:
        self._expiry.close()

    def _commit(self, batches: Sequence[Batch], entry: Entry, rows: Mapping[str, pl.DataFrame]) -> int:
        """Claim the entry and insert its rows, again where somebody shut them out; its number."""
        source_ids = [batch.source_id for batch in batches]
        for _ in range(_MOST_TRIES):
            number = self._claim(
                source_ids, lambda places: replace(entry, places=self._moved(batches, places))
            )
            if number is not None and (entry.is_done or self._settlement.follow(number, entry, rows)):
                return number
        raise StoreUnavailable(
            f"{self._connection.address}: a commit was shut out again and again; try later"
        )

    def _claim(self, source_ids: Sequence[str], make: Callable[[_Places], Entry | None]) -> int | None:
        """Write the entry that `make` makes of where sources stand; None when there is none to make.

        An error is only raised of what was read just now, as what is remembered may be out of date.
        """
        is_fresh = False
        for _ in range(_MOST_TRIES):
            try:
                entry = make(self._settled(source_ids))
            except PositionConflict:
                if is_fresh:
                    raise
                self._log.reread()
                is_fresh = True
                continue
            number = None if entry is None else self._log.claim(entry)
            if entry is None or number is not None:
                return number
        raise StoreUnavailable(f"{self._connection.address}: others write to its log without a pause")

    def _settled(self, source_ids: Sequence[str]) -> _Places:
        """Where sources stand, of which none is being moved."""
        while True:
            places = self._log.places(source_ids)
            if not self._settlement.settle(place for place in places.values() if place is not None):
                return places

    def _moved(self, batches: Sequence[Batch], places: _Places) -> list[Place]:
        """The sources behind their batches. Raises PositionConflict."""
        moved: dict[str, Place] = {}
        at = now()
        for batch in batches:
            before = moved.get(batch.source_id) or places[batch.source_id]
            if before is None or before.is_gone or before.source.position != batch.start:
                raise self._conflict(batch, before)
            source = replace(before.source, path=batch.path, checkpoint=batch.checkpoint, committed_at=at)
            first = moved[batch.source_id].before if batch.source_id in moved else before.source
            moved[batch.source_id] = Place(source, 0, self._log.writer, first)
        return list(moved.values())

    def _conflict(self, batch: Batch, place: Place | None) -> PositionConflict:
        if place is None or place.is_gone:
            return PositionConflict(batch.source_id, batch.start, None)
        holder = None if place.writer == self._log.writer else place.writer.rpartition(" (")[0]
        return PositionConflict(batch.source_id, batch.start, place.source.position, holder)

    def _held(self, source_ids: Sequence[str], *, with_records: bool) -> set[str]:
        """The sources of rejects, and unless `with_records` of records."""
        columns = {"rejects": "source_id", **({} if with_records else {"records": "source"})}
        return {
            source_id
            for table, column in columns.items()
            for (source_id,) in self._connection.rows(
                f"SELECT DISTINCT {column} FROM {table} WHERE {column} IN ({listed(source_ids)})"
            )
        }


def _is_known(place: Place | None) -> bool:
    return place is not None and not place.is_gone
