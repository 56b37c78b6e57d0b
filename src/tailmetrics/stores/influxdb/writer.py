"""The write side of the InfluxDB store: sources, records, rejects, and the positions after them."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone

import polars as pl

from tailmetrics.errors import PositionConflict, RecordsRefused, Refusal, SourceHeld, StoreError
from tailmetrics.sources import Batch, Source
from tailmetrics.status import SourceStatus
from tailmetrics.stores.influxdb.leases import Holder, Leases
from tailmetrics.stores.influxdb.line_protocol import point, record_lines
from tailmetrics.stores.influxdb.meta_queries import (
    ALL_SOURCES,
    LAST_ORDER,
    ORDERS_A_MICROSECOND,
    SOURCES,
    STATUSES_A_POINT,
    sources_by_id,
)
from tailmetrics.stores.influxdb.record_points import line_numbers, point_keys
from tailmetrics.stores.influxdb.server import LINES_A_REQUEST, Server
from tailmetrics.stores.influxdb.source_points import (
    StoredSource,
    assign_lanes,
    committed,
    line_of,
    node_tag,
    registered,
    stored_source,
)
from tailmetrics.stores.reject_limits import halves, kept_of_source
from tailmetrics.stores.summaries.manifest import spans_as_text
from tailmetrics.stores.windowing import Span, spans_touched
from tailmetrics.windows import to_us

_IDS_A_QUERY = 200
_COPIED_ORDERS = 1 << 20  # from that of a time on, in which those of one commit lie
_LAST_REJECTS = "-last"  # behind the lane's name: their times are places, which lines' numbers may be too


class Journal:
    """Which times each commit of this process touched, in the order of commits."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(6)
        self._place = 0

    def line(self, spans: Sequence[Span]) -> str:
        """The point of the next commit."""
        self._place += 1
        return point("journal", {"journal": self._name}, {"spans": spans_as_text(spans)}, self._place)


class InfluxDBWriter:
    """Commits for the sources that this processor holds, of which it keeps the state in memory.

    Another processor that holds a source, and lives, is an error; of one that has ended the sources are
    taken over.
    """

    def __init__(self, server: Server, max_rejects_kept: int) -> None:
        self._server = server
        self._kept_of_source = kept_of_source(max_rejects_kept)
        self._leases = Leases(server)
        self._held: dict[str, StoredSource] = {}
        self._of_node: dict[str, dict[str, StoredSource]] = {}
        self._last_order = 0
        self._journal = Journal()

    def sources(self, node_id: str | None) -> dict[str, StoredSource]:
        """All sources of a node by their ids; None: files of all nodes."""
        if node_id is None:
            found = self._stored(ALL_SOURCES, {})
            return {key: stored for key, stored in found.items() if stored.source.is_of(None)}
        found = self._stored(SOURCES, {"node": node_tag(node_id)})
        self._of_node[node_id] = found
        return dict(found)

    def all_sources(self) -> list[Source]:
        return [stored.source for stored in self._stored(ALL_SOURCES, {}).values()]

    def register(self, sources: Sequence[Source]) -> dict[str, StoredSource]:
        """Write those that are not known yet; returns all of them as the store has them."""
        ids = [source.source_id for source in sources]
        found = self._lookup(ids)
        if len(found) < len(set(ids)):
            with self._leases.claim():
                # Once more: another one may have registered them, under its own node.
                found = self._lookup(ids)
                found |= self._register_new([each for each in sources if each.source_id not in found])
        return found

    def _register_new(self, sources: Sequence[Source]) -> dict[str, StoredSource]:
        new = {source.source_id: source for source in sources}
        found: dict[str, StoredSource] = {}
        now = _utc_now()
        for node_id in dict.fromkeys(source.node_id for source in new.values()):
            # Where others of the node lie only helps to keep apart; what another process adds may be missing.
            neighbours = self._of_node.get(node_id) or self.sources(node_id)
            of_node = [source for source in new.values() if source.node_id == node_id]
            held = {key: stored for key, stored in self._held.items() if stored.source.node_id == node_id}
            for stored in assign_lanes(of_node, (neighbours | held).values(), to_us(now)):
                source = stored.source
                followed_since = source.followed_since or now
                found[source.source_id] = registered(
                    stored,
                    source=replace(source, committed_at=now, followed_since=followed_since),
                    holder=self._leases.me.as_text(),
                )
            self._of_node[node_id] = neighbours | {
                source.source_id: found[source.source_id] for source in of_node
            }
        self._server.write_meta([line_of(found[source_id]) for source_id in new])
        return found

    def position(self, source_id: str) -> int | None:
        held = self._held.get(source_id) or self._lookup([source_id]).get(source_id)
        return None if held is None else held.source.position

    def write(self, batches: Sequence[Batch]) -> None:
        """Records, then rejects, then positions. Raises PositionConflict and RecordsRefused."""
        if not batches:
            return
        self._hold({batch.source_id: batch.start for batch in reversed(batches)})
        after = {batch.source_id: self._held[batch.source_id] for batch in batches}
        frames: list[pl.DataFrame] = []
        rejects: list[str] = []
        now = _utc_now()
        for batch in batches:
            stored = after[batch.source_id]
            if stored.source.position != batch.start:
                raise PositionConflict(batch.source_id, batch.start, stored.source.position)
            with _shape_refused():
                keys, progress = point_keys(batch.parsed, stored.lane_name, stored.base, stored.progress)
                frames.append(pl.concat([batch.parsed.records, keys], how="horizontal"))
            rejects += self._reject_lines(batch, stored)
            after[batch.source_id] = committed(
                stored,
                source=replace(stored.source, path=batch.path, checkpoint=batch.checkpoint, committed_at=now),
                progress=progress,
                records=stored.records + batch.parsed.records.height,
                rejects=stored.rejects + batch.rejects,
                blanks=stored.blanks + batch.parsed.blanks,
            )
        self._refuse_expired(batches)
        touched = spans_touched([batch.parsed.records["timestamp"] for batch in batches])
        try:
            self._write_records(batches, frames)
            if rejects:
                self._server.write_meta(rejects)
            self._write_sources(after, touched)
        except StoreError:
            # What is on its way may still arrive, behind a place of this journal that was looked at.
            self._journal = Journal()
            raise

    def release(self, source_ids: Sequence[str]) -> None:
        """Hold sources no more, so that others need not wait for the end of this processor."""
        for source_id in source_ids:
            self._held.pop(source_id, None)
        self._leases.begin()  # from now on nobody takes over what is ours
        me = self._leases.me.as_text()
        given = {
            source_id: replace(stored, holder="")
            for source_id, stored in self._lookup(source_ids).items()
            if stored.holder == me
        }
        if given and self._leases.is_valid:
            self._write_sources(given)
            for source_id in given:
                del self._held[source_id]

    def forget(self, source_ids: Sequence[str], *, with_records: bool) -> int:
        """Drop sources of which no record is left that has not expired; returns how many."""
        expired_us = self._server.oldest_us()
        gone = 0
        for source_id, stored in self._lookup(source_ids).items():
            latest_us = stored.progress.latest_us
            has_records = stored.records > 0 and (
                expired_us is None or latest_us is None or latest_us >= expired_us
            )
            if stored.rejects or (has_records and not with_records):
                continue
            self._server.delete_meta(f'_measurement="source" AND source="{source_id}"')
            self._held.pop(source_id, None)
            self._of_node.get(stored.source.node_id, {}).pop(source_id, None)
            gone += 1
        return gone

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        """Write over what the processor said before."""
        at = time.time()
        lines = []
        for part, begin in enumerate(range(0, max(1, len(statuses)), STATUSES_A_POINT)):
            said = [_status_row(status) for status in statuses[begin : begin + STATUSES_A_POINT]]
            tags = {"part": str(part), "processor": processor}
            lines.append(point("report", tags, {"report": json.dumps({"at": at, "statuses": said})}, 0))
        self._server.write_meta(lines)

    def close(self) -> None:
        self._leases.end()

    def _hold(self, starts: dict[str, int]) -> None:
        """Make sure that this processor holds the sources; `starts` are where their batches begin."""
        if not self._leases.is_valid:
            self._held.clear()  # others may have taken them over meanwhile
        missing = [source_id for source_id in starts if source_id not in self._held]
        if not missing:
            return
        self._leases.begin()
        found = self._lookup(missing)
        for source_id in missing:
            if source_id not in found:
                raise PositionConflict(source_id, starts[source_id], None)
        me = self._leases.me.as_text()
        living: dict[str, bool] = {me: False, "": False}
        for source_id, stored in found.items():
            if stored.holder not in living:
                living[stored.holder] = self._leases.living(Holder.of(stored.holder))
            if living[stored.holder]:
                holder = str(Holder.of(stored.holder))
                raise SourceHeld(source_id, starts[source_id], stored.source.position, holder)
        taken = {
            source_id: replace(stored, holder=me)
            for source_id, stored in found.items()
            if stored.holder != me
        }
        if taken:
            self._write_sources(taken)
        self._held |= found | taken

    def _refuse_expired(self, batches: Sequence[Batch]) -> None:
        expired_us = self._server.oldest_us()
        if expired_us is None:
            return
        days = self._server.retention_seconds / 86_400
        refusals = []
        for batch in batches:
            old = batch.parsed.records.filter(pl.col("timestamp").to_physical() < expired_us)
            refusals += [
                Refusal(
                    batch.source_id,
                    offset,
                    f"timestamp: found {moment:%Y-%m-%d %H:%M:%S}, expected the last {days:g} days, "
                    f"which the bucket {self._server.address.bucket!r} keeps (RETENTION_DAYS)",
                )
                for offset, moment in old.select("offset", "timestamp").iter_rows()
            ]
        if refusals:
            raise RecordsRefused(refusals)

    def _write_records(self, batches: Sequence[Batch], frames: Sequence[pl.DataFrame]) -> None:
        records = pl.concat(frames, rechunk=False)
        if records.is_empty():
            return
        with _shape_refused():
            lines = record_lines(records)
        refused = self._server.write(self._server.address.bucket, lines)
        if not refused:
            return
        sources = [batch.source_id for batch in batches for _ in range(batch.parsed.records.height)]
        offsets = records["offset"]
        raise RecordsRefused(
            [Refusal(sources[line.place], offsets[line.place], line.reason) for line in refused]
        )

    def _reject_lines(self, batch: Batch, stored: StoredSource) -> Iterator[str]:
        """Points of those that are kept: in a bucket without expiry any time will do.

        Those of the first have the lines' numbers; each further one takes the place of the oldest.
        """
        _, numbers = line_numbers(batch.parsed, stored.progress.lines)
        first, last = halves(self._kept_of_source)
        height = batch.parsed.rejects.height
        for place, (number, (offset, reason, line)) in enumerate(
            zip(numbers, batch.parsed.rejects.select("offset", "reason", "line").iter_rows(), strict=True)
        ):
            ordinal = stored.rejects + place
            if ordinal >= first and place < height - last:
                continue
            self._last_order = max(self._last_order + 1, self._first_order(batch))
            text = json.dumps([batch.source_id, batch.path, offset, reason, line], ensure_ascii=False)
            fields: dict[str, str | int] = {"order": self._last_order, "reject": text}
            if ordinal < first:
                yield point("reject", {"lane": stored.lane_name}, fields, stored.base + int(number))
            else:
                lane = f"{stored.lane_name}{_LAST_REJECTS}"
                yield point("reject", {"lane": lane}, fields, stored.base + (ordinal - first) % last)

    def _first_order(self, batch: Batch) -> int:
        """The least place of a reject of the batch in the order of all: that of its time."""
        first = to_us(batch.seen_at(_utc_now())) * ORDERS_A_MICROSECOND
        if batch.copied is None or self._last_order:
            return first
        # Another process may have copied some of this time already.
        found = self._server.query_meta(
            LAST_ORDER, {"first": str(first), "end": str(first + _COPIED_ORDERS)}
        ).get("last")
        return first if found is None else int(found["_value"][0]) + 1

    def _write_sources(self, sources: dict[str, StoredSource], touched: Sequence[Span] = ()) -> None:
        """Positions, and in the same request the times that records up to them have touched."""
        lines = [line_of(stored) for stored in sources.values()]
        noted = [self._journal.line(touched)] if touched else []
        if len(lines) >= LINES_A_REQUEST:  # more than one request, of which some may fail
            self._server.write_meta(noted)
            noted = []
        self._server.write_meta([*noted, *lines])
        self._held |= sources

    def _lookup(self, source_ids: Sequence[str]) -> dict[str, StoredSource]:
        found: dict[str, StoredSource] = {}
        for begin in range(0, len(source_ids), _IDS_A_QUERY):
            ids = source_ids[begin : begin + _IDS_A_QUERY]
            found |= self._stored(
                sources_by_id(len(ids)), {f"id_{place}": source_id for place, source_id in enumerate(ids)}
            )
        return found

    def _stored(self, text: str, params: dict[str, str]) -> dict[str, StoredSource]:
        found = self._server.query_meta(text, params).get("sources")
        if found is None:
            return {}
        return {
            source_id: stored_source(source_id, state)
            for source_id, state in found.select("source", "_value").iter_rows()
        }


@contextlib.contextmanager
def _shape_refused() -> Iterator[None]:
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"the records of a batch have no shape that can be stored: {error}") from error


def _status_row(status: SourceStatus) -> dict[str, object]:
    row = asdict(status)
    row["updated_at"] = None if status.updated_at is None else to_us(status.updated_at)
    return row


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)
