"""The questions to the DuckDB file; what the figures mean is written in tailmetrics.stats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

import duckdb

from tailmetrics.errors import StoreUnavailable, UnknownCustomer
from tailmetrics.stats import (
    CustomersPage,
    CustomersQuery,
    CustomerStats,
    Reject,
    RejectsPage,
    RejectsQuery,
    StatsAnswer,
    StatsQuery,
    Summary,
)
from tailmetrics.stores.answers import answer_in_one_window, answer_in_windows, summary_of
from tailmetrics.stores.duckdb_figures import Groups, Method, counts_sql, figures_sql, window_key
from tailmetrics.stores.duckdb_reader import Reader
from tailmetrics.stores.paging import cursor_to, place_of
from tailmetrics.windows import DAY_US, Grid, clocks_change, to_us, zone_named

_Answer = TypeVar("_Answer")

_RANKS = {
    "customer_id": "key",
    "requests": "requests",
    "failures": "failed",
    "uptime": "(requests - failed) / requests",
    "average": "average",
    "median": "median",
    "p99": "p99",
}
_MANY_YEARS = 20
_QUANTILES = ("median", "p99")
_FEW_RECORDS = 500_000


def stats(reader: Reader, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    where, parameters = conditions(query.start, query.end)
    if query.customer_id is not None:
        if not is_utf8(query.customer_id):
            raise UnknownCustomer(query.customer_id)
        where += " AND customer_id = $customer_id"
        parameters["customer_id"] = query.customer_id
        first = Method.IN_MEMORY
    else:
        # Of many records it is the quicker one, too, where durations repeat; of few it costs five times more.
        [(number,)] = reader.run(f"SELECT count(*) FROM records WHERE {where}", parameters)
        first = Method.ON_DISK if number > _FEW_RECORDS else Method.IN_MEMORY

    def ask(method: Method) -> StatsAnswer:
        if query.every.days or query.every.seconds:
            return _in_windows(reader, query, method, where, parameters)
        return _in_one_window(reader, query, method, where, parameters)

    answer = _with_memory_or_disk(reader, first, ask)
    if query.customer_id is not None and not answer.summary.total_requests:
        check_known(reader, query.customer_id)
    return answer


def customers(reader: Reader, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    offset = 0 if query.after is None else place_of("customers", query.after)
    where, parameters = conditions(query.start, query.end)
    if not is_utf8(query.search):
        return CustomersPage((), 0, None)
    if query.search:
        where += " AND contains(customer_id, $search)"
        parameters["search"] = query.search

    def figures(method: Method, condition: str) -> str:
        [sql] = figures_sql(method, Groups("customer_id", total=False), condition, query.failures)
        return sql

    def ask(method: Method) -> CustomersPage:
        # Quantiles of all customers are found only where the order asks for them.
        by_quantile = query.sort in _QUANTILES
        by_customer = (
            figures(method, where) if by_quantile else counts_sql("customer_id", where, query.failures)
        )
        direction = "DESC" if query.descending else "ASC"
        ranked = reader.run(
            f"SELECT count(*) OVER (), * FROM ({by_customer}) "
            f"ORDER BY {_RANKS[query.sort]} {direction} NULLS LAST, key LIMIT $limit OFFSET $offset",
            {**parameters, "limit": query.limit, "offset": offset},
        )
        if not ranked:
            [(total,)] = reader.run(
                f"SELECT count(DISTINCT customer_id) FROM records WHERE {where}", parameters
            )
            return CustomersPage((), total, None)
        total = ranked[0][0]
        page = [row[1] for row in ranked]
        if by_quantile:
            rows = [row[1:] for row in ranked]
        else:
            of_page = figures(method, f"{where} AND customer_id IN (SELECT unnest($page))")
            rows = reader.run(of_page, {**parameters, "page": page})
        summaries = {customer_id: summary_of(*row) for customer_id, *row in rows}
        following = offset + len(page)
        return CustomersPage(
            tuple(CustomerStats(customer_id, summaries[customer_id]) for customer_id in page),
            total,
            cursor_to("customers", following) if following < total else None,
        )

    return _with_memory_or_disk(reader, Method.IN_MEMORY, ask)


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
            f"SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) FROM records WHERE {where}",
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
    [(first, last)] = reader.run("SELECT epoch_us(min(timestamp)), epoch_us(max(timestamp)) FROM records")
    if first is None:
        return []
    low = first if query.start is None else max(first, to_us(query.start))
    high = last + 1 if query.end is None else min(last + 1, to_us(query.end))
    if high - low < _MANY_YEARS * 366 * DAY_US:
        return [(low, high)] if low < high else []
    # A few wrong dates must not make windows of millennia.
    years = reader.run(
        "SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) + 1 "
        f"FROM records WHERE {where} GROUP BY year(timestamp) ORDER BY 1",
        parameters,
    )
    return [(first, end) for first, end in years]


def _figures(
    reader: Reader, statements: list[str], parameters: dict[str, Any]
) -> tuple[Summary, dict[int, Summary]]:
    by_key = {key: summary_of(*row) for sql in statements for key, *row in reader.run(sql, parameters)}
    return by_key.pop(None, Summary()), by_key


def check_known(reader: Reader, customer_id: str) -> None:
    sql = "SELECT 1 FROM records WHERE customer_id = $customer_id LIMIT 1"
    if not reader.run(sql, {"customer_id": customer_id}):
        raise UnknownCustomer(customer_id)


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


def _with_memory_or_disk(reader: Reader, first: Method, ask: Callable[[Method], _Answer]) -> _Answer:
    """The answer by the first method, or on disk where memory did not suffice."""
    try:
        return ask(first)
    except StoreUnavailable as error:
        if first is Method.ON_DISK or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
    reader.begin_again()
    return ask(Method.ON_DISK)
