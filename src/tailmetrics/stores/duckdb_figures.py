"""The seven figures as SQL over records, in a fast way and in one that finds room on the disk.

Each statement gives rows (key, requests, failed, average, median, p99). The key is that of a group, and
NULL in the row of all records together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tailmetrics.stats import Failures
from tailmetrics.windows import Piece

_FAILED = {
    "4xx+5xx": "status_code >= 400",
    "5xx": "status_code >= 500",
    "5xx+429": "(status_code >= 500 OR status_code = 429)",
}


class Method(Enum):
    """How the quantiles are found.

    IN_MEMORY collects the durations of each group, which DuckDB keeps in memory whole. ON_DISK counts equal
    durations and adds the counts up in order: aggregation and sorting go to the disk when memory ends.
    """

    IN_MEMORY = "in memory"
    ON_DISK = "on disk"


@dataclass(frozen=True, slots=True)
class Groups:
    """What figures are asked for: of groups by an SQL expression, of all records together, or both."""

    key: str | None
    total: bool


def figures_sql(method: Method, groups: Groups, where: str, failures: Failures) -> str:
    """The figures of the records for which `where` holds, by the groups."""
    rows = (
        f"SELECT {groups.key or 'NULL::BIGINT'} AS key, {_FAILED[failures]} AS failed, duration "
        f"FROM records WHERE {where}"
    )
    return _in_memory(rows, groups) if method is Method.IN_MEMORY else _on_disk(rows, groups)


def counts_sql(key: str, where: str, failures: Failures) -> str:
    """Rows (key, requests, failed, average) by groups, without the costly quantiles."""
    return (
        f"SELECT {key} AS key, count(*) AS requests, count(*) FILTER (WHERE {_FAILED[failures]}) AS failed, "
        f"favg(duration) AS average FROM records WHERE {where} GROUP BY 1"
    )


def window_key(pieces: Sequence[Piece]) -> str:
    """The start of the window of a record, in microseconds, as an expression over its timestamp."""
    if len(pieces) > 1:
        # A tree of comparisons, so that decades of clock changes stay cheap.
        middle = len(pieces) // 2
        return (
            f"CASE WHEN epoch_us(timestamp) < {pieces[middle].start_us} THEN {window_key(pieces[:middle])} "
            f"ELSE {window_key(pieces[middle:])} END"
        )
    [piece] = pieces
    since = f"(epoch_us(timestamp) - ({piece.anchor_us}))"
    if piece.day_us is not None:
        since = f"({since} % {piece.day_us})"
    return f"epoch_us(timestamp) - {since} % {piece.step_us}"


def _in_memory(rows: str, groups: Groups) -> str:
    figures = (
        "count(*) AS requests, count(*) FILTER (WHERE failed) AS failed, favg(duration) AS average, "
        "quantile_cont(duration, [0.5, 0.99]) AS quantiles FROM matching"
    )
    parts = []
    if groups.total:
        parts.append(f"SELECT NULL AS key, {figures}")
    if groups.key is not None:
        parts.append(f"SELECT key, {figures} GROUP BY key")
    # Rows that are read twice are found once.
    hint = "MATERIALIZED" if len(parts) > 1 else "NOT MATERIALIZED"
    return (
        f"WITH matching AS {hint} ({rows}) "
        "SELECT key, requests, failed, average, quantiles[1] AS median, quantiles[2] AS p99 "
        f"FROM ({' UNION ALL '.join(parts)})"
    )


def _on_disk(rows: str, groups: Groups) -> str:
    counted = (
        "SELECT key, duration, count(*) AS n, count(*) FILTER (WHERE failed) AS failed FROM matching "
        "GROUP BY key, duration"
    )
    if groups.total and groups.key is not None:
        counted = (
            f"SELECT key, duration, sum(n)::BIGINT AS n, sum(failed)::BIGINT AS failed FROM ({counted}) "
            "GROUP BY GROUPING SETS ((key, duration), (duration))"
        )
    return f"""
        WITH matching AS ({rows}),
        counted AS ({counted}),
        ranked AS (
            SELECT *,
                sum(n) FILTER (WHERE duration IS NOT NULL) OVER so_far AS through,
                sum(n) FILTER (WHERE duration IS NOT NULL) OVER (PARTITION BY key) AS timed
            FROM counted WINDOW so_far AS (PARTITION BY key ORDER BY duration)
        ),
        placed AS (
            SELECT *, 0.5::DOUBLE * (timed - 1) AS median_at, 0.99::DOUBLE * (timed - 1) AS p99_at FROM ranked
        )
        SELECT key, sum(n)::BIGINT AS requests, sum(failed)::BIGINT AS failed,
            fsum(duration * n) / max(timed)::DOUBLE AS average,
            {_interpolated("median_at")} AS median, {_interpolated("p99_at")} AS p99
        FROM placed GROUP BY key
    """


def _interpolated(place: str) -> str:
    """The value at a fractional rank; `through` counts the values up to and including a row's."""
    below = f"min(duration) FILTER (WHERE through > floor({place}))"
    above = f"min(duration) FILTER (WHERE through > floor({place}) + 1)"
    return f"{below} + coalesce(({above} - {below}) * max({place} - floor({place})), 0)"
