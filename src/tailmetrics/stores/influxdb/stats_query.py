"""Statistics from InfluxDB: totals computed by the server, windows from the points of their requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import polars as pl

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import (
    MAX_PAGE,
    MAX_WINDOWS,
    BreakdownQuery,
    CustomersPage,
    CustomersQuery,
    StatsAnswer,
    StatsQuery,
)
from tailmetrics.stores.cursors import place_of
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import all_requests, edges, failed, far_requests, merged
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.results import (
    can_be_stored,
    check_storable,
    customers_page,
    latencies,
    listed,
    ranked,
    result_in_one_window,
    result_of_rows,
    summary_of,
)
from tailmetrics.stores.windowing import check_filling, number_of_windows, too_many_windows
from tailmetrics.windows import to_us

_QUANTILES = ("median", "p99")
_ROW = ("_measurement", "_field", "_time", "_value", "status_code")
_BY_CUSTOMER: dict[str, pl.DataType] = {"customer_id": pl.String(), "_value": pl.Int64()}
_STATUS_COUNTS: dict[str, pl.DataType] = {
    "status_code": pl.Int16(),
    "_field": pl.String(),
    "_value": pl.Int64(),
}


async def stats(reader: InfluxDBReader, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    asked = asked_of(reader, query)
    answer = None if query.every.cuts else await _by_the_server(reader, query, asked)
    if answer is None:
        answer = await _by_rows(reader, query, asked)
    if not answer.summary.total_requests:
        await check_known(reader, query.customer_id)
    return answer


async def customers(reader: InfluxDBReader, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable.

    A first request ranks the customers, a second one has the latencies of those on the page; where the rank
    is by a latency, the first one has those of all.
    """
    offset = place_of("customers", query.after, 0)
    if query.search and not can_be_stored(query.search):
        return CustomersPage((), 0, None)
    asked = Asked.of(reader.bucket, None, query.start, query.end)
    by_latency = query.sort in ("average", *_QUANTILES) or query.limit > MAX_PAGE
    failed_statuses = flux.failed_statuses(query.failures)
    found = await _run(
        reader,
        asked,
        [
            *flux.counts(asked, ["customer_id"]),
            *flux.counts(asked, ["customer_id"], statuses=failed_statuses, name="failed"),
            *(_latencies(asked) if by_latency else ()),
            *flux.far_rows(asked, ["duration"]),
        ],
    )
    far = far_requests(found, asked)
    totals = _customer_counts(found, far, query)
    totals = totals.filter(listed(query))
    if by_latency:
        totals = totals.join(_customer_latencies(found), on="customer_id", how="left")
        if far.height:
            ids = far["customer_id"].unique().to_list()
            totals = totals.update(await _latencies_by_rows(reader, query, ids), on="customer_id")
    page = ranked(totals, query).slice(offset, query.limit)
    if page.height and not by_latency:
        page = page.join(
            await _latencies_of(reader, query, page["customer_id"].to_list(), far),
            on="customer_id",
            how="left",
            maintain_order="left",
        )
    columns = ("customer_id", "requests", "failed", "average", "median", "p99")
    listing = page.select(columns).iter_rows() if page.height else ()
    return customers_page(listing, totals.height, offset)


async def _latencies_of(
    reader: InfluxDBReader, query: CustomersQuery, ids: Sequence[str], far: pl.DataFrame
) -> pl.DataFrame:
    if far.filter(pl.col("customer_id").is_in(ids)).height:
        return await _latencies_by_rows(reader, query, ids)
    asked = Asked.of(reader.bucket, ids, query.start, query.end)
    return _customer_latencies(await _run(reader, asked, _latencies(asked)))


def asked_of(reader: InfluxDBReader, query: StatsQuery | BreakdownQuery) -> Asked:
    """The requests that a query is about. Raises UnknownCustomer for an id that no request can have."""
    check_storable(query.customer_id)
    ids = None if query.customer_id is None else [query.customer_id]
    return Asked.of(reader.bucket, ids, query.start, query.end)


async def check_known(reader: InfluxDBReader, customer_id: str | None) -> None:
    """Raise UnknownCustomer when a customer has no request at any time."""
    if customer_id is None:
        return
    anywhere = Asked.of(reader.bucket, [customer_id], None, None)
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
            *flux.sums(asked, []),
            *flux.quantiles(asked, []),
            *(flux.edges(asked) if is_open else ()),
            *flux.far_rows(asked, ["duration"]),
        ],
    )
    if far_requests(found, asked).height:
        return None
    statuses = merged(found, "counts", _STATUS_COUNTS)
    timed = int(statuses.filter(pl.col("_field") == "duration")["_value"].sum())
    seconds = merged(found, "seconds", {"_value": pl.Float64()})["_value"]
    median, p99 = (found[name]["_value"][0] if name in found else None for name in _QUANTILES)
    total = summary_of(
        int(statuses["_value"].sum()),
        int(statuses.filter(failed(query.failures))["_value"].sum()),
        float(seconds.sum()) / timed if timed else None,
        median,
        p99,
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


def _latencies(asked: Asked) -> list[str]:
    keys = ["customer_id"]
    return [*flux.latency_sums(asked, keys), *flux.quantiles(asked, keys)]


def _customer_counts(
    found: dict[str, pl.DataFrame], far: pl.DataFrame, query: CustomersQuery
) -> pl.DataFrame:
    """Requests and failed ones of each customer."""
    of_far = far.select("customer_id", failed(query.failures).alias("failed"), _value=pl.lit(1, pl.Int64))
    requests = pl.concat([merged(found, "counts", _BY_CUSTOMER), of_far.drop("failed")])
    failures = pl.concat([merged(found, "failed", _BY_CUSTOMER), of_far.filter("failed").drop("failed")])
    return (
        _summed(requests, "requests")
        .join(_summed(failures, "failed"), on="customer_id", how="left")
        .with_columns(pl.col("failed").fill_null(0))
    )


def _customer_latencies(found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Average, median and 99th percentile of each customer that has some, as the server has them."""
    seconds = _summed(merged(found, "seconds", {**_BY_CUSTOMER, "_value": pl.Float64()}), "seconds")
    timed = _summed(merged(found, "timed", _BY_CUSTOMER), "timed")
    empty = pl.DataFrame(schema={"customer_id": pl.String(), "_value": pl.Float64()})
    aggregates = seconds.join(timed, on="customer_id").select(
        "customer_id", average=pl.col("seconds") / pl.col("timed")
    )
    for name in _QUANTILES:
        values = found.get(name, empty).select("customer_id", pl.col("_value").alias(name))
        aggregates = aggregates.join(values, on="customer_id", how="left")
    return aggregates


def _summed(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.group_by("customer_id").agg(pl.col("_value").sum().alias(name))


async def _latencies_by_rows(
    reader: InfluxDBReader, query: CustomersQuery, ids: Sequence[str]
) -> pl.DataFrame:
    """For customers with a request of a time that InfluxDB cannot keep: the server leaves it out."""
    asked = Asked.of(reader.bucket, ids, query.start, query.end)
    rows = flux.rows(asked, ["duration"], ["customer_id", *_ROW], "duration")
    found = await _run(reader, asked, [*rows, *flux.far_rows(asked, ["duration"])])
    return all_requests(found, asked, ["customer_id"]).group_by("customer_id").agg(latencies())


async def _run(reader: InfluxDBReader, asked: Asked, statements: Sequence[str]) -> dict[str, pl.DataFrame]:
    if not statements:
        return {}
    return await reader.run(flux.text_of(asked, statements), asked.params)
