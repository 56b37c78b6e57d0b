"""The questions to the DuckDB file; what the figures mean is written in tailmetrics.stats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

import duckdb
import numpy as np

from tailmetrics.errors import StoreUnavailable, UnknownCustomer
from tailmetrics.stats import (
    Reject,
    RejectsPage,
    RejectsQuery,
    StatsAnswer,
    StatsQuery,
    Summary,
)
from tailmetrics.stores.cursors import cursor_to, place_of
from tailmetrics.stores.duckdb.aggregates import Groups, Method, figures_sql, window_key
from tailmetrics.stores.duckdb.in_memory import MOST_ROWS, Times, few_rows, figures, figures_by, window_starts
from tailmetrics.stores.duckdb.layout import key_of
from tailmetrics.stores.duckdb.reader import Reader
from tailmetrics.stores.results import answer_in_one_window, answer_in_windows, summary_of
from tailmetrics.windows import DAY_US, Grid, clocks_change, to_us, zone_named

_Answer = TypeVar("_Answer")

# The key alone tells of whole row groups that they need not be read.
_IS_CUSTOMER = (
    f"customer_id = $customer_id AND (customer_key = {key_of('$customer_id')} OR customer_key IS NULL)"
)
# Of the tables themselves it is in DuckDB's own notes, of all together it would be looked for.
SPAN = (
    "SELECT epoch_us(min(first)), epoch_us(max(last)) FROM ("
    "SELECT min(timestamp) AS first, max(timestamp) AS last FROM settled "
    "UNION ALL SELECT min(timestamp), max(timestamp) FROM fresh "
    "UNION ALL SELECT min(timestamp), max(timestamp) FROM numbered)"
)
_MANY_YEARS = 20


def stats(reader: Reader, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    where, parameters = conditions_of(query.start, query.end, query.customer_id)
    answer = None
    if parameters or reader.records <= MOST_ROWS:
        answer = _stats_of_few(reader, query, where, parameters)
    if answer is None:
        answer = _stats_of_many(reader, query, where, parameters)
    if query.customer_id is not None and not answer.summary.total_requests:
        check_known(reader, query.customer_id)
    return answer


def _stats_of_few(
    reader: Reader, query: StatsQuery, where: str, parameters: dict[str, Any]
) -> StatsAnswer | None:
    """The answer from the rows themselves, None when they are too many."""
    zone = zone_named(query.tz)
    rows = few_rows(reader, "epoch_us(timestamp) AS time, status_code, duration", where, parameters)
    if rows is None:
        return None
    total = figures(rows, query.failures)
    times = rows["time"].to_numpy()
    if not (query.every.days or query.every.seconds):
        return answer_in_one_window(query, total, (times.min(), times.max()) if len(times) else None)
    grid = Grid(query.every, zone, _spans_of(times) if clocks_change(zone) else [])
    if not len(times):
        return answer_in_windows(query, zone, grid, total, ())
    by_window = figures_by(rows.with_columns(key=window_starts(times, grid)), "key", query.failures)
    return answer_in_windows(query, zone, grid, total, sorted(by_window.items()))


def _stats_of_many(reader: Reader, query: StatsQuery, where: str, parameters: dict[str, Any]) -> StatsAnswer:
    def ask(method: Method) -> StatsAnswer:
        if query.every.days or query.every.seconds:
            return _in_windows(reader, query, method, where, parameters)
        return _in_one_window(reader, query, method, where, parameters)

    # Of all customers it is the quicker one, too, where durations repeat.
    first = Method.ON_DISK if query.customer_id is None else Method.IN_MEMORY
    return with_memory_or_disk(reader, first, ask)


def rejects(reader: Reader, query: RejectsQuery) -> RejectsPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    before = 2**63 - 1 if query.after is None else place_of("rejects", query.after)
    rows = reader.run(
        """
        SELECT newest.id, source_id, path, newest."offset", reason, line, seen_at
        FROM (SELECT * FROM rejects WHERE id < $before ORDER BY id DESC LIMIT $limit + 1) AS newest
        JOIN sources USING (source_key) ORDER BY newest.id DESC
        """,
        {"before": before, "limit": query.limit},
    )
    [(total,)] = reader.run("SELECT count(*) FROM rejects")
    page = rows[: query.limit]
    return RejectsPage(
        tuple(
            Reject(source_id, path, offset, reason, line, seen_at.replace(tzinfo=timezone.utc))
            for _, source_id, path, offset, reason, line, seen_at in page
        ),
        total,
        cursor_to("rejects", page[-1][0]) if len(rows) > len(page) else None,
    )


def _in_one_window(
    reader: Reader, query: StatsQuery, method: Method, where: str, parameters: dict[str, Any]
) -> StatsAnswer:
    zone_named(query.tz)
    total, _ = _figures(
        reader, figures_sql(method, Groups(None, total=True), where, query.failures), parameters
    )
    span = None
    if total.total_requests and (query.start is None or query.end is None):
        [span] = reader.run(
            f"SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) FROM requests WHERE {where}",
            parameters,
        )
    return answer_in_one_window(query, total, span)


def _in_windows(
    reader: Reader, query: StatsQuery, method: Method, where: str, parameters: dict[str, Any]
) -> StatsAnswer:
    zone = zone_named(query.tz)
    spans = _spans(reader, query, where, parameters) if clocks_change(zone) else []
    grid = Grid(query.every, zone, spans)
    if not grid.pieces:
        return answer_in_windows(query, zone, grid, Summary(), ())
    groups = Groups(window_key(grid.pieces), total=True)
    total, windows = _figures(reader, figures_sql(method, groups, where, query.failures), parameters)
    return answer_in_windows(query, zone, grid, total, sorted(windows.items()))


def _spans(
    reader: Reader, query: StatsQuery, where: str, parameters: dict[str, Any]
) -> list[tuple[int, int]]:
    """Where the records of a query lie, roughly: the fewer clock changes, the cheaper the windows."""
    # The range of all records comes from DuckDB's own notes, without a scan.
    [(first, last)] = reader.run(SPAN)
    if first is None:
        return []
    low = first if query.start is None else max(first, to_us(query.start))
    high = last + 1 if query.end is None else min(last + 1, to_us(query.end))
    if high - low < _MANY_YEARS * 366 * DAY_US:
        return [(low, high)] if low < high else []
    # A few wrong dates must not make windows of millennia.
    years = reader.run(
        "SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) + 1 "
        f"FROM requests WHERE {where} GROUP BY year(timestamp) ORDER BY 1",
        parameters,
    )
    return [(first, end) for first, end in years]


def _spans_of(times: Times) -> list[tuple[int, int]]:
    """The same for times that are known."""
    if not len(times):
        return []
    low, high = int(times.min()), int(times.max()) + 1
    if high - low < _MANY_YEARS * 366 * DAY_US:
        return [(low, high)]
    years = times.astype("datetime64[us]").astype("datetime64[Y]")
    return [(int(of.min()), int(of.max()) + 1) for of in (times[years == year] for year in np.unique(years))]


def _figures(
    reader: Reader, statements: list[str], parameters: dict[str, Any]
) -> tuple[Summary, dict[int, Summary]]:
    by_key = {key: summary_of(*row) for sql in statements for key, *row in reader.run(sql, parameters)}
    return by_key.pop(None, Summary()), by_key


def check_known(reader: Reader, customer_id: str) -> None:
    sql = f"SELECT 1 FROM requests WHERE {_IS_CUSTOMER} LIMIT 1"
    if not reader.run(sql, {"customer_id": customer_id}):
        raise UnknownCustomer(customer_id)


def conditions_of(
    start: datetime | None, end: datetime | None, customer_id: str | None
) -> tuple[str, dict[str, Any]]:
    """The range, and the customer if one is given, as a condition with its parameters.

    Raises UnknownCustomer for an id that no store can hold.
    """
    where, parameters = conditions(start, end)
    if customer_id is None:
        return where, parameters
    if not is_utf8(customer_id):
        raise UnknownCustomer(customer_id)
    return f"{where} AND {_IS_CUSTOMER}", {**parameters, "customer_id": customer_id}


def conditions(start: datetime | None, end: datetime | None) -> tuple[str, dict[str, Any]]:
    """The range as a condition that is never empty, and its parameters."""
    conditions, parameters = ["TRUE"], {}
    if start is not None:
        conditions.append("timestamp >= $start")
        parameters["start"] = _naive(start)
    if end is not None:
        conditions.append("timestamp < $end")
        parameters["end"] = _naive(end)
    return " AND ".join(conditions), parameters


def is_utf8(text: str) -> bool:
    """Whether text can be in the store at all: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def with_memory_or_disk(reader: Reader, first: Method, ask: Callable[[Method], _Answer]) -> _Answer:
    """The answer by the first method, or on disk where memory did not suffice."""
    try:
        return ask(first)
    except StoreUnavailable as error:
        if first is Method.ON_DISK or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
    reader.begin_again()
    return ask(Method.ON_DISK)
