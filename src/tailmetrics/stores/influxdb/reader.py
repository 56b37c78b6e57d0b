"""Queries to the InfluxDB server: one request each, over one client for as long as the store is open."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.influxdb.csv import Tables, tables_of
from tailmetrics.stores.influxdb.server import CONNECT_SECONDS, Address, translated
from tailmetrics.stores.results import took_too_long

_Result = TypeVar("_Result")

_QUERIES_AT_ONCE = 8


class Reader:
    """Runs queries in the event loop of a thread of its own, as a client belongs to one loop."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: InfluxDBClientAsync | None = None
        self._places: asyncio.Semaphore | None = None
        self._closed = False

    @property
    def bucket(self) -> str:
        return self._address.bucket

    @property
    def meta_bucket(self) -> str:
        return self._address.meta_bucket

    async def ask(self, query: Callable[[Reader], Coroutine[Any, Any, _Result]]) -> _Result:
        """The result of a query, which is stopped when its time is over or nobody waits any more."""
        answer = asyncio.run_coroutine_threadsafe(self._answer(query), self._started())
        return await asyncio.wrap_future(answer)

    async def run(self, text: str, params: dict[str, Any]) -> dict[str, Tables]:
        """The rows of each result of a Flux text, in one request; `params` are sent apart from the text.

        Raises StoreUnavailable, and StoreError for a text that the server does not take.
        """
        if self._client is None:
            self._client = _client(self._address, self._timeout_seconds)
        api = self._client.query_api()
        try:
            answer = await api.query_raw(text, params=params)
        except (ApiException, aiohttp.ClientError, OSError) as error:
            raise translated(error, self._address) from error
        return await asyncio.to_thread(tables_of, answer.encode())

    def close(self) -> None:
        with self._lock:
            self._closed = True
            loop = self._loop
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    async def _answer(self, query: Callable[[Reader], Coroutine[Any, Any, _Result]]) -> _Result:
        try:
            return await asyncio.wait_for(self._in_turn(query), self._timeout_seconds)
        except asyncio.TimeoutError as error:
            raise took_too_long(self._timeout_seconds) from error

    async def _in_turn(self, query: Callable[[Reader], Coroutine[Any, Any, _Result]]) -> _Result:
        if self._places is None:
            self._places = asyncio.Semaphore(_QUERIES_AT_ONCE)
        async with self._places:
            return await query(self)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the store at {self._address.url} is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._serve, name="influxdb-queries", daemon=True).start()
            return self._loop

    def _serve(self) -> None:
        assert self._loop is not None  # noqa: S101  # set before the thread is started
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            with contextlib.suppress(aiohttp.ClientError):
                await self._client.close()  # type: ignore[no-untyped-call]


def _client(address: Address, timeout_seconds: float) -> InfluxDBClientAsync:
    return InfluxDBClientAsync(
        address.url,
        address.token,
        org=address.org,
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS),
        connection_pool_maxsize=_QUERIES_AT_ONCE,
        # Compressing rows takes the server four times as long as sending them over a local network.
        client_session_kwargs={"headers": {"Accept-Encoding": "identity"}},
    )
