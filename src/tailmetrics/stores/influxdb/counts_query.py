"""What can be counted in InfluxDB without looking at latencies: paths, statuses, spread over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from tailmetrics.stats import Breakdown, BreakdownQuery, Trend, TrendsQuery
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import edges, failed, far_requests, merged
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.stats_query import asked_of, check_known
from tailmetrics.stores.results import breakdown_of, can_be_stored, trends_of
from tailmetrics.windows import from_us, to_us


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
    rows = pl.concat([near, far_requests(found, asked).select("path", "status_code")])
    if not rows.height:
        await check_known(reader, query.customer_id)
        return Breakdown()
    return breakdown_of(query, rows)


async def trends(reader: InfluxDBReader, query: TrendsQuery) -> Sequence[Trend]:
    """Raises StoreUnavailable."""
    ids = [customer_id for customer_id in dict.fromkeys(query.customer_ids) if can_be_stored(customer_id)]
    asked = Asked.of(reader.bucket, ids, query.start, query.end)
    start_us, end_us = to_us(query.start), to_us(query.end)
    bounds = [min(end_us, start_us + part * query.part_us) for part in range(query.parts + 1)]
    statements, params = flux.spread(asked, bounds)
    statements += flux.far_rows(asked, [])
    found = {}
    if ids and statements:
        found = await reader.run(flux.text_of(asked, statements), {**asked.params, **params})
    columns: dict[str, pl.DataType] = {
        "customer_id": pl.String(),
        "status_code": pl.Int16(),
        "_value": pl.Int64(),
    }
    far = far_requests(found, asked).select(
        "customer_id",
        "status_code",
        pl.lit(1, pl.Int64).alias("_value"),
        ((pl.col("time") - start_us) // query.part_us).alias("part"),
    )
    counted = pl.concat(
        [
            far,
            *(
                merged(found, str(part), columns).with_columns(part=pl.lit(part, pl.Int64))
                for part in range(query.parts)
            ),
        ]
    )
    failures = pl.when(failed(query.failures)).then("_value").otherwise(0).alias("failed")
    return trends_of(query, counted.select("customer_id", "part", "_value", failures).iter_rows())


async def span(reader: InfluxDBReader) -> tuple[datetime, datetime] | None:
    """The times of the first and the last request. Raises StoreUnavailable."""
    asked = Asked.of(reader.bucket, None, None, None)
    found = await reader.run(
        flux.text_of(asked, [*flux.edges(asked), *flux.far_rows(asked, [])]), asked.params
    )
    times = [*far_requests(found, asked)["time"], *edges(found)]
    return (from_us(min(times)), from_us(max(times))) if times else None
