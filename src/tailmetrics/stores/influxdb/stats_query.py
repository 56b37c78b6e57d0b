"""Figures from InfluxDB: totals computed by the server, windows from the rows of their requests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import (
    CustomersPage,
    CustomersQuery,
    CustomerStats,
    StatsAnswer,
    StatsQuery,
    Summary,
)
from tailmetrics.stores.cursors import cursor_to, place_of
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import failed, far_requests, merged, requests, summaries
from tailmetrics.stores.influxdb.reader import Reader
from tailmetrics.stores.influxdb.record_points import TICKS
from tailmetrics.stores.results import answer_in_one_window, answer_in_windows, summary_of
from tailmetrics.windows import DAY_US, Grid, clocks_change, zone_named

_YEAR_US = 366 * DAY_US
_QUANTILES = ("median", "p99")
_BY_CUSTOMER: dict[str, pl.DataType] = {"customer_id": pl.String(), "_value": pl.Int64()}
_STATUS_COUNTS: dict[str, pl.DataType] = {"status_code": pl.Int16(), "_value": pl.Int64()}


async def stats(reader: Reader, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    zone_named(query.tz)
    ids = None if query.customer_id is None else [query.customer_id]
    if query.customer_id is not None and not is_storable(query.customer_id):
        raise UnknownCustomer(query.customer_id)
    asked = Asked.of(reader.bucket, ids, query.start, query.end)
    in_windows = bool(query.every.days or query.every.seconds)
    answer = None if in_windows else await _by_the_server(reader, query, asked)
    if answer is None:
        answer = await _by_rows(reader, query, asked)
    if not answer.summary.total_requests:
        await check_known(reader, query.customer_id)
    return answer


async def customers(reader: Reader, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable.

    A first request ranks the customers, a second one has the latencies of those on the page; where the rank
    is by a latency, the first one has those of all.
    """
    offset = 0 if query.after is None else place_of("customers", query.after)
    asked = Asked.of(reader.bucket, None, query.start, query.end)
    by_latency = query.sort in ("average", *_QUANTILES)
    failed_statuses = flux.FAILED_STATUSES[query.failures]
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
    if query.search:
        totals = totals.filter(pl.col("customer_id").str.contains(query.search, literal=True))
    if by_latency:
        totals = totals.join(_customer_latencies(found), on="customer_id", how="left")
        if far.height:
            ids = far["customer_id"].unique().to_list()
            totals = totals.update(await _latencies_by_rows(reader, query, ids), on="customer_id")
    ranked = _ranked(totals, query)
    page = ranked.slice(offset, query.limit)
    if not page.height:
        return CustomersPage((), ranked.height, None)
    if not by_latency:
        page_ids = page["customer_id"].to_list()
        if far.filter(pl.col("customer_id").is_in(page_ids)).height:
            latencies = await _latencies_by_rows(reader, query, page_ids)
        else:
            of_page = Asked.of(reader.bucket, page_ids, query.start, query.end)
            latencies = _customer_latencies(await _run(reader, of_page, _latencies(of_page)))
        page = page.join(latencies, on="customer_id", how="left", maintain_order="left")
    following = offset + page.height
    columns = ("customer_id", "requests", "failed", "average", "median", "p99")
    return CustomersPage(
        tuple(CustomerStats(name, summary_of(*row)) for name, *row in page.select(columns).iter_rows()),
        ranked.height,
        cursor_to("customers", following) if following < ranked.height else None,
    )


async def check_known(reader: Reader, customer_id: str | None) -> None:
    """Raise UnknownCustomer when a customer has no request at any time."""
    if customer_id is None:
        return
    anywhere = Asked.of(reader.bucket, [customer_id], None, None)
    found = await _run(reader, anywhere, [flux.known(anywhere)])
    if "known" not in found:
        raise UnknownCustomer(customer_id)


def is_storable(text: str) -> bool:
    """Whether a text can be a tag: half of a surrogate pair cannot, nor can nothing."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


async def _by_the_server(reader: Reader, query: StatsQuery, asked: Asked) -> StatsAnswer | None:
    """One window for all; None where a time that InfluxDB cannot keep is among those asked for."""
    is_open = query.start is None or query.end is None
    found = await _run(
        reader,
        asked,
        [
            *flux.counts(asked, ["status_code"]),
            *flux.latency_sums(asked, []),
            *flux.quantiles(asked, []),
            *(flux.edges(asked) if is_open else ()),
            *flux.far_rows(asked, ["duration"]),
        ],
    )
    if far_requests(found, asked).height:
        return None
    statuses = merged(found, "counts", _STATUS_COUNTS)
    timed = int(merged(found, "timed", {"_value": pl.Int64()})["_value"].sum())
    seconds = merged(found, "seconds", {"_value": pl.Float64()})["_value"]
    median, p99 = (found[name]["_value"][0] if name in found else None for name in _QUANTILES)
    total = summary_of(
        int(statuses["_value"].sum()),
        int(statuses.filter(failed(query.failures))["_value"].sum()),
        math.fsum(seconds) / timed if timed else None,
        median,
        p99,
    )
    span = None
    if is_open and total.total_requests:
        times = [
            found[f"{name}_{tick}"]["_time"][0] // length * length // 1_000
            for name in ("first", "last")
            for tick, length in TICKS.items()
            if f"{name}_{tick}" in found
        ]
        span = (min(times), max(times)) if times else None  # what expires meanwhile has no edges
    return answer_in_one_window(query, total, span)


async def _by_rows(reader: Reader, query: StatsQuery, asked: Asked) -> StatsAnswer:
    """Any windows: Flux would take ten times as long to cut rows into windows as they take to be sent."""
    fields = ("duration", "untimed")
    found = await _run(
        reader,
        asked,
        [
            *flux.rows(asked, fields, ["_time", "_value", "status_code"]),
            *flux.far_rows(asked, ["duration", "path"]),
        ],
    )
    return await asyncio.to_thread(_answer_of_rows, query, asked, found)


def _answer_of_rows(query: StatsQuery, asked: Asked, found: dict[str, pl.DataFrame]) -> StatsAnswer:
    near = requests(found)
    rows = pl.concat([near, far_requests(found, asked).select(near.columns)])
    total = summaries(rows.with_columns(key=pl.lit(0)), "key", query.failures).get(0, Summary())
    zone = zone_named(query.tz)
    if not (query.every.days or query.every.seconds):
        times = rows["time"]
        return answer_in_one_window(query, total, (times.min(), times.max()) if rows.height else None)  # type: ignore[arg-type]  # whole numbers
    grid = Grid(query.every, zone, _spans(rows) if clocks_change(zone) else [])
    if not rows.height or not grid.pieces:
        return answer_in_windows(query, zone, grid, total, ())
    windows = summaries(
        rows.with_columns(window=_window_starts(rows["time"], grid)), "window", query.failures
    )
    return answer_in_windows(query, zone, grid, total, sorted(windows.items()))  # type: ignore[arg-type]  # keys are times


def _window_starts(times: pl.Series, grid: Grid) -> pl.Series:
    """Where the window of each time begins, all in microseconds."""
    moments = times.to_numpy()
    begins = np.array([piece.start_us for piece in grid.pieces])
    places = np.searchsorted(begins, moments, side="right") - 1
    anchors, steps, days = (
        np.array(column)[places]
        for column in zip(
            *((piece.anchor_us, piece.step_us, piece.day_us or 2**62) for piece in grid.pieces), strict=True
        )
    )
    return pl.Series(moments - (moments - anchors) % days % steps)


def _spans(rows: pl.DataFrame) -> list[tuple[int, int]]:
    """Where the requests lie: a few wrong dates must not make windows of millennia."""
    years = rows.group_by(pl.col("time") // _YEAR_US).agg(
        pl.col("time").min().alias("first"), pl.col("time").max().alias("last")
    )
    return [(first, last + 1) for first, last in years.sort("first").select("first", "last").iter_rows()]


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
    figures = seconds.join(timed, on="customer_id").select(
        "customer_id", average=pl.col("seconds") / pl.col("timed")
    )
    for name in _QUANTILES:
        values = found.get(name, empty).select("customer_id", pl.col("_value").alias(name))
        figures = figures.join(values, on="customer_id", how="left")
    return figures


def _summed(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.group_by("customer_id").agg(pl.col("_value").sum().alias(name))


async def _latencies_by_rows(reader: Reader, query: CustomersQuery, ids: Sequence[str]) -> pl.DataFrame:
    """For customers with a request of a time that InfluxDB cannot keep: the server leaves it out."""
    asked = Asked.of(reader.bucket, ids, query.start, query.end)
    columns = ["_time", "_value", "customer_id", "status_code"]
    found = await _run(
        reader, asked, [*flux.rows(asked, ["duration"], columns), *flux.far_rows(asked, ["duration"])]
    )
    near = requests(found, ["customer_id"])
    rows = pl.concat([near, far_requests(found, asked).select(near.columns)])
    return rows.group_by("customer_id").agg(
        pl.col("duration").mean().alias("average"),
        pl.col("duration").quantile(0.5, "linear").alias("median"),
        pl.col("duration").quantile(0.99, "linear").alias("p99"),
    )


def _ranked(totals: pl.DataFrame, query: CustomersQuery) -> pl.DataFrame:
    """In the order of a question; equal ones by the bytes of their ids."""
    rank = {
        "requests": pl.col("requests"),
        "failures": pl.col("failed"),
        "uptime": (pl.col("requests") - pl.col("failed")) / pl.col("requests"),
    }.get(query.sort, pl.col(query.sort))
    if query.sort == "customer_id":
        return totals.sort("customer_id", descending=query.descending)
    return totals.with_columns(rank=rank).sort(
        "rank", "customer_id", descending=[query.descending, False], nulls_last=True
    )


async def _run(reader: Reader, asked: Asked, statements: Sequence[str]) -> dict[str, pl.DataFrame]:
    if not statements:
        return {}
    return await reader.run(flux.text_of(asked, statements), asked.params)
