"""The rejects of the DuckDB file: rows of the first and the last ones, and how many there were besides."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import duckdb

from tailmetrics.stores.reject_limits import halves, kept_of_source

COUNT = "(SELECT count(*) FROM rejects) + (SELECT rejects FROM omitted)"

_FULL_SOURCES = """
    SELECT source_key FROM rejects WHERE list_contains($keys, source_key)
    GROUP BY source_key HAVING count(*) > $kept
"""
_BETWEEN = """
    DELETE FROM rejects WHERE {condition}
    AND id > (SELECT id FROM rejects WHERE {condition} ORDER BY id LIMIT 1 OFFSET $first - 1)
    AND id < (SELECT id FROM rejects WHERE {condition} ORDER BY id DESC LIMIT 1 OFFSET $last - 1)
"""


def omit(connection: duckdb.DuckDBPyConnection, keys: Iterable[int], kept: int) -> int:
    """Delete what is too much after rejects of sources were inserted; returns how many.

    `kept` is how many of all sources are kept.
    """
    gone, of_source = 0, kept_of_source(kept)
    full = connection.execute(_FULL_SOURCES, {"keys": list(keys), "kept": of_source}).fetchall()
    for (key,) in full:
        gone += _delete_between(connection, "source_key = $key", of_source, {"key": key})
    return gone + _delete_between(connection, "true", kept, {})


def count_omitted(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    if number:
        connection.execute("UPDATE omitted SET rejects = rejects + $number", {"number": number})


def expire(connection: duckdb.DuckDBPyConnection, oldest: datetime) -> int:
    """Delete older rejects; returns how many fewer are counted. With the last row go those without one."""
    count = f"SELECT {COUNT}"
    [(before,)] = connection.execute(count).fetchall()
    connection.execute("DELETE FROM rejects WHERE seen_at < $oldest", {"oldest": oldest})
    connection.execute("UPDATE omitted SET rejects = 0 WHERE NOT EXISTS (FROM rejects)")
    [(after,)] = connection.execute(count).fetchall()
    return int(before - after)


def _delete_between(
    connection: duckdb.DuckDBPyConnection, condition: str, kept: int, parameters: dict[str, int]
) -> int:
    first, last = halves(kept)
    [(gone,)] = connection.execute(
        _BETWEEN.format(condition=condition), {**parameters, "first": first, "last": last}
    ).fetchall()
    return int(gone)
