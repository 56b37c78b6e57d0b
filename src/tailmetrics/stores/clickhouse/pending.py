"""What follows the entry of a commit in the log: its rows, or a fence in their place.

There are no transactions. A commit is an entry of the log, which moves its sources and has one writer; then
its rejects and its records follow, each in one insert whose token is the entry's number; then the entry is
done. Who needs a source whose last entry is pending inserts fences with the same token: either the rows are
there already, and the fence is left out, or they can never come any more, and another entry puts the sources
back to where they were. So rows are seen only where their commit stands, and all who ask of an entry come to
the same answer, whoever was killed, stopped or cut off at whatever point.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import polars as pl

from tailmetrics.stores.clickhouse.connection import Connection
from tailmetrics.stores.clickhouse.log import Entry, Log, Pending, Place
from tailmetrics.stores.clickhouse.rows import fence, of_commit
from tailmetrics.stores.clickhouse.schema import IS_REJECT, IS_REQUEST

GRACE_SECONDS: Final = 5.0  # that a writer has to end a commit before another one who needs its sources does
_POLL_SECONDS = 0.1
_WRITER = re.compile(r"process (\d+) on (.*) \(\w+\)")


class Settlement:
    """Brings entries of the log to their ends, for one writer."""

    def __init__(self, connection: Connection, log: Log) -> None:
        self._connection = connection
        self._log = log
        self._settled = 0  # up to this number no entry is pending

    def follow(self, number: int, entry: Entry, rows: Mapping[str, pl.DataFrame]) -> bool:
        """Insert the rows of an entry of this writer; False when it was undone instead."""
        began = time.monotonic()
        for table, of_table in rows.items():
            if of_table.height:
                self._connection.insert(table, of_commit(table, of_table, number), str(number))
        is_undone = False
        if self._is_whole(number, entry.records, entry.kept_rejects) and (
            time.monotonic() - began < GRACE_SECONDS
        ):
            self._log.done(number)
        else:
            self._end(self._of_number(number))
            if is_undone := self._is_undone(number):
                # Its rows are there if it was stopped for so long that the server has forgotten the fence.
                self._delete_rows(number, entry.records, entry.kept_rejects)
        self._log.is_behind = False
        return not is_undone

    def settle(self, places: Iterable[Place]) -> bool:
        """End what is pending of some sources; whether they may stand elsewhere now."""
        open_ = {
            place.number
            for place in places
            if place.number > self._settled and place.writer != self._log.writer
        }
        if not open_ and not self._log.is_behind:
            return False
        last = self._log.state.number
        pending = [entry for entry in self._log.pending() if entry.expired is None]
        ending = [entry for entry in pending if entry.number in open_ or entry.writer == self._log.writer]
        for entry in ending:
            self._end(entry)
        # Of what is ended, others may have claimed the entries in between: only a look that finds none tells.
        self._log.is_behind = bool(ending)
        if ending:
            self._log.reread()
        else:
            self._settled = min([last, *(entry.number - 1 for entry in pending)])
        return bool(ending)

    def settle_all(self) -> None:
        """End all that is pending now, whoever writes it."""
        if pending := self._log.pending():
            for entry in pending:
                self._end(entry)
            self._log.reread()

    def missing(self) -> set[int]:
        """The numbers of entries whose rows are not all there."""
        return {
            entry.number
            for entry in self._log.pending()
            if not self._is_whole(entry.number, entry.records, entry.kept_rejects)
        }

    def _end(self, entry: Pending | None) -> None:
        """Bring an entry to the end that its rows tell, once none can come any more."""
        entry = self._when_over(entry)
        if entry is None:
            return
        if entry.expired is not None:
            self._log.delete_expired(entry.number, entry.expired)
            return
        for table in self._tables(entry.records, entry.kept_rejects):
            for settings in self._shards(table):
                self._connection.insert(table, fence(table, entry.number), str(entry.number), **settings)
        if self._is_whole(entry.number, entry.records, entry.kept_rejects):
            self._log.done(entry.number)
            return
        self._delete_rows(entry.number, entry.records, entry.kept_rejects)
        self._undo(entry)

    def _delete_rows(self, number: int, records: int, kept_rejects: int) -> None:
        for table, is_row in self._tables(records, kept_rejects).items():
            rows = f"commit = {number} AND {is_row}"
            if self._connection.rows(f"SELECT 1 FROM {table} WHERE {rows} LIMIT 1"):
                self._connection.delete(table, rows)

    def _undo(self, entry: Pending) -> None:
        """Put the sources of an entry back to where they were before it."""
        while True:
            self._log.reread()
            _ = (
                self._log.state
            )  # before what is read of the entry: nothing has changed if the next one is ours
            if self._of_number(entry.number) is None:
                return
            undone = Entry(
                records=-entry.records,
                rejects=-entry.rejects,
                blanks=-entry.blanks,
                spans=entry.spans,
                undoes=entry.number,
                places=[
                    replace(place, source=place.before or place.source, before=None)
                    for place in self._log.moved_by(entry.number)
                ],
            )
            if self._log.claim(undone) is not None:
                return

    def _when_over(self, entry: Pending | None) -> Pending | None:
        """The entry when it is pending still, once its writer had time to end it or has ended itself."""
        while entry is not None and self._may_live(entry) and entry.age_us < GRACE_SECONDS * 1e6:
            time.sleep(_POLL_SECONDS)
            entry = self._of_number(entry.number)
        return entry

    def _may_live(self, entry: Pending) -> bool:
        found = _WRITER.fullmatch(entry.writer)
        if found is None or found[2] != socket.gethostname():
            return True
        process = int(found[1])
        if process == os.getpid():
            return False
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def _is_whole(self, number: int, records: int, kept_rejects: int) -> bool:
        """Whether an entry's rows are there; its rejects are one block."""
        for table, is_row in self._tables(records, kept_rejects).items():
            rows = f"SELECT count() FROM {table} WHERE commit = {number} AND {is_row}"
            [(found,)] = self._connection.rows(rows)
            if found < (records if table == "records" else 1):
                return False
        return True

    def _is_undone(self, number: int) -> bool:
        return bool(
            self._connection.rows(f"SELECT 1 FROM log WHERE source_id = '' AND undoes = {number} LIMIT 1")
        )

    def _of_number(self, number: int) -> Pending | None:
        return next((entry for entry in self._log.pending() if entry.number == number), None)

    def _tables(self, records: int, kept_rejects: int) -> dict[str, str]:
        """The tables in which an entry has rows, with what tells them from a fence."""
        tables = {"rejects": IS_REJECT} if kept_rejects else {}
        return {**tables, "records": IS_REQUEST} if records else tables

    def _shards(self, table: str) -> Iterator[dict[str, int]]:
        """Settings to insert into one shard after the other."""
        if table == "records" and self._connection.address.cluster is not None:
            yield from ({"insert_shard_id": shard} for shard in self._connection.shards())
        else:
            yield {}
