"""What the DuckDB file is asked: each query for itself, or several on one snapshot."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from tailmetrics.stores.duckdb.queries import counts_query, customers_query, records_query, stats_query
from tailmetrics.stores.duckdb.queries.reader import Reader

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def _asked(
    query: Callable[Concatenate[Reader, _Given], _Result],
) -> Callable[Concatenate[Any, _Given], Coroutine[Any, Any, _Result]]:
    """A method that answers what a function of a reader does."""

    async def ask(queries: ReaderQueries, /, *given: _Given.args, **named: _Given.kwargs) -> _Result:
        return await queries._ask(lambda reader: query(reader, *given, **named))

    return ask


class ReaderQueries(ABC):
    """The queries of a store, as work for a Reader."""

    @abstractmethod
    async def _ask(self, query: Callable[[Reader], _Result]) -> _Result:
        """What `query` returns, called with a reader in another thread."""

    stats = _asked(stats_query.stats)
    customers = _asked(customers_query.customers)
    breakdown = _asked(counts_query.breakdown)
    trends = _asked(counts_query.trends)
    counts = _asked(counts_query.counts)
    requests = _asked(records_query.requests)
    rejects = _asked(stats_query.rejects)
    span = _asked(counts_query.span)
    _count = _asked(records_query.count)
    _page = _asked(records_query.page)


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
