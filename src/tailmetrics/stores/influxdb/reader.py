"""Queries to the InfluxDB server: one request each, over one client for as long as the store is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.query_api_async import QueryApiAsync

from tailmetrics.status import SourceStatus
from tailmetrics.stores.influxdb.address import Address
from tailmetrics.stores.influxdb.csv import Answer, Tables
from tailmetrics.stores.influxdb.errors import errors_translated
from tailmetrics.stores.influxdb.influxql import Shortcut, database_of
from tailmetrics.stores.influxdb.server import CONNECT_SECONDS
from tailmetrics.stores.loop_thread import LoopThread
from tailmetrics.stores.results import took_too_long

_Result = TypeVar("_Result")

_QUERIES_AT_ONCE = 8
_PIECE_BYTES = 500_000  # of an answer, read at once: as frames this takes a few milliseconds


class _QueryApi(QueryApiAsync):
    """The client's, which otherwise has an answer whole as one text, or as an object a row."""

    async def parts(self, text: str, params: dict[str, Any]) -> AsyncIterator[bytes]:
        """The answer to a Flux text, as it comes."""
        query = self._create_query(text, self.default_dialect, params)
        response = await self._post_query(self._org_param(None), query)  # type: ignore[no-untyped-call]
        async with response:
            async for part in response.content.iter_any():
                yield part


class InfluxDBReader:
    """Runs queries over one client, which belongs to one event loop."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self.loop = LoopThread("influxdb-queries", f"the store at {address.url}")
        self._client: InfluxDBClientAsync | None = None
        self._places: asyncio.Semaphore | None = None
        self.oldest_us: int | None = None  # what is older has expired
        # Of what each processor said last of its sources: the time by its clock, and when it was heard here.
        self.heard: dict[str, tuple[float, float]] = {}
        self.shortcut = Shortcut()
        # How far each file was in the store at a version, for want of a processor that says more.
        self.stored: tuple[str, tuple[SourceStatus, ...]] = ("", ())
        self.counted: tuple[float, int] | None = (
            None  # when series were counted last (monotonic), and how many
        )

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
        api = _QueryApi(self._client)  # type: ignore[no-untyped-call]
        answer, piece = Answer(), bytearray()
        reading = asyncio.create_task(asyncio.sleep(0))
        with errors_translated(self._address):
            async for part in api.parts(text, params):
                piece += part
                if len(piece) >= _PIECE_BYTES:
                    await reading  # the server goes on meanwhile, as far as one piece
                    reading = asyncio.create_task(asyncio.to_thread(answer.add, bytes(piece)))
                    piece.clear()
        await reading
        answer.add(bytes(piece))
        return answer.tables()

    async def run_influxql(self, text: str) -> Any:
        """What the server answers to statements about the bucket that never expires, as it says it.

        Raises StoreUnavailable, and StoreError where it does not answer them.
        """
        if self._client is None:
            self._client = _client(self._address, self._timeout_seconds)
        query = {**database_of(self.meta_bucket), "q": text, "epoch": "ns"}
        with errors_translated(self._address):
            return await self._client.api_client.call_api(  # type: ignore[no-untyped-call]
                "/query", "GET", query_params=list(query.items()), response_type="object"
            )

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
        ssl_ca_cert=address.ca_file,
        timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS),
        connection_pool_maxsize=_QUERIES_AT_ONCE,
        # Compressing rows takes the server four times as long as sending them over a local network.
        client_session_kwargs={"headers": {"Accept-Encoding": "identity"}},
    )
