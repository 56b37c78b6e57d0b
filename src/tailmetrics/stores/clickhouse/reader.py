"""Questions to ClickHouse: one request a statement, over one client for as long as the store is open."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import polars as pl
from clickhouse_connect import get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.clickhouse import schema
from tailmetrics.stores.clickhouse.address import CONNECT_SECONDS, Address
from tailmetrics.stores.clickhouse.errors import errors_translated
from tailmetrics.stores.loop_thread import LoopThread
from tailmetrics.stores.results import took_too_long

_Result = TypeVar("_Result")

_QUERIES_AT_ONCE = 8
_KILL_SECONDS = 2.0
_SMALL_BYTES = 100_000  # of an answer, which a loop is not held up to read

# A question about one customer goes to the one shard that has it. One that a shard does not answer, or only a
# replica that lacks what was committed, is not answered at all: never with smaller figures.
SETTINGS: Final[Mapping[str, int]] = {
    "optimize_skip_unused_shards": 1,
    "skip_unavailable_shards": 0,
    "select_sequential_consistency": 1,
    "fallback_to_stale_replicas_for_distributed_queries": 0,
    "output_format_arrow_string_as_string": 1,
}


class Statements:
    """The statements of one question, until its time is over."""

    def __init__(self, reader: ClickHouseReader, client: AsyncClient, timeout_seconds: float) -> None:
        self.reader = reader
        self._client = client
        self._end = time.monotonic() + timeout_seconds

    async def frame(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The rows that a statement gives; parameters are named, and sent apart from it.

        Raises StoreUnavailable, and StoreError for what the server does not take.
        """
        query_id = uuid.uuid4().hex
        settings = {**SETTINGS, "max_execution_time": max(1, math.ceil(self._end - time.monotonic()))}
        # Of whoever may read only, some servers take no settings at all.
        known = self._client.server_settings
        settings = {
            name: value for name, value in settings.items() if name in known and not known[name].readonly
        }
        try:
            with errors_translated(self.reader.address):
                answer = await self._client.raw_query(
                    sql, dict(parameters or {}), {"query_id": query_id, **settings}, fmt="ArrowStream"
                )
        except asyncio.CancelledError:
            self.reader.kill(query_id)
            raise
        if len(answer) <= _SMALL_BYTES:
            return pl.read_ipc_stream(answer)
        return await asyncio.to_thread(pl.read_ipc_stream, answer)


class ClickHouseReader:
    """Asks over one client, which belongs to one event loop."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._loop = LoopThread("clickhouse-queries", str(address))
        self._opening = asyncio.Lock()
        self._places = asyncio.Semaphore(_QUERIES_AT_ONCE)
        self._client: AsyncClient | None = None
        self._kills: set[asyncio.Task[None]] = set()
        # What was found last: the times of the first and the last request, and how many customers there are.
        self.edges: tuple[int, int] | None = None
        self.customers = 0

    async def ask(self, query: Callable[[Statements], Coroutine[Any, Any, _Result]]) -> _Result:
        """The result of a query; it is stopped, at the server too, when its time is over or nobody waits."""
        return await asyncio.wrap_future(self._loop.run(self._answer(query)))

    def kill(self, query_id: str) -> None:
        """End a statement that nobody waits for any more, and do not wait for its end."""
        task = asyncio.create_task(self._kill(query_id))
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    def close(self) -> None:
        self._loop.end(self._close_client)

    async def _answer(self, query: Callable[[Statements], Coroutine[Any, Any, _Result]]) -> _Result:
        try:
            return await asyncio.wait_for(self._in_turn(query), self._timeout_seconds)
        except asyncio.TimeoutError as error:
            raise took_too_long(self._timeout_seconds) from error

    async def _in_turn(self, query: Callable[[Statements], Coroutine[Any, Any, _Result]]) -> _Result:
        async with self._places:
            async with self._opening:
                if self._client is None:
                    self._client = await self._opened()
            return await query(Statements(self, self._client, self._timeout_seconds))

    async def _opened(self) -> AsyncClient:
        arguments = self.address.client_arguments(self._timeout_seconds)
        with errors_translated(self.address):
            try:
                return await asyncio.wait_for(get_async_client(**arguments), CONNECT_SECONDS)
            except asyncio.TimeoutError as error:
                text = f"{self.address} does not answer: it took a connection and said nothing"
                raise StoreUnavailable(f"{text} for {CONNECT_SECONDS} s") from error

    async def _kill(self, query_id: str) -> None:
        if self._client is None:
            return
        with contextlib.suppress(ClickHouseError, asyncio.TimeoutError):
            # Behind a balancer the next statement may come to another server than the last one.
            statement = f"KILL QUERY{schema.on(self.address.cluster)} WHERE query_id = '{query_id}' ASYNC"
            await asyncio.wait_for(self._client.command(statement), _KILL_SECONDS)

    async def _close_client(self) -> None:
        if self._client is not None:
            with contextlib.suppress(ClickHouseError, OSError):
                await self._client.close()
