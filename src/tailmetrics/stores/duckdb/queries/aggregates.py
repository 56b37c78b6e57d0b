"""Counts, uptime and latencies as SQL over records, in a fast way and in one that finds room on the disk.

Each statement gives rows (key, requests, failed, average, median, p99). The key is that of a group, and
NULL in the row of all records together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tailmetrics.stats import Failures
from tailmetrics.stores.duckdb.queries.conditions import Condition
from tailmetrics.stores.results import failed_sql
from tailmetrics.stores.windowing import by_piece
from tailmetrics.windows import Piece


class Method(Enum):
    """How the quantiles are found.

    IN_MEMORY collects the durations of each group; DuckDB cannot put those on the disk when memory ends.
    ON_DISK counts durations by magnitude, and looks only at those near the quantiles one by one.
    """

    IN_MEMORY = "in memory"
    ON_DISK = "on disk"


@dataclass(frozen=True, slots=True)
class Groups:
    """What aggregates are of: groups by an SQL expression, of all records together, or both."""

    key: str | None
    total: bool


def aggregates_sql(method: Method, groups: Groups, where: Condition, failures: Failures) -> list[str]:
    """Statements that together give the aggregates of the records of a condition, by the groups."""

    def rows(key: str) -> str:
        return (
            f"SELECT {key} AS key, {failed_sql(failures)} AS failed, duration "
            f"FROM {where.view} WHERE {where.sql}"
        )

    # The total of many groups is found on the disk either way: one statement for both takes 70 MB more of two
    # million records, and as long.
    of_total = _in_memory if method is Method.IN_MEMORY and groups.key is None else _on_disk
    of_groups = _in_memory if method is Method.IN_MEMORY else _on_disk
    statements = []
    if groups.total:
        statements.append(of_total(rows("0"), "NULL"))
    if groups.key is not None:
        statements.append(of_groups(rows(groups.key), "key"))
    return statements


def counts_sql(key: str, where: Condition, failures: Failures) -> str:
    """Rows (key, requests, failed, average) by groups, without the costly quantiles."""
    return (
        f"SELECT {key} AS key, count(*) AS requests, "
        f"count(*) FILTER (WHERE {failed_sql(failures)}) AS failed, favg(duration) AS average "
        f"FROM {where.view} WHERE {where.sql} GROUP BY 1"
    )


def window_key(pieces: Sequence[Piece]) -> str:
    """The start of the window of a record, in microseconds, as an expression over its timestamp."""

    def start_in(piece: Piece) -> str:
        since = f"(epoch_us(timestamp) - ({piece.anchor_us}))"
        if piece.day_us is not None:
            since = f"({since} % {piece.day_us})"
        return f"epoch_us(timestamp) - {since} % {piece.step_us}"

    def choose(us: int, earlier: str, later: str) -> str:
        return f"CASE WHEN epoch_us(timestamp) < {us} THEN {earlier} ELSE {later} END"

    return by_piece(pieces, start_in, choose)


def _in_memory(rows: str, shown_key: str) -> str:
    return (
        f"SELECT {shown_key} AS key, requests, failed, average, quantiles[1] AS median, quantiles[2] AS p99 "
        "FROM (SELECT key, count(*) AS requests, count(*) FILTER (WHERE failed) AS failed, "
        "favg(duration) AS average, quantile_cont(duration, [0.5, 0.99]) AS quantiles "
        f"FROM ({rows}) GROUP BY key)"
    )


# Whole microseconds, milliseconds, tenths of seconds or tens of seconds: few, and in the order of durations.
_MAGNITUDE = """
    CASE WHEN duration IS NULL THEN NULL
         WHEN duration < 1e-3 THEN floor(duration * 1e6)
         WHEN duration < 10 THEN 1e4 + floor(duration * 1e3)
         WHEN duration < 1e3 THEN 3e4 + floor(duration * 10)
         ELSE 5e4 + least(floor(duration / 10), 1e5) END
"""
# Of rows (key, failed, duration, magnitude), named `matching`.
_QUANTILES_ON_DISK = """
    counted AS (
        SELECT key, magnitude, count(*) AS n, count(*) FILTER (WHERE failed) AS failed,
            count(duration) AS timed, fsum(duration) AS seconds
        FROM matching GROUP BY ALL
    ),
    totals AS (
        SELECT key, sum(n)::BIGINT AS requests, sum(failed)::BIGINT AS failed,
            sum(timed)::BIGINT AS timed, fsum(seconds) / sum(timed)::DOUBLE AS average
        FROM counted GROUP BY key
    ),
    magnitudes AS (
        SELECT key, magnitude, timed,
            sum(timed) OVER (PARTITION BY key ORDER BY magnitude) - timed AS below
        FROM counted WHERE magnitude IS NOT NULL
    ),
    ranks AS (
        SELECT key, q, q * (timed - 1) AS exact, floor(q * (timed - 1)) + step AS rank, step
        FROM totals, (VALUES (0.5::DOUBLE), (0.99)) quantiles (q), (VALUES (0), (1)) steps (step)
        WHERE timed > 0
    ),
    wanted AS (
        SELECT ranks.*, magnitude, rank - below AS rank_within
        FROM ranks JOIN magnitudes USING (key) WHERE rank >= below AND rank < below + timed
    ),
    near AS (
        SELECT key, magnitude, duration, count(*) AS n
        FROM matching SEMI JOIN wanted USING (key, magnitude) GROUP BY ALL
    ),
    ordered AS (
        SELECT *, sum(n) OVER (PARTITION BY key, magnitude ORDER BY duration) AS through FROM near
    ),
    ends AS (
        SELECT key, q, step, any_value(exact - floor(exact)) AS fraction, min(duration) AS duration
        FROM wanted JOIN ordered USING (key, magnitude) WHERE through > rank_within
        GROUP BY key, q, step
    ),
    quantiles AS (
        SELECT key, q, any_value(duration) FILTER (WHERE step = 0) AS low,
            any_value(duration) FILTER (WHERE step = 1) AS high, any_value(fraction) AS fraction
        FROM ends GROUP BY key, q
    ),
    interpolated AS (
        -- The highest value has none above it.
        SELECT key, q, low + coalesce((high - low) * fraction, 0) AS value FROM quantiles
    )
"""


def _on_disk(rows: str, shown_key: str) -> str:
    return f"""
        WITH matching AS NOT MATERIALIZED (SELECT *, {_MAGNITUDE} AS magnitude FROM ({rows})),
        {_QUANTILES_ON_DISK}
        SELECT {shown_key}, requests, failed, average,
            any_value(value) FILTER (WHERE q = 0.5) AS median, any_value(value) FILTER (WHERE q = 0.99) AS p99
        FROM totals LEFT JOIN interpolated USING (key)
        GROUP BY key, requests, failed, average
    """
