"""What the stores do alike that other processes write to, too, and whose writers commit to a server."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol, TypeVar

from typing_extensions import Self

from tailmetrics.sources import Batch, Source
from tailmetrics.stats import StoreStatus
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import READ_AHEAD

_Result = TypeVar("_Result")


class ServerWriter(Protocol):
    """The writer of such a store; its methods are those of Writes, but for those of many."""

    def sources(self, node_id: str | None) -> Sequence[Source]: ...
    def all_sources(self) -> Sequence[Source]: ...
    def source(self, source_id: str) -> Source | None: ...
    def register(self, new: Sequence[Source]) -> None: ...
    def forget(self, source_ids: Sequence[str], *, with_records: bool) -> int: ...
    def write(self, batches: Sequence[Batch]) -> None: ...
    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None: ...


class ServerStore(ABC):
    """The part of a Store that is the same whatever the server is."""

    read_ahead = READ_AHEAD

    def __init__(self) -> None:
        self._stored: tuple[str, tuple[SourceStatus, ...]] = ("", ())
        self._heard: dict[str, tuple[float, float]] = {}  # of processors, as `is_alive` has it

    @abstractmethod
    def _write(self, work: Callable[[ServerWriter], _Result]) -> _Result:
        """Have the writer do something, with its errors as those of the package."""

    def sources(self, node_id: str | None) -> Sequence[Source]:
        return self._write(lambda writer: writer.sources(node_id))

    def all_sources(self) -> Sequence[Source]:
        return self._write(lambda writer: writer.all_sources())

    def register(self, source: Source) -> Source:
        def register(writer: ServerWriter) -> Source:
            writer.register([source])
            return writer.source(source.source_id) or source

        return self._write(register)

    def register_all(self, sources: Sequence[Source]) -> None:
        self._write(lambda writer: writer.register(sources))

    def position(self, source_id: str) -> int | None:
        found = self._write(lambda writer: writer.source(source_id))
        return None if found is None else found.position

    def write(self, batches: Sequence[Batch]) -> None:
        self._write(lambda writer: writer.write(batches))

    def forget(self, source_ids: Sequence[str], *, with_records: bool = False) -> int:
        return self._write(lambda writer: writer.forget(source_ids, with_records=with_records))

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        self._write(lambda writer: writer.report(processor, statuses))

    def version_of(self, customer_id: str | None) -> int | None:  # noqa: ARG002  # others may write
        return None

    def snapshot(self) -> AbstractAsyncContextManager[Self]:
        return contextlib.nullcontext(self)

    async def series(self) -> int | None:
        return None

    async def _with_sources(
        self, status: StoreStatus, stored_sources: Callable[[], Awaitable[tuple[SourceStatus, ...]]]
    ) -> StoreStatus:
        """The status with the sources as they are stored, where no processor tells of them."""
        if status.sources:
            return status
        version, stored = self._stored
        if version != status.version:
            stored = await stored_sources()
            self._stored = (status.version, stored)
        return replace(status, sources=stored)
