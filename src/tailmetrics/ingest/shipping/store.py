"""The topic in front of the local store: a position moves once the brokers have all lines before it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from tailmetrics.errors import QueueError, StoreRefused, StoreUnavailable
from tailmetrics.ingest.shipping.carrying import CarriedLines
from tailmetrics.queues.kafka.producer import TopicProducer
from tailmetrics.queues.kafka.shipments import Shipper
from tailmetrics.queues.kafka.topic import Topic
from tailmetrics.records import no_lines
from tailmetrics.sources import Batch, LineChunk, fingerprint
from tailmetrics.status import SourceStatus
from tailmetrics.stores import Store
from tailmetrics.telemetry.log import EventLog
from tailmetrics.urls import KafkaUrl

log = EventLog()

_NOTE: Final = "shipping"
_LOOK_SECONDS = 10.0  # from one look at the topic to the next, when no lines come


def shipping_store(store: Store, url: KafkaUrl, node_id: str) -> Store:
    """A store of positions that sends lines to a topic before it takes their positions.

    All but what it sends is that of `store`. The topic that is away, missing or refuses is to whoever writes
    a store that does so: StoreUnavailable or StoreRefused.
    """
    return cast("Store", _ShippingStore(store, url, node_id))


class _ShippingStore:
    def __init__(self, store: Store, url: KafkaUrl, node_id: str) -> None:
        self._store = store
        self._node_id = node_id
        self._one_line = url.one_line
        self._topic = TopicProducer(url)
        self._salt = ""
        self._partitions = 0
        self._most_bytes = 0
        self._in_flight: tuple[tuple[str, int, int], ...] = ()
        self._problem: StoreUnavailable | None = None
        self._looked_at = -_LOOK_SECONDS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def prepare(self, batch: Batch) -> Batch:
        return batch  # for nothing of its lines is stored

    def write(self, batches: Sequence[Batch]) -> None:
        chunks = [each.parsed.chunk for each in batches if isinstance(each.parsed, CarriedLines)]
        if chunks:
            try:
                self._send(chunks)
            except QueueError as error:
                raise _as_of_store(error) from error
        self._store.write([replace(batch, parsed=no_lines()) for batch in batches])

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:  # noqa: ARG002  # as of a store
        """Look at the topic, as no line may come by which it would be noticed that it is away."""
        if self._problem is None and time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        try:
            self._topic.describe()
        except QueueError as error:
            self._problem = _as_of_store(error)
            raise self._problem from error
        self._problem = None
        self._looked_at = time.monotonic()

    async def ping(self) -> None:
        if self._problem is not None:
            raise self._problem
        await self._store.ping()

    def close(self) -> None:
        self._topic.close()
        self._store.close()

    def _send(self, chunks: Sequence[LineChunk]) -> None:
        """Send chunks; those that are on their way since the last attempt are only waited for."""
        key = tuple((chunk.source_id, chunk.offset, chunk.checkpoint.position) for chunk in chunks)
        if not self._topic.is_connected or (self._in_flight and self._in_flight != key):
            self._connect()
        if not self._in_flight:
            self._in_flight = key
            self._put(chunks)
        self._topic.await_acknowledged()
        self._in_flight = ()

    def _connect(self) -> None:
        self._in_flight = ()
        topic = self._topic.connect()
        asyncio.run(self._remember(topic))
        self._most_bytes = topic.most_bytes

    async def _remember(self, topic: Topic) -> None:
        """Keep what must stay as it was first: what tells this store's sources apart, and the partitions.

        With other partitions lines of a source would be in two of them, whose order nobody knows.
        """
        name = f"{topic.cluster}/{topic.topic_id}"
        while True:
            note = await self._store.note(_NOTE)
            kept = json.loads(note.text or "{}")
            salt = kept.setdefault("salt", secrets.token_hex(16))
            partitions = kept.setdefault("partitions", {})
            is_known = name in partitions
            partitions.setdefault(name, topic.partitions)
            if is_known or await self._store.keep_note(_NOTE, json.dumps(kept), note.version):
                break
        self._salt, self._partitions = salt, partitions[name]

    def _put(self, chunks: Sequence[LineChunk]) -> None:
        too_long: Counter[str] = Counter()
        for chunk in chunks:
            source = fingerprint(f"{self._salt}\0{chunk.source_id}".encode())
            shipper = Shipper(source, self._node_id, self._most_bytes, self._one_line)
            partition = shipper.partition(self._partitions)
            for shipment in shipper.shipments(chunk):
                too_long[chunk.path] += shipment.too_long
                self._topic.put(
                    shipment.value, key=source.encode(), partition=partition, headers=shipment.headers
                )
        for path, count in too_long.items():
            if count:
                log.warning(
                    "lines are longer than MAX_LINE_BYTES or than the topic takes, only their beginnings "
                    "are sent; raise max.message.bytes of the topic above MAX_LINE_BYTES",
                    path=path,
                    lines=count,
                    topic_takes_bytes=self._most_bytes,
                )


def _as_of_store(error: QueueError) -> StoreUnavailable:
    return StoreRefused(str(error)) if error.is_final else StoreUnavailable(str(error))
