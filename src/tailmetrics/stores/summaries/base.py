"""What a store keeps and reads for summaries; all that is done with them is above the stores."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.summaries.block import Part
from tailmetrics.stores.summaries.manifest import BlockRef, Manifest, State
from tailmetrics.stores.windowing import Span

BlockKey = tuple[str, int, int]  # the name of the level, the start (us), and the generation


class BlocksGone(StoreUnavailable):
    """A block that a manifest names is not there any more: there is a newer manifest."""


class Summarized(Protocol):
    """What is read of a store to answer questions about all customers.

    Each method raises StoreUnavailable. Times are microseconds since 1970-01-01T00:00:00Z; spans are
    half-open, apart from each other and in order, and may reach beyond all records.
    """

    async def state(self) -> State:
        """The newest manifest, and what was touched since; without one everything is stale."""
        ...

    async def parts(self, refs: Sequence[BlockRef], part: Part) -> Sequence[bytes]:
        """One part of each block, in this order, as it was kept. Raises BlocksGone."""
        ...

    def requests(
        self, spans: Sequence[Span], customer_ids: Sequence[str] | None
    ) -> AsyncGenerator[pl.DataFrame, None]:
        """Requests in spans, of some customers or of all (None), as frames of a bounded number of rows.

        Columns `time`, `customer_id`, `status_code`, `duration` (seconds, or null) and `count`.
        """
        ...

    def paths(self, spans: Sequence[Span]) -> AsyncGenerator[pl.DataFrame, None]:
        """Requests in spans with columns `time`, `path`, `status_code` and `count`."""
        ...

    async def edges(self, spans: Sequence[Span]) -> Span | None:
        """The times of the first and of the last request in spans."""
        ...


class Keeps(Summarized, Protocol):
    """What is written of summaries, too."""

    @property
    def block_span(self) -> Span:
        """The times of which there may be blocks."""
        ...

    async def keep_block(self, ref: BlockRef, parts: dict[Part, bytes]) -> None:
        """Write a block that no manifest names yet."""
        ...

    async def keep_manifest(self, manifest: Manifest) -> bool:
        """Write the next manifest; False when another process has written one since this was begun."""
        ...

    async def sweep(self, manifest: Manifest, unnamed: set[BlockKey]) -> set[BlockKey]:
        """Delete what the manifest includes of journals, and blocks in `unnamed` that it does not name.

        Returns all blocks that are left: those that it does not name may be of a manifest still to come.
        """
        ...

    async def lease(self) -> str:
        """What the process that makes summaries said last; empty when none has said anything."""
        ...

    async def say(self, text: str) -> None:
        """Replace what `lease` returns."""
        ...
