"""Queries to the InfluxDB server: one request each, over one client for as long as the store is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

from tailmetrics.stores.influxdb.address import Address
from tailmetrics.stores.influxdb.csv import Tables, tables_of
from tailmetrics.stores.influxdb.errors import errors_translated
from tailmetrics.stores.influxdb.server import CONNECT_SECONDS
from tailmetrics.stores.loop_thread import LoopThread
from tailmetrics.stores.results import took_too_long

_Result = TypeVar("_Result")

_QUERIES_AT_ONCE = 8


class InfluxDBReader:
    """Runs queries over one client, which belongs to one event loop."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self.loop = LoopThread("influxdb-queries", f"the store at {address.url}")
        self._client: InfluxDBClientAsync | None = None
        self._places: asyncio.Semaphore | None = None
        # Of what each processor said last of its sources: the time by its clock, and when it was heard here.
        self.heard: dict[str, tuple[float, float]] = {}

    @property
    def bucket(self) -> str:
        return self._address.bucket

    @property
    def meta_bucket(self) -> str:
        return self._address.meta_bucket

    async def ask(self, query: Callable[[InfluxDBReader], Coroutine[Any, Any, _Result]]) -> _Result:
        """The result of a query, which is stopped when its time is over or nobody waits any more."""
        return await asyncio.wrap_future(self.loop.run(self._answer(query)))

    async def run(self, text: str, params: dict[str, Any]) -> dict[str, Tables]:
        """The rows of each result of a Flux text, in one request; `params` are sent apart from the text.

        Raises StoreUnavailable, and StoreError for a text that the server does not take.
        """
        if self._client is None:
            self._client = _client(self._address, self._timeout_seconds)
        api = self._client.query_api()
        with errors_translated(self._address):
            answer = await api.query_raw(text, params=params)
        return await asyncio.to_thread(tables_of, answer.encode())

    def close(self) -> None:
        self.loop.end(self._close_client)

    async def _answer(self, query: Callable[[InfluxDBReader], Coroutine[Any, Any, _Result]]) -> _Result:
        try:
            return await asyncio.wait_for(self._in_turn(query), self._timeout_seconds)
        except asyncio.TimeoutError as error:
            raise took_too_long(self._timeout_seconds) from error

    async def _in_turn(self, query: Callable[[InfluxDBReader], Coroutine[Any, Any, _Result]]) -> _Result:
        if self._places is None:
            self._places = asyncio.Semaphore(_QUERIES_AT_ONCE)
        async with self._places:
            return await query(self)

    async def _close_client(self) -> None:
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
