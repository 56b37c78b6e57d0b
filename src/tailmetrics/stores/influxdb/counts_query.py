"""What can be counted in InfluxDB without looking at latencies: paths, statuses, spread over time."""

from __future__ import annotations

import polars as pl

from tailmetrics.stats import Breakdown, BreakdownQuery
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.points_read import far_requests, merged
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.stats_query import asked_of, check_known
from tailmetrics.stores.results import breakdown_of


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
