"""The write side of the DuckDB file: sources, and commits of records with the positions after them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import duckdb
import polars as pl

from tailmetrics.errors import PositionConflict
from tailmetrics.sources import Batch, Checkpoint, Source
from tailmetrics.stores.duckdb.arrow import FramesStream, FrameStream
from tailmetrics.stores.duckdb.compactor import Settler
from tailmetrics.stores.duckdb.dictionary import Names, split
from tailmetrics.stores.duckdb.file import DuckDBFile, errors_translated
from tailmetrics.stores.duckdb.layout import COLUMNS
from tailmetrics.stores.duckdb.versions import Versions

_MANY_RECORDS = 50_000
_RECORDS_BETWEEN_GIVING_BACK = 500_000  # while more come: pages that were given back are made anew
_FEW_SOURCES = 3  # planning a join takes as long as so many plain updates
_IDLE_MEMORY = "32MB"
_RECORDS_WORTH_A_FRAME = 4096  # frames of fewer are quicker joined than inserted one by one
# A sample that is to be the same each time is taken by one thread, and a sample of all rows is all of them.
# Several threads would each get some of the frames, and none enough to fill a row group.
_BY_ONE_THREAD = "TABLESAMPLE SYSTEM (100 PERCENT) REPEATABLE (1)"


@dataclass(slots=True)
class Counts:
    """What is in the store, in rows and lines; `commits` counts changes since it was opened."""

    records: int
    rejects: int
    blanks: int
    last_reject_id: int
    commits: int = 0


class Writer:
    """Opens the file and keeps what every commit asks for in memory: no other process may change the file.

    Whoever calls a method that writes holds `writing`. `sources` is by source id and always what is durably
    in the file.
    """

    def __init__(self, file: DuckDBFile, names: Names, retention_days: int, writing: threading.Lock) -> None:
        self._writing = writing
        self._file = file
        self._names = names
        self._names_base = 0  # what a number is in the file that is 0 in memory
        self._names_end = 0  # in memory, of those in the file
        self._retention_days = retention_days
        self._damaged = False
        self.versions = Versions()
        self._counting = threading.Lock()
        self._records_since_giving_back = 0
        self._frames = FramesStream()
        self._open()

    def close(self) -> None:
        self._settler.close()
        with errors_translated():
            self._connection.close()
            self._file.close()

    @property
    def is_settled(self) -> bool:
        """Whether all records are sorted as far as they will be while nothing is added."""
        return self._settler.is_settled

    def position(self, source_id: str) -> int | None:
        """The byte offset up to which a source is in the file; None when it is not registered."""
        self._prepare()
        known = self.sources.get(source_id)
        return None if known is None else known.position

    def register(self, sources: Sequence[Source]) -> None:
        """Write those of the sources that are not known yet, all in one commit."""
        self._prepare()
        new = {source.source_id: source for source in sources if source.source_id not in self.sources}
        if not new:
            return
        first_key = max(self._keys.values(), default=0) + 1
        keys = {source_id: first_key + number for number, source_id in enumerate(new)}
        now = _utc_now()
        rows = [
            {
                "source_key": keys[source.source_id],
                "source_id": source.source_id,
                "node_id": source.node_id,
                "device": str(source.device),
                "inode": str(source.inode),
                "epoch": source.epoch,
                **_place(source),
                "since": _naive(source.followed_since) or now,
            }
            for source in new.values()
        ]
        # One statement for any number: a statement for each takes seconds when there are a thousand.
        incoming = FrameStream(pl.DataFrame(rows))  # noqa: F841  # DuckDB finds it by its name
        with self._transaction():
            self._connection.execute(
                """
                INSERT INTO sources
                SELECT source_key, source_id, node_id, device, inode, epoch, path, position, head_length,
                    head_hash, tail_length, tail_hash, 0, 0, 0, since, $now
                FROM incoming
                """,
                {"now": now},
            )
        self._keys.update(keys)
        for source in new.values():
            self.sources[source.source_id] = replace(
                source, committed_at=_aware(now), followed_since=source.followed_since or _aware(now)
            )
        self.counts.commits += 1

    def forget(self, source_ids: Sequence[str], *, with_records: bool) -> int:
        """Drop sources without a reject, and without a record unless `with_records`; returns how many."""
        self._prepare()
        keys = [self._keys[source_id] for source_id in source_ids if source_id in self._keys]
        with self._transaction():
            gone = self._run(
                """
                DELETE FROM sources WHERE list_contains($keys, source_key)
                AND ($with_records OR source_key NOT IN (
                    SELECT source_key FROM settled UNION SELECT source_key FROM fresh
                    UNION SELECT source_key FROM numbered
                ))
                AND source_key NOT IN (SELECT DISTINCT source_key FROM rejects)
                RETURNING source_id
                """,
                {"keys": keys, "with_records": with_records},
            )
        for (source_id,) in gone:
            del self._keys[source_id]
            del self.sources[source_id]
        return len(gone)

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit all batches together or nothing of them. Raises PositionConflict."""
        self._prepare()
        moved = self._sources_after(batches)
        if not moved:
            return
        plain, with_numbers = split(batches)
        fresh = self._with_keys(plain)
        numbered = self._with_keys((source_id, made.records) for source_id, made in with_numbers)
        names_end = max((made.end for _, made in with_numbers), default=0)
        rejects = self._with_keys((batch.source_id, batch.parsed.rejects) for batch in batches)
        record_count = sum(frame.height for frame in (*fresh, *numbered))
        reject_count = sum(frame.height for frame in rejects)
        customers = [records["customer_id"] for batch in batches if (records := batch.parsed.records).height]
        now = _utc_now()
        with self._transaction(customers):
            self._insert_names(names_end)
            self._insert_numbered(numbered)
            self._insert_records(fresh)
            self._insert_rejects(rejects, now)
            self._move_sources(moved, batches, now)
        self._names_end = max(self._names_end, names_end)
        committed_at = _aware(now)
        self.sources.update(
            (source.source_id, replace(source, committed_at=committed_at)) for source in moved
        )
        with self._counting:
            self.counts.records += record_count
            self.counts.rejects += reject_count
            self.counts.last_reject_id += reject_count
            self.counts.blanks += sum(batch.parsed.blanks for batch in batches)
            self.counts.commits += 1
        self._settler.committed(record_count)
        self._records_since_giving_back += record_count

    def give_back_memory(self, *, more_come: bool) -> None:
        """Let go of the blocks just written when they are many: DuckDB would keep as many as it may."""
        if self._records_since_giving_back >= (_RECORDS_BETWEEN_GIVING_BACK if more_come else _MANY_RECORDS):
            # A sort that is under way would be without memory, and fail.
            self._settler.while_at_rest(self._lower_memory)

    def _lower_memory(self) -> None:
        self._records_since_giving_back = 0
        # Refused while the memory is needed, which is as good.
        with contextlib.suppress(duckdb.Error):
            self._connection.execute(f"SET memory_limit = '{_IDLE_MEMORY}'")
        self._connection.execute(f"SET memory_limit = '{self._file.memory_limit}'")

    def _open(self) -> None:
        self._file.open()
        try:
            self._connection = self._file.cursor()
            self._read_state()
            self._drop_names()
            self._settler = Settler(self._file, self._retention_days, self._writing, self._expired)
        except BaseException:
            self._file.close()
            raise

    def _expired(self, records: int, rejects: int) -> None:
        self.versions.all_changed()
        with self._counting:
            self.counts.records -= records
            self.counts.rejects -= rejects
            self.counts.commits += 1

    def _read_state(self) -> None:
        with errors_translated():
            rows = self._run(
                "SELECT source_key, source_id, node_id, device, inode, epoch, path, position, head_length, "
                "head_hash, tail_length, tail_hash, updated_at, registered_at FROM sources"
            )
            [counts] = self._run(
                "SELECT (SELECT count(*) FROM settled) + (SELECT count(*) FROM fresh) "
                "+ (SELECT count(*) FROM numbered), (SELECT count(*) FROM rejects), "
                "(SELECT coalesce(sum(blanks), 0)::BIGINT FROM sources), "
                "(SELECT coalesce(max(id), 0) FROM rejects)"
            )
        self._keys = {source_id: key for key, source_id, *_ in rows}
        self.sources = {
            source_id: Source(
                source_id,
                node_id,
                int(device),
                int(inode),
                epoch,
                path,
                Checkpoint(*point),
                _aware(committed_at),
                _aware(since),
            )
            for _, source_id, node_id, device, inode, epoch, path, *point, committed_at, since in rows
        }
        self.counts = Counts(*counts)

    def _drop_names(self) -> None:
        """Drop the names of records that were sorted, which have them themselves; new ones come behind."""
        with errors_translated():
            self._run(
                "DELETE FROM names WHERE number < (SELECT coalesce("
                "least(min(customer_number), min(path_number)), 2147483647) FROM numbered)"
            )
            [(self._names_base,)] = self._run("SELECT coalesce(max(number) + 1, 0) FROM names")
        self._names_end = 0

    def _prepare(self) -> None:
        if self._damaged:
            # After a fatal error DuckDB refuses everything until the database is opened anew; what the file
            # holds then is the truth, whatever memory says.
            commits = self.counts.commits
            self.close()
            self._open()
            self.counts.commits = commits + 1
            self._damaged = False
        self._file.check_present()

    @contextlib.contextmanager
    def _transaction(self, customers: Sequence[pl.Series] = ()) -> Iterator[None]:
        """What is done in it is committed together; `customers` are those whose records it adds."""
        with errors_translated():
            try:
                self._connection.begin()
                yield
                with self.versions.changing(customers) if customers else contextlib.nullcontext():
                    self._connection.commit()
            except BaseException as error:
                self._damaged = isinstance(error, duckdb.FatalException)
                # A commit that failed has rolled back already.
                with contextlib.suppress(duckdb.Error):
                    self._connection.rollback()
                raise

    def _sources_after(self, batches: Iterable[Batch]) -> list[Source]:
        moved: dict[str, Source] = {}
        for batch in batches:
            source = moved.get(batch.source_id) or self.sources.get(batch.source_id)
            if source is None or source.position != batch.start:
                raise PositionConflict(
                    batch.source_id, batch.start, None if source is None else source.position
                )
            moved[batch.source_id] = replace(source, path=batch.path, checkpoint=batch.checkpoint)
        return list(moved.values())

    def _with_keys(self, frames: Iterable[tuple[str, pl.DataFrame]]) -> list[pl.DataFrame]:
        """Those of the frames that have rows, with the keys of their sources."""
        return [
            frame.clone().insert_column(
                0, pl.Series("source_key", [self._keys[source_id]], pl.Int32).new_from_index(0, frame.height)
            )
            for source_id, frame in frames
            if frame.height
        ]

    # DuckDB finds the frames by their names among the local variables of whoever calls execute: registering a
    # view for each commit would take as long as the insert of a short one.

    def _insert_names(self, end: int) -> None:
        """Those of the names below `end` that are not in the file yet."""
        if end > self._names_end:
            incoming = FrameStream(self._names.between(self._names_end, end))  # noqa: F841
            self._connection.execute(
                "INSERT INTO names SELECT number + $base, name FROM incoming", {"base": self._names_base}
            )

    def _insert_records(self, frames: Sequence[pl.DataFrame]) -> None:
        if not frames:
            return
        if sum(frame.height for frame in frames) < len(frames) * _RECORDS_WORTH_A_FRAME:
            frames = [pl.concat(frames, rechunk=True)]
        self._insert_frames(f"INSERT INTO fresh SELECT {COLUMNS} FROM", frames)

    def _insert_numbered(self, frames: Sequence[pl.DataFrame]) -> None:
        if frames:
            self._insert_frames(
                'INSERT INTO numbered SELECT source_key, "offset", timestamp, customer_number + $base, '
                "path_number + $base, status_code, duration FROM",
                frames,
                {"base": self._names_base},
            )

    def _insert_frames(
        self, insert: str, frames: Sequence[pl.DataFrame], parameters: dict[str, int] | None = None
    ) -> None:
        if len(frames) == 1:
            frame = FrameStream(frames[0])  # noqa: F841
            self._connection.execute(f"{insert} frame", parameters or {})
            return
        with self._frames.of(frames) as stream:  # noqa: F841
            self._connection.execute(f"{insert} stream {_BY_ONE_THREAD}", parameters or {})

    def _insert_rejects(self, frames: Sequence[pl.DataFrame], now: datetime) -> None:
        if not frames:
            return
        frame = pl.concat(frames, rechunk=True).with_row_index("id", self.counts.last_reject_id + 1)
        incoming = FrameStream(frame)  # noqa: F841
        self._connection.execute(
            'INSERT INTO rejects SELECT id, source_key, "offset", reason, line, $now FROM incoming',
            {"now": now},
        )

    def _move_sources(self, sources: Iterable[Source], batches: Iterable[Batch], now: datetime) -> None:
        rows = {
            source.source_id: {
                "source_key": self._keys[source.source_id],
                "records": 0,
                "rejects": 0,
                "blanks": 0,
                **_place(source),
            }
            for source in sources
        }
        for batch in batches:
            row = rows[batch.source_id]
            row["records"] += batch.parsed.records.height
            row["rejects"] += batch.parsed.rejects.height
            row["blanks"] += batch.parsed.blanks
        if len(rows) <= _FEW_SOURCES:
            for row in rows.values():
                self._connection.execute(
                    """
                    UPDATE sources SET
                        path = $path, position = $position, head_length = $head_length,
                        head_hash = $head_hash, tail_length = $tail_length, tail_hash = $tail_hash,
                        records = records + $records, rejects = rejects + $rejects,
                        blanks = blanks + $blanks, updated_at = $now
                    WHERE source_key = $source_key
                    """,
                    {**row, "now": now},
                )
            return
        # One statement for all of them: one for each takes seconds when there are a thousand.
        incoming = FrameStream(pl.DataFrame(list(rows.values())))  # noqa: F841
        self._connection.execute(
            """
            UPDATE sources SET
                path = incoming.path, position = incoming.position,
                head_length = incoming.head_length, head_hash = incoming.head_hash,
                tail_length = incoming.tail_length, tail_hash = incoming.tail_hash,
                records = sources.records + incoming.records, rejects = sources.rejects + incoming.rejects,
                blanks = sources.blanks + incoming.blanks, updated_at = $now
            FROM incoming WHERE sources.source_key = incoming.source_key
            """,
            {"now": now},
        )

    def _run(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters or {}).fetchall()


def _place(source: Source) -> dict[str, Any]:
    point = source.checkpoint
    return {
        "path": source.path,
        "position": point.position,
        "head_length": point.head_length,
        "head_hash": point.head_hash,
        "tail_length": point.tail_length,
        "tail_hash": point.tail_hash,
    }


def _utc_now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc)


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(timezone.utc).replace(tzinfo=None)
