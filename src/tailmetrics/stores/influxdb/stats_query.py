"""Statistics from InfluxDB: totals computed by the server, windows, paths and statuses from the points."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import polars as pl

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import (
    MAX_WINDOWS,
    Breakdown,
    BreakdownQuery,
    RequestsQuery,
    StatsAnswer,
    StatsQuery,
)
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import (
    all_requests,
    edges,
    failed,
    far_requests,
    merged,
    with_far,
)
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.results import (
    breakdown_of,
    check_storable,
    result_in_one_window,
    result_of_rows,
    summary_of,
)
from tailmetrics.stores.windowing import check_filling, number_of_windows, too_many_windows
from tailmetrics.windows import to_us

_ROW = ("_measurement", "_field", "_time", "_value", "status_code")
_STATUS_COUNTS: dict[str, pl.DataType] = {"status_code": pl.Int16(), "_value": pl.Int64()}


async def stats(reader: InfluxDBReader, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    asked = asked_of(reader, query)
    answer = None if query.every.cuts else await _by_the_server(reader, query, asked)
    if answer is None:
        answer = await _by_rows(reader, query, asked)
    if not answer.summary.total_requests:
        await check_known(reader, query.customer_id)
    return answer


async def breakdown(reader: InfluxDBReader, query: BreakdownQuery) -> Breakdown:
    """Raises UnknownCustomer and StoreUnavailable."""
    asked = asked_of(reader, query)
    statements = [
        *flux.rows(asked, ["path"], ["_value", "status_code"], "path"),
        *flux.far_rows(asked, ["path"]),
    ]
    found = await reader.run(flux.text_of(asked, statements), asked.params) if statements else {}
    near = merged(found, "path", {"_value": pl.String(), "status_code": pl.Int16()}).rename(
        {"_value": "path"}
    )
    rows = with_far(near, found, asked)
    if not rows.height:
        await check_known(reader, query.customer_id)
        return Breakdown()
    return breakdown_of(query, rows)


def asked_of(reader: InfluxDBReader, query: StatsQuery | BreakdownQuery | RequestsQuery) -> Asked:
    """The requests that a query is about. Raises UnknownCustomer for an id that no request can have."""
    check_storable(query.customer_id)
    ids = None if query.customer_id is None else [query.customer_id]
    return Asked.of(reader.bucket, ids, query.start, query.end, reader.oldest_us, only=query.only)


async def check_known(reader: InfluxDBReader, customer_id: str | None) -> None:
    """Raise UnknownCustomer when a customer has no request at any time."""
    if customer_id is None:
        return
    anywhere = Asked.of(reader.bucket, [customer_id], None, None, reader.oldest_us)
    found = await _run(reader, anywhere, [flux.known(anywhere)])
    if "known" not in found:
        raise UnknownCustomer(customer_id)


async def _by_the_server(reader: InfluxDBReader, query: StatsQuery, asked: Asked) -> StatsAnswer | None:
    """One window for all; None where a time that InfluxDB cannot keep is among those asked for."""
    is_open = query.start is None or query.end is None
    found = await _run(
        reader,
        asked,
        [
            *flux.counts(asked, ["status_code", "_field"], "duration", "untimed"),
            *flux.latencies(asked),
            *(flux.edges(asked) if is_open else ()),
            *flux.far_rows(asked, ["duration"]),
        ],
    )
    if far_requests(found, asked).height:
        return None
    statuses = merged(found, "counts", _STATUS_COUNTS)
    total = summary_of(
        int(statuses["_value"].sum()),
        int(statuses.filter(failed(query.failures))["_value"].sum()),
        *(found[name]["_value"][0] if name in found else None for name in flux.LATENCIES),
    )
    span = None
    if is_open and total.total_requests:
        times = edges(found)
        span = (min(times), max(times)) if times else None  # what expires meanwhile has no edges
    return result_in_one_window(query, total, span)


async def _by_rows(reader: InfluxDBReader, query: StatsQuery, asked: Asked) -> StatsAnswer:
    """Any windows: Flux would take ten times as long to cut rows into windows as they take to be sent."""
    if query.every.cuts:
        await _check_windows(reader, query, asked)
    found = await _run(
        reader,
        asked,
        [
            *flux.rows(asked, ["duration", "untimed"], _ROW, "duration"),
            *flux.far_rows(asked, ["duration", "path"]),
        ],
    )
    return await asyncio.to_thread(lambda: result_of_rows(query, all_requests(found, asked)))


async def _check_windows(reader: InfluxDBReader, query: StatsQuery, asked: Asked) -> None:
    """Raises QueryError for more windows than an answer may have, by the clock and by requests."""
    check_filling(query)
    if query.start is not None and query.end is not None:
        bounds = [(to_us(query.start), to_us(query.end))]
        if number_of_windows(query, bounds) <= MAX_WINDOWS:
            return
    found = await _run(reader, asked, [*flux.edges(asked), *flux.far_rows(asked, [])])
    far = far_requests(found, asked)["time"].to_list()
    times = [*far, *edges(found)]
    if not times:
        return
    spans = [(min(times), max(times) + 1)]
    check_filling(query, spans)
    if (number := number_of_windows(query, spans)) > MAX_WINDOWS:
        counted = merged(await _run(reader, asked, flux.counts(asked, [])), "counts", {"_value": pl.Int64()})
        if len(far) + counted["_value"].sum() > MAX_WINDOWS:
            raise too_many_windows(query, number, spans[0][1] - spans[0][0])


async def _run(reader: InfluxDBReader, asked: Asked, statements: Sequence[str]) -> dict[str, pl.DataFrame]:
    if not statements:
        return {}
    return await reader.run(flux.text_of(asked, statements), asked.params)
