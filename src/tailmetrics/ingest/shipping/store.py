"""The topic in front of the local store: a position moves once the brokers have all lines before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from tailmetrics.errors import QueueError, StoreRefused, StoreUnavailable
from tailmetrics.ingest.shipping.carrying import CarriedLines
from tailmetrics.ingest.shipping.sender import Fixed, Sender
from tailmetrics.queues.kafka.topic import Topic
from tailmetrics.records import no_lines
from tailmetrics.sources import Batch, Source
from tailmetrics.status import SourceStatus
from tailmetrics.stores import Store
from tailmetrics.stores.base import COMMIT_LINES
from tailmetrics.telemetry.log import EventLog
from tailmetrics.urls import KafkaUrl

log = EventLog()

_NOTE: Final = "shipping"
_COMMIT_LINES: Final = 8 * COMMIT_LINES  # nothing waits for a commit, which takes as long for few as for many
_LOOK_SECONDS = 10.0  # from one look at the topic to the next, when no lines come


def shipping_store(store: Store, url: KafkaUrl, node_id: str) -> Store:
    """A store of positions that sends lines to a topic before it takes their positions.

    All but what it sends is that of `store`. The topic that is away, missing or refuses is to whoever writes
    a store that does so: StoreUnavailable or StoreRefused.
    """
    return cast("Store", _ShippingStore(store, url, node_id))


class _ShippingStore:
    def __init__(self, store: Store, url: KafkaUrl, node_id: str) -> None:
        self.commit_lines = _COMMIT_LINES
        self.read_ahead = 1.0
        self._store = store
        self._sender = Sender(url, node_id, lambda topic: asyncio.run(self._remember(topic)))
        self._problem: StoreUnavailable | None = None
        self._looked_at = -_LOOK_SECONDS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def sources(self, node_id: str | None) -> Sequence[Source]:
        """Whoever asks reads on from there: what is on its way is sent again."""
        self._sender.begin()
        return self._store.sources(node_id)

    def prepare(self, batch: Batch) -> Batch:
        if isinstance(batch.parsed, CarriedLines):
            self._sender.put(batch.parsed.chunk)
        return batch

    def write(self, batches: Sequence[Batch]) -> None:
        chunks = [each.parsed.chunk for each in batches if isinstance(each.parsed, CarriedLines)]
        if chunks:
            with _as_of_store():
                self._sender.wait_for(chunks)
        self._store.write([replace(batch, parsed=no_lines()) for batch in batches])
        self._sender.forget(chunks)

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:  # noqa: ARG002  # as of a store
        """Look at the topic, as no line may come by which it would be noticed that it is away."""
        if self._problem is None and time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        try:
            with _as_of_store():
                self._sender.check_topic()
        except StoreUnavailable as error:
            self._problem = error
            raise
        self._problem = None
        self._looked_at = time.monotonic()

    async def ping(self) -> None:
        if self._problem is not None:
            raise self._problem
        await self._store.ping()

    def close(self) -> None:
        self._sender.close()
        self._store.close()

    async def _remember(self, topic: Topic) -> Fixed:
        """What must stay as it was first; it is kept as a note.

        With other partitions than at first a source would be in two of them, and its order unknown.
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
                if not is_known and len(partitions) > 1:
                    log.warning("another topic than before, files go on where they were", topic_id=name)
                return Fixed(salt, partitions[name])


@contextlib.contextmanager
def _as_of_store() -> Iterator[None]:
    try:
        yield
    except QueueError as error:
        kind = StoreRefused if error.is_final else StoreUnavailable
        raise kind(str(error), subject="the topic") from error
