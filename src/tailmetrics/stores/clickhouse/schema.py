"""The tables of the ClickHouse store, on one server and on a cluster.

Times are microseconds since 1970-01-01T00:00:00Z, so that windows are arithmetic on whole numbers, and years
from 1 to 9999 fit, which they do not in DateTime64. Text is compared by its bytes.

`records` are requests, by customer and time. A `commit` is the number of the entry of `log` that they were
written with. Rows of a negative status, and without a customer, are no requests but fences: they stand where
a writer that did not end its commit was shut out of it. Whoever asks of all customers leaves them out, by the
status: it is two bytes that most questions read anyway. The times of the first and of the last request are
kept with each part, as no index leads to them.

`log` says what was committed, entry by entry: a row without `source_id` is the commit, with sums over all up
to it, and beside it, with entry 0, are the sources as they are behind it and were `before`. Each number has
one writer, the first to insert it. An entry is pending until `is_done` says that its records are all there,
or its number is in `done`, or another entry `undoes` it; one that deletes rejects, which its `source` names,
until they are gone.

On a cluster `records` is Distributed over the shards, each customer on one of them; all other tables are
whole on every replica of every shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SCHEMA_VERSION = 1

IS_REQUEST = "status_code >= 0"
IS_REJECT = "source_id != ''"
# A processor says one in a few seconds, and a new one has another name.
IS_OLD_REPORT = "said_us < toUnixTimestamp64Micro(now64(6)) - 86400000000"

# An insert of the same token as one of so many before it changes nothing.
_WINDOW = 10_000
_WINDOW_SECONDS = 7 * 86400  # for which replicas remember them, an hour if they are not told

_RECORDS = f"""
    customer_id String,
    time_us Int64 CODEC(Delta, LZ4),
    path LowCardinality(String),
    status_code Int16,
    duration Nullable(Float64),
    source LowCardinality(String),
    `offset` Int64 CODEC(T64, LZ4),
    commit UInt64 CODEC(T64, LZ4),
    INDEX commits commit TYPE minmax GRANULARITY 64,
    PROJECTION edges (
        SELECT {IS_REQUEST}, count(), min(time_us), max(time_us) GROUP BY {IS_REQUEST}
    )"""

_TABLES = {
    "store": ("schema_version UInt32, store_id String", "MergeTree", "schema_version"),
    "log": (
        """
    source_id String,
    entry UInt64,
    number UInt64,
    writer String,
    attempt String,
    written_us Int64 DEFAULT toUnixTimestamp64Micro(now64(6)),
    undoes UInt64,
    is_done UInt8,
    records Int64,
    rejects Int64,
    kept_rejects Int64,
    blanks Int64,
    all_records Int64,
    all_rejects Int64,
    all_blanks Int64,
    spans String,
    is_gone UInt8,
    node_id String,
    source String,
    before String""",
        "ReplacingMergeTree(number)",
        "(source_id, entry)",
    ),
    "done": ("number UInt64", "MergeTree", "number"),
    "rejects": (
        """
    place UInt64,
    source_id String,
    `offset` Int64,
    path String,
    reason String,
    line String,
    seen_us Int64,
    commit UInt64""",
        "MergeTree",
        "place",
    ),
    "reports": (
        "processor String, said_us Int64, statuses String",
        "ReplacingMergeTree(said_us)",
        "processor",
    ),
    "notes": ("name String, version UInt64, writer String, text String", "MergeTree", "(name, version)"),
}

_DAILY_STATS = f"""
CREATE VIEW IF NOT EXISTS daily_stats{{on}} AS
SELECT customer_id, day, count() AS total_requests,
    countIf(status_code != 0 AND status_code < 400) AS successful_requests,
    total_requests - successful_requests AS failed_requests,
    100 * successful_requests / total_requests AS uptime,
    avg(duration) AS average_latency,
    quantileExactInclusive(0.5)(duration) AS median_latency,
    quantileExactInclusive(0.99)(duration) AS p99_latency
FROM (
    SELECT customer_id, status_code, duration,
        addDays(
            toDate32('1970-01-01'), intDiv(time_us - positiveModulo(time_us, 86400000000), 86400000000)
        ) AS day
    FROM records WHERE {IS_REQUEST}
)
GROUP BY customer_id, day"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster as the server's configuration names it; whose servers have macros {shard} and {replica}."""

    name: str


def names() -> Sequence[str]:
    """The tables that are asked and written to."""
    return ("records", *_TABLES)


def local(table: str, cluster: Cluster | None) -> str:
    """The table of one server that has its rows."""
    return f"{table}_local" if table == "records" and cluster is not None else table


def stored(table: str, cluster: Cluster | None) -> str:
    """The table as a DELETE names it: where its rows are, on all servers that have some."""
    return local(table, cluster) + (on(cluster) if table == "records" else "")


def statements(cluster: Cluster | None) -> Iterator[str]:
    """What makes the tables and the view where there are none, one statement after the other."""
    everywhere = on(cluster)
    for name, (columns, engine, order) in _TABLES.items():
        yield _table(name, everywhere, columns, _engine(engine, cluster, name, everywhere=True), order)
    if cluster is None:
        yield _table(
            "records", everywhere, _RECORDS, _engine("MergeTree", None, "records"), "(customer_id, time_us)"
        )
    else:
        local = _engine("MergeTree", cluster, "records")
        yield _table("records_local", everywhere, _RECORDS, local, "(customer_id, time_us)")
        yield (
            f"CREATE TABLE IF NOT EXISTS records{everywhere} AS records_local\n"
            f"ENGINE = Distributed('{cluster.name}', currentDatabase(), records_local, "
            "cityHash64(customer_id))"
        )
    yield daily_stats(cluster)


def daily_stats(cluster: Cluster | None) -> str:
    """What makes the view of that name, for those who ask the database themselves."""
    return _DAILY_STATS.format(on=on(cluster)).strip()


def on(cluster: Cluster | None) -> str:
    """What makes a statement one for all servers of a cluster."""
    return "" if cluster is None else f" ON CLUSTER `{cluster.name}`"


def _table(name: str, on: str, columns: str, engine: str, order: str) -> str:
    window = f"non_replicated_deduplication_window = {_WINDOW}"
    if engine.startswith("Replicated"):
        window = window.removeprefix("non_")
        window += f", replicated_deduplication_window_seconds = {_WINDOW_SECONDS}"
    # Else rows of a table with a projection cannot be deleted before they are merged.
    rebuilt = ", lightweight_mutation_projection_mode = 'rebuild'" if "PROJECTION" in columns else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {name}{on} ({columns.rstrip()}\n) ENGINE = {engine}\nORDER BY {order}\n"
        f"SETTINGS {window}{rebuilt}"
    )


def _engine(engine: str, cluster: Cluster | None, name: str, *, everywhere: bool = False) -> str:
    if cluster is None:
        return engine
    kind, _, arguments = engine.partition("(")
    path, replica = f"/clickhouse/tables/{{database}}/{name}", "{replica}"
    if everywhere:
        replica = "{shard}-{replica}"
    else:
        path = f"{path}/{{shard}}"
    given = [f"'{path}'", f"'{replica}'", *([arguments.rstrip(")")] if arguments else [])]
    return f"Replicated{kind}({', '.join(given)})"
