"""Which part of a delivered message the store has already, so that a message counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

import polars as pl

from tailmetrics.records import ParsedLines
from tailmetrics.sources import Batch, Delivery, Source
from tailmetrics.stores.base import Store
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_MESSAGES_BETWEEN_FORGETTING = 1000
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


class Deduplication:
    """Called by the thread that writes, with what it is about to write.

    Of finished messages the `remembered` newest of each queue are known again.
    """

    def __init__(self, store: Store, remembered: int) -> None:
        self._store = store
        self._remembered = remembered
        self._claims: dict[str, str] = {}  # redelivered without an id: which source of the store it is
        self._finished: dict[str, int] = {}  # by node: messages since positions were forgotten

    def settle(self, group: Sequence[Batch]) -> list[Batch]:
        """The batches without what the store has of them; messages that it does not know are registered."""
        if all(batch.delivery is None for batch in group):
            return list(group)
        positions: dict[str, int] = {}
        settled = []
        for batch in group:
            if batch.delivery is None:
                settled.append(batch)
                continue
            source_id = self._identify(batch.delivery)
            registers = None
            if source_id not in positions:
                known = self._store.position(source_id)
                source = batch.delivery.source
                if known is None and batch.start >= source.checkpoint.head_length:
                    continue  # forgotten by now, and nothing more will come of it
                registers = source if known is None else None
                positions[source_id] = source.position if known is None else known
            if batch.checkpoint.position > positions[source_id]:
                rest = behind(batch, positions[source_id])
                settled.append(replace(rest, source_id=source_id, registers=registers))
                positions[source_id] = batch.checkpoint.position
        return settled

    def source_id_of(self, batch: Batch) -> str:
        """The source in the store that a batch is of."""
        return self._claims.get(batch.source_id, batch.source_id)

    def committed(self, group: Sequence[Batch]) -> None:
        """Note what was written, and have positions forgotten now and then."""
        for batch in group:
            delivery = batch.delivery
            if delivery is None or batch.checkpoint.position < delivery.source.checkpoint.head_length:
                continue
            if batch.checkpoint.position > delivery.source.checkpoint.head_length:
                self._claims.pop(batch.source_id, None)
            node_id = delivery.source.node_id
            self._finished[node_id] = self._finished.get(node_id, _MESSAGES_BETWEEN_FORGETTING) + 1
            if self._finished[node_id] > _MESSAGES_BETWEEN_FORGETTING:
                self._finished[node_id] = 0
                self._forget(node_id)

    def _identify(self, delivery: Delivery) -> str:
        source_id = delivery.source.source_id
        if not (delivery.by_content and delivery.redelivered):
            return source_id
        if source_id not in self._claims:
            claimed = set(self._claims.values())
            content = delivery.source.checkpoint
            same = [
                source
                for source in self._store.sources(delivery.source.node_id)
                if source.checkpoint.head_hash == content.head_hash
                and source.position <= content.head_length
                and source.source_id not in claimed
            ]
            furthest = max(same, key=lambda source: source.position, default=delivery.source)
            self._claims[source_id] = furthest.source_id
        return self._claims[source_id]

    def _forget(self, node_id: str) -> None:
        finished = [source for source in self._store.sources(node_id) if _is_finished(source)]
        finished.sort(key=lambda source: source.committed_at or _LONG_AGO)
        gone = [source.source_id for source in finished[: -self._remembered]]
        if gone:
            log.info("forgotten", messages=self._store.forget(gone, with_records=True))


def _is_finished(source: Source) -> bool:
    return source.position >= source.checkpoint.head_length


def behind(batch: Batch, position: int) -> Batch:
    """What of a batch comes at a position or behind it."""
    if batch.start >= position:
        return batch
    parsed = batch.parsed
    is_behind = pl.col("offset") >= position
    # Blank lines are counted without their places; those of a part that was stored are not told apart.
    rest = ParsedLines(parsed.records.filter(is_behind), parsed.rejects.filter(is_behind), blanks=0)
    return replace(batch, start=position, parsed=rest)
