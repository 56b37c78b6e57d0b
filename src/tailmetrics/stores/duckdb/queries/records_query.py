"""Records themselves from the DuckDB file."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tailmetrics.stats import RecordPlace, RecordsQuery, RequestsQuery
from tailmetrics.stores.duckdb.queries.conditions import Condition, naive, of_customer
from tailmetrics.stores.duckdb.queries.reader import Reader
from tailmetrics.stores.duckdb.queries.stats_query import check_known
from tailmetrics.stores.windowing import Span

_ROWS = """
    SELECT timestamp, customer_id, path, status_code, duration,
        coalesce(source_id, source_key::VARCHAR) AS source, "offset"
    FROM (FROM records WHERE {inside})
        LEFT JOIN (SELECT source_key, source_id FROM sources) USING (source_key)
    WHERE {behind} ORDER BY {order} LIMIT $limit
"""
_IN_TIME = 'timestamp, source, "offset"'
_NEWEST = 'timestamp DESC, source DESC, "offset" DESC'
_LATER = '(timestamp > $time OR (timestamp = $time AND (source, "offset") > ($source, $offset)))'
_EARLIER = '(timestamp < $time OR (timestamp = $time AND (source, "offset") < ($source, $offset)))'


def count(reader: Reader, query: RecordsQuery, span: Span, width_us: int) -> Sequence[tuple[int, int]]:
    """Records by the stretches of a span. Raises StoreUnavailable."""
    inside = _inside(query, span)
    return reader.run(
        f"SELECT (epoch_us(timestamp) - $low) // $width AS stretch, count(*) FROM {inside.view} "
        f"WHERE {inside.sql} GROUP BY stretch",
        {**inside.parameters, "width": width_us},
    )


def page(reader: Reader, query: RecordsQuery, span: Span, limit: int) -> pl.DataFrame:
    """The first records of a span that come behind a place. Raises StoreUnavailable."""
    behind = Condition("TRUE", {}) if query.after is None else _beside(_LATER, query.after)
    return _rows(reader, _inside(query, span), behind, _IN_TIME, limit)


def requests(reader: Reader, query: RequestsQuery) -> pl.DataFrame:
    """Raises UnknownCustomer and StoreUnavailable."""
    inside, behind = of_customer(query), Condition("TRUE", {})
    order = _NEWEST if query.order == "newest" else f"duration DESC NULLS LAST, {_NEWEST}"
    if query.after is not None:
        duration, place = query.after
        behind = _beside(_EARLIER, place)
        if query.order == "newest":
            inside = inside.also("timestamp <= $latest", latest=naive(place.timestamp))
        elif duration is None:
            behind = behind.also("duration IS NULL")
        else:
            quicker = f"duration IS NULL OR duration < $duration OR (duration = $duration AND {_EARLIER})"
            behind = Condition(f"({quicker})", {**behind.parameters, "duration": duration})
    found = _rows(reader, inside, behind, order, query.limit)
    if query.customer_id is not None and found.is_empty():
        check_known(reader, query.customer_id)
    return found


def _rows(reader: Reader, inside: Condition, behind: Condition, order: str, limit: int) -> pl.DataFrame:
    found = reader.frame(
        _ROWS.format(inside=inside.sql, behind=behind.sql, order=order),
        {**inside.parameters, **behind.parameters, "limit": limit},
    )
    return found.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))


def _beside(sql: str, place: RecordPlace) -> Condition:
    """Records before or behind a place."""
    time = naive(place.timestamp)
    return Condition(sql, {"time": time, "source": place.source, "offset": place.offset})


def _inside(query: RecordsQuery, span: Span) -> Condition:
    low, high = span
    inside = Condition(
        "timestamp >= make_timestamp($low) AND timestamp < make_timestamp($high)", {"low": low, "high": high}
    )
    return inside.of_customer(query.customer_id).selected(query.only)
