"""What the DuckDB file is asked: each query for itself, or several on one snapshot."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CustomersPage,
    CustomersQuery,
    RejectsPage,
    RejectsQuery,
    StatsAnswer,
    StatsQuery,
    Trend,
    TrendsQuery,
)
from tailmetrics.stores.duckdb import counts_query, customers_query, stats_query
from tailmetrics.stores.duckdb.reader import Reader

_Result = TypeVar("_Result")


class ReaderQueries(ABC):
    """The queries of a store, as work for a Reader."""

    @abstractmethod
    async def _ask(self, query: Callable[[Reader], _Result]) -> _Result:
        """What `query` returns, called with a reader in another thread."""

    async def stats(self, query: StatsQuery) -> StatsAnswer:
        return await self._ask(lambda reader: stats_query.stats(reader, query))

    async def customers(self, query: CustomersQuery) -> CustomersPage:
        return await self._ask(lambda reader: customers_query.customers(reader, query))

    async def breakdown(self, query: BreakdownQuery) -> Breakdown:
        return await self._ask(lambda reader: counts_query.breakdown(reader, query))

    async def trends(self, query: TrendsQuery) -> Sequence[Trend]:
        return await self._ask(lambda reader: counts_query.trends(reader, query))

    async def span(self) -> tuple[datetime, datetime] | None:
        return await self._ask(counts_query.span)

    async def rejects(self, query: RejectsQuery) -> RejectsPage:
        return await self._ask(lambda reader: stats_query.rejects(reader, query))


class Snapshot(ReaderQueries):
    """Queries that see the state after the same commit, one at a time, however many are asked at once.

    `run` calls one with the reader of the snapshot.
    """

    def __init__(self, run: Callable[[Callable[[Reader], Any]], Awaitable[Any]]) -> None:
        self._run = run
        self._turn = asyncio.Lock()  # so that no thread waits for the others

    async def _ask(self, query: Callable[[Reader], _Result]) -> _Result:
        async with self._turn:
            result: _Result = await self._run(query)
            return result
