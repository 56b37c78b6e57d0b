"""Records themselves from the DuckDB file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone

import polars as pl

from tailmetrics.stats import RecordsQuery
from tailmetrics.stores.duckdb.reader import Condition, Reader
from tailmetrics.stores.duckdb.stats_query import of_customer_id
from tailmetrics.stores.windowing import Span

_PAGE = """
    SELECT timestamp, customer_id, path, status_code, duration,
        coalesce(source_id, source_key::VARCHAR) AS source, "offset"
    FROM (FROM records WHERE {inside})
        LEFT JOIN (SELECT source_key, source_id FROM sources) USING (source_key)
    WHERE {behind} ORDER BY timestamp, source, "offset" LIMIT $limit
"""
_BEHIND = '(timestamp > $time OR (timestamp = $time AND (source, "offset") > ($source, $offset)))'


def count(reader: Reader, query: RecordsQuery, span: Span, width_us: int) -> Sequence[tuple[int, int]]:
    """Records by the stretches of a span. Raises StoreUnavailable."""
    inside = _inside(query, span)
    return reader.run(
        f"SELECT (epoch_us(timestamp) - $low) // $width AS stretch, count(*) FROM requests "
        f"WHERE {inside.sql} GROUP BY stretch",
        {**inside.parameters, "width": width_us},
    )


def page(reader: Reader, query: RecordsQuery, span: Span, limit: int) -> pl.DataFrame:
    """The first records of a span that come behind a place. Raises StoreUnavailable."""
    inside, behind = _inside(query, span), Condition("TRUE", {})
    if place := query.after:
        time = place.timestamp.astimezone(timezone.utc).replace(tzinfo=None)
        behind = Condition(_BEHIND, {"time": time, "source": place.source, "offset": place.offset})
    found = reader.frame(
        _PAGE.format(inside=inside.sql, behind=behind.sql),
        {**inside.parameters, **behind.parameters, "limit": limit},
    )
    return found.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))


def _inside(query: RecordsQuery, span: Span) -> Condition:
    low, high = span
    inside = Condition(
        "timestamp >= make_timestamp($low) AND timestamp < make_timestamp($high)", {"low": low, "high": high}
    )
    return of_customer_id(inside, query.customer_id)
