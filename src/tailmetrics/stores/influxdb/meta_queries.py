"""What the bucket that never expires is asked for: sources, counts, reports and rejects."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

from tailmetrics.stats import Reject, RejectsPage, RejectsQuery, StoreStatus
from tailmetrics.status import SourceStatus, is_alive, status_of, stored_statuses
from tailmetrics.stores.cursors import LAST, cursor_to, place_of
from tailmetrics.stores.influxdb import influxql
from tailmetrics.stores.influxdb.csv import Tables
from tailmetrics.stores.influxdb.flux import any_of
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.source_points import stored_source
from tailmetrics.windows import from_us

STATUSES_A_POINT = 100
_COUNTED_SECONDS = 60.0  # how long a count of series is given again
ORDERS_A_MICROSECOND = 1024  # rejects that come in one commit are told apart by their order

_SOURCE_ROWS = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "source" and r._field == "state"{condition})
    |> keep(columns: ["source", "_value"])
    |> group()
    |> yield(name: "sources")
"""

SOURCES = _SOURCE_ROWS.format(condition=" and r.node == node")
ALL_SOURCES = _SOURCE_ROWS.format(condition="")

STATUS = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "source" and r._field != "state")
    |> group(columns: ["_field"])
    |> sum()
    |> yield(name: "counts")

from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "report" and r._field == "report")
    |> keep(columns: ["processor", "part", "_value"])
    |> group()
    |> yield(name: "reports")
"""

# The same in InfluxQL.
QUICK_COUNTS = (
    "SELECT sum(commits) AS commits, sum(records) AS records, sum(rejects) AS rejects, sum(blanks) AS blanks "
    "FROM source WHERE time < 1s"
)
QUICK_REPORTS = "SELECT report AS _value, processor, part FROM report WHERE time < 1s"

REJECT_ORDERS = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z)
    |> filter(fn: (r) => r._measurement == "reject" and r._field == "order")
    |> filter(fn: (r) => r._value < before)
    |> group()
    |> top(n: number)
    |> keep(columns: ["_time", "lane", "_value"])
    |> yield(name: "newest")

from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "source" and r._field == "rejects")
    |> group()
    |> sum()
    |> yield(name: "total")
"""

REJECT_LINES = """
from(bucket: bucket)
    |> range(start: first, stop: last)
    |> filter(fn: (r) => r._measurement == "reject" and r._field == "reject")
    |> filter(fn: (r) => contains(value: int(v: r._time), set: times))
    |> keep(columns: ["_time", "lane", "_value"])
    |> group()
    |> yield(name: "lines")
"""

LAST_ORDER = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z)
    |> filter(fn: (r) => r._measurement == "reject" and r._field == "order")
    |> filter(fn: (r) => r._value >= int(v: first) and r._value < int(v: end))
    |> group()
    |> max()
    |> keep(columns: ["_value"])
    |> yield(name: "last")
"""

PING = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "processor" and r._field == "beat")
    |> limit(n: 1)
    |> yield(name: "ping")
"""


# Of all times it is answered from the index; of a range it reads which series have points there.
SERIES = """
import "influxdata/influxdb"
influxdb.cardinality(
    bucket: bucket, start: 1677-09-21T00:12:43.145224194Z, stop: 2262-04-11T23:47:16.854775806Z
)
    |> yield(name: "series")
"""


def sources_by_id(number: int) -> str:
    """The text that asks for so many sources, whose ids are the parameters id_0, id_1 and so on."""
    ids = any_of([f"r.source == id_{place}" for place in range(number)])
    return _SOURCE_ROWS.format(condition=f" and {ids}")


async def ping(reader: InfluxDBReader) -> None:
    """Raises StoreUnavailable."""
    await reader.run(PING, {"bucket": reader.meta_bucket})


async def status(reader: InfluxDBReader) -> StoreStatus:
    """Counts are of all lines ever committed of the sources that are remembered. Raises StoreUnavailable."""
    counts, reports = await counted(reader)
    records, rejects, blanks = (counts.get(name, 0) for name in ("records", "rejects", "blanks"))
    version = f"{counts.get('commits', 0)}-{records}-{rejects}-{blanks}"
    sources = reported(reports, reader.heard)
    if not sources:
        if reader.stored[0] != version:
            reader.stored = (version, await _stored(reader))
        sources = reader.stored[1]
    return StoreStatus(version, records, rejects, blanks, sources)


async def counted(reader: InfluxDBReader) -> tuple[dict[str, int], Tables | None]:
    """The counts of all sources, and what processors report: asked for several times a second.

    Whether InfluxQL is trusted is decided here.
    """
    shortcut = reader.shortcut
    quick = await _counted_quickly(reader) if shortcut.is_trusted or shortcut.may_be_tried else None
    if quick is not None and shortcut.is_trusted:
        return quick
    found = await reader.run(STATUS, {"bucket": reader.meta_bucket})
    counts: dict[str, int] = {}
    if "counts" in found:
        counts = dict(zip(found["counts"]["_field"], found["counts"]["_value"], strict=True))
    if quick is not None:
        # Where nothing was committed yet, another bucket in which nothing was looks the same.
        shortcut.compared(same=bool(counts) and quick[0] == counts)
    return counts, found.get("reports")


async def _counted_quickly(reader: InfluxDBReader) -> tuple[dict[str, int], Tables | None] | None:
    found = await influxql.rows(reader.run_influxql, reader.shortcut, QUICK_COUNTS, QUICK_REPORTS)
    if found is None:
        return None
    sums, reports = found
    counts = {name: int(sums[name][0]) for name in sums.columns if name != "_time"}
    return counts, reports if reports.height else None


async def series(reader: InfluxDBReader) -> int:
    """How many series the bucket of records has, counted once a minute at most. Raises StoreUnavailable."""
    now = time.monotonic()
    if reader.counted is None or now - reader.counted[0] > _COUNTED_SECONDS:
        found = (await reader.run(SERIES, {"bucket": reader.bucket})).get("series")
        reader.counted = now, 0 if found is None else int(found["_value"].sum())
    return reader.counted[1]


async def rejects(reader: InfluxDBReader, query: RejectsQuery) -> RejectsPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    before = place_of("rejects", query.after, LAST)
    found = await reader.run(
        REJECT_ORDERS, {"bucket": reader.meta_bucket, "before": before, "number": query.limit + 1}
    )
    total = int(found["total"]["_value"][0]) if "total" in found else 0
    newest = found.get("newest")
    if newest is None or newest.is_empty():
        return RejectsPage((), total, None)
    newest = newest.sort("_value", descending=True)
    page = newest.head(query.limit)
    first, last = page["_time"].min(), page["_time"].max()
    lines = await reader.run(
        REJECT_LINES,
        {
            "bucket": reader.meta_bucket,
            "first": from_us(int(first) // 1_000),  # type: ignore[arg-type]  # whole numbers
            "last": from_us(int(last) // 1_000 + 1),  # type: ignore[arg-type]
            "times": page["_time"].to_list(),
        },
    )
    texts = {
        (time_, lane): text for time_, lane, text in lines["lines"].select("_time", "lane", "_value").rows()
    }
    return RejectsPage(
        tuple(
            _reject(texts[time_, lane], order)
            for time_, lane, order in page.select("_time", "lane", "_value").iter_rows()
            if (time_, lane) in texts
        ),
        total,
        cursor_to("rejects", page["_value"][-1]) if newest.height > page.height else None,
    )


def _reject(text: str, order: int) -> Reject:
    source_id, path, offset, reason, line = json.loads(text)
    return Reject(source_id, path, offset, reason, line, from_us(order // ORDERS_A_MICROSECOND))


def reported(rows: Tables | None, heard: dict[str, tuple[float, float]]) -> tuple[SourceStatus, ...]:
    """What each processor that lives said last; of what it said before, longer, nothing remains."""
    if rows is None:
        return ()
    said: dict[str, dict[str, Any]] = defaultdict(dict)
    for processor, part, text in rows.select("processor", "part", "_value").iter_rows():
        said[processor][part] = json.loads(text)
    statuses: list[SourceStatus] = []
    for processor, parts in said.items():
        at = parts["0"]["at"]
        if is_alive(processor, at, heard):
            latest = [report["statuses"] for report in parts.values() if report["at"] == at]
            statuses += [_status(row) for rows_of_part in latest for row in rows_of_part]
    return tuple(statuses)


def _status(row: dict[str, Any]) -> SourceStatus:
    updated_at = row["updated_at"]
    return status_of(row, None if updated_at is None else from_us(updated_at))


async def _stored(reader: InfluxDBReader) -> tuple[SourceStatus, ...]:
    """What is known of files when no processor says anything: how far each is in the store."""
    found = (await reader.run(ALL_SOURCES, {"bucket": reader.meta_bucket})).get("sources")
    if found is None:
        return ()
    rows = found.select("source", "_value").iter_rows()
    return stored_statuses(stored_source(*row).source for row in rows)
