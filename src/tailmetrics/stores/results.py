"""What stores answer, put together from what they have computed, and the rules that all of them keep to.

Rows are Polars frames with `status_code` and `duration` (seconds), and with `time` (microseconds since 1970)
where windows are made of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from tailmetrics.errors import StoreUnavailable, UnknownCustomer
from tailmetrics.records import NO_ANSWER
from tailmetrics.stats import (
    MAX_WINDOWS,
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersPage,
    CustomersQuery,
    CustomerStats,
    Failures,
    PathCount,
    Reject,
    RejectsPage,
    StatsAnswer,
    StatsQuery,
    StatusCount,
    Summary,
    Trend,
    TrendsQuery,
    WindowStats,
)
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.cursors import cursor_to
from tailmetrics.stores.filtering import is_selected
from tailmetrics.stores.windowing import check_filled, spans_of, too_many_windows, window_starts
from tailmetrics.windows import Grid, clocks_change, from_us, to_us

_PAGE_CHARACTERS = 8_000_000  # of rejected lines, each of which may have 65,536


@dataclass(frozen=True, slots=True)
class FailureRule:
    """A request failed when its status is `least` or above, or one of `others`: no answer is one always."""

    least: int
    others: tuple[int, ...] = (NO_ANSWER,)

    def __call__(self, status: Any) -> Any:
        """Whether it failed, of anything that compares as numbers do: arrays, expressions of a library."""
        failed = status >= self.least
        for other in self.others:
            failed = failed | (status == other)
        return failed


FAILURE_RULES: Mapping[Failures, FailureRule] = {
    "4xx+5xx": FailureRule(400),
    "5xx": FailureRule(500),
    "5xx+429": FailureRule(500, (NO_ANSWER, 429)),
}


def can_be_stored(text: str) -> bool:
    """Whether a record can have this text: it has characters, no NUL and no half of a surrogate pair."""
    try:
        return bool(text.encode()) and "\0" not in text
    except UnicodeEncodeError:
        return False


def check_storable(customer_id: str | None) -> None:
    """Raises UnknownCustomer for an id that no record can have."""
    if customer_id is not None and not can_be_stored(customer_id):
        raise UnknownCustomer(customer_id)


def took_too_long(seconds: float) -> StoreUnavailable:
    """What is said of a query that was stopped when its time was over."""
    return StoreUnavailable(
        f"the question took longer than {seconds:g} seconds (QUERY_TIMEOUT_SECONDS); ask for a shorter range"
    )


def aggregates(failures: Failures) -> list[pl.Expr]:
    """The arguments of `summary_of`, over rows."""
    failed = FAILURE_RULES[failures](pl.col("status_code")).sum()
    return [pl.len().alias("requests"), failed.alias("failed"), *latencies()]


def latencies() -> list[pl.Expr]:
    """The columns average, median and p99, over rows; null where no row has a duration."""
    duration = pl.col("duration")
    return [
        duration.mean().alias("average"),
        duration.quantile(0.5, "linear").alias("median"),
        duration.quantile(0.99, "linear").alias("p99"),
    ]


def summary_of(
    requests: int, failed: int, average: float | None, median: float | None, p99: float | None
) -> Summary:
    """The aggregates of `requests` requests of which `failed` failed; latencies in seconds.

    A latency is None where it is no number: a store may hold durations from before they had a bound.
    """
    if not requests:
        return Summary()
    successful = requests - failed
    latencies = (each if each is None or math.isfinite(each) else None for each in (average, median, p99))
    return Summary(requests, successful, failed, 100 * successful / requests, *latencies)


def result_in_one_window(query: StatsQuery, total: Summary, span_us: tuple[int, int] | None) -> StatsAnswer:
    """The answer without windows within the range; `span_us` is the first and the last request's time."""
    start, end = query.start, query.end
    if span_us is not None:
        start = start or from_us(span_us[0])
        end = end or from_us(span_us[1] + 1)
    windows: tuple[WindowStats, ...] = ()
    if start is not None and end is not None and start < end and (total.total_requests or query.fill):
        windows = (WindowStats(start, end, total),)
    return StatsAnswer(query, start, end, _with_uptime(query, total, windows), windows)


def result_in_windows(
    query: StatsQuery, grid: Grid, total: Summary, found: Sequence[tuple[int, Summary]]
) -> StatsAnswer:
    """The answer from the windows that have requests: their uncut starts in `grid`, and summaries, by time.

    Raises QueryError when the query wants empty windows too and there are too many.
    """
    low = None if query.start is None else to_us(query.start)
    high = None if query.end is None else to_us(query.end)
    if found:
        low = found[0][0] if low is None else low
        high = grid.end_of(found[-1][0]) if high is None else high
    if low is None or high is None:
        bound = from_us(low) if low is not None else None
        return StatsAnswer(query, bound, from_us(high) if high is not None else None, total, ())
    spans: Sequence[tuple[int, int]] = [(start, grid.end_of(start)) for start, _ in found]
    if query.fill:
        check_filled(query, low, high)
        spans = list(Grid(query.every, query.zone, [(low, high)]).windows(low, high))
    by_start = dict(found)
    windows = tuple(
        WindowStats(from_us(max(start, low)), from_us(min(end, high)), by_start.get(start, Summary()))
        for start, end in spans
    )
    return StatsAnswer(query, from_us(low), from_us(high), _with_uptime(query, total, windows), windows)


def result_of_rows(query: StatsQuery, rows: pl.DataFrame) -> StatsAnswer:
    """The answer from the rows that a query is about. Raises QueryError as `result_in_windows`."""
    [total] = (summary_of(*row) for row in rows.select(aggregates(query.failures)).iter_rows())
    times = rows["time"].to_numpy()
    if not query.every.cuts:
        span = (int(times.min()), int(times.max())) if len(times) else None
        return result_in_one_window(query, total, span)
    grid = Grid(query.every, query.zone, spans_of(times) if clocks_change(query.zone) else [])
    if not len(times):
        return result_in_windows(query, grid, total, ())
    starts = pl.Series("window", window_starts(times, grid))
    if (number := starts.n_unique()) > MAX_WINDOWS:
        raise too_many_windows(query, number, int(times.max()) + 1 - int(times.min()))
    by_window = rows.group_by(starts).agg(aggregates(query.failures))
    windows = ((start, summary_of(*row)) for start, *row in by_window.sort("window").iter_rows())
    return result_in_windows(query, grid, total, list(windows))


def customers_page(rows: Iterable[Sequence[Any]], total: int, offset: int) -> CustomersPage:
    """A page of rows (customer_id, requests, failed, average, median, p99), of `total` from `offset` on."""
    customers = tuple(CustomerStats(customer_id, summary_of(*row)) for customer_id, *row in rows)
    following = offset + len(customers)
    has_next = customers and following < total
    return CustomersPage(customers, total, cursor_to("customers", following) if has_next else None)


def rejects_page(found: Sequence[tuple[int, Reject]], total: int, limit: int) -> RejectsPage:
    """A page of rejects with their places, newest first, of which one more than `limit` was asked for.

    It is shorter where lines are long.
    """
    lengths = itertools.accumulate(len(reject.line) for _, reject in found[:limit])
    page = found[: max(1, sum(length <= _PAGE_CHARACTERS for length in lengths))]
    following = cursor_to("rejects", page[-1][0]) if len(found) > len(page) else None
    return RejectsPage(tuple(reject for _, reject in page), total, following)


def listed(query: CustomersQuery) -> pl.Expr:
    """Which customers a query lists, of rows with `customer_id` and `requests`."""
    enough = pl.col("requests") >= query.min_requests
    if not query.search:
        return enough
    return enough & pl.col("customer_id").str.contains_any([query.search], ascii_case_insensitive=True)


def folded(search: str) -> str:
    """A part of an id with `a` to `z` for `A` to `Z`, and all else as it is."""
    return search.encode().lower().decode()


def ranked(totals: pl.DataFrame, query: CustomersQuery) -> pl.DataFrame:
    """Customers with the columns of `aggregates`, in the order of a query; equal ones by the bytes of ids."""
    if query.sort == "customer_id":
        return totals.sort("customer_id", descending=query.descending)
    ranks = {
        "failures": pl.col("failed"),
        "uptime": (pl.col("requests") - pl.col("failed")) / pl.col("requests"),
    }
    rank = ranks.get(query.sort, pl.col(query.sort))
    return totals.sort(rank, "customer_id", descending=[query.descending, False], nulls_last=True)


def breakdown_of(query: BreakdownQuery, rows: pl.DataFrame) -> Breakdown:
    """What rows with `path` and `status_code` make, and `duration` where latencies are asked for."""
    failed = FAILURE_RULES[query.failures](pl.col("status_code")).sum()
    counts = [pl.len().alias("requests"), failed.alias("failed")]
    if query.latencies:
        counts.append(pl.col("duration").quantile(0.99, "linear").alias("p99"))
    paths = rows.group_by("path").agg(*counts).sort("requests", "path", descending=[True, False])
    statuses = rows.group_by("status_code").agg(*counts).sort("status_code")
    return Breakdown(
        tuple(PathCount(*row) for row in paths.head(query.top).iter_rows()),
        paths.height,
        tuple(StatusCount(*row) for row in statuses.iter_rows()),
    )


def counts_of_rows(query: CountsQuery, rows: pl.DataFrame) -> pl.DataFrame:
    """Counts from rows of the range with `time`, `customer_id`, `path`, `status_code` and `duration`."""
    bad = FAILURE_RULES[query.failures](pl.col("status_code"))
    if query.limit_seconds is not None:
        rows = rows.filter(pl.col("duration").is_not_null())
        bad = pl.col("duration") >= query.limit_seconds
    if query.customer_ids is not None:
        rows = rows.filter(pl.col("customer_id").is_in(query.customer_ids))
    part = (pl.col("time") - to_us(query.start)) // query.part_us if query.part_us else pl.lit(0)
    counted = rows.filter(is_selected(query.only)).group_by("customer_id", part.alias("part"))
    return counted.agg(pl.len().alias("requests"), bad.sum().alias("bad")).cast(COUNTS_SCHEMA)  # type: ignore[arg-type]


def failed_sql(failures: Failures) -> str:
    """Whether a request failed, as an expression in SQL over the column status_code."""
    rule = FAILURE_RULES[failures]
    others = "".join(f" OR status_code = {status}" for status in rule.others)
    return f"(status_code >= {rule.least}{others})"


def trends_of(query: TrendsQuery, counted: Iterable[tuple[str, int, int, int]]) -> list[Trend]:
    """Trends from rows (customer_id, part, requests, failed), which add up; parts without one have none."""
    requests = {customer_id: [0] * query.parts for customer_id in query.customer_ids}
    failed = {customer_id: [0] * query.parts for customer_id in query.customer_ids}
    for customer_id, part, number, failures in counted:
        requests[customer_id][part] += number
        failed[customer_id][part] += failures
    return [
        Trend(customer_id, tuple(requests[customer_id]), tuple(failed[customer_id]))
        for customer_id in query.customer_ids
    ]


def _with_uptime(query: StatsQuery, total: Summary, windows: Sequence[WindowStats]) -> Summary:
    """The total with its uptime by the method that the query names."""
    if query.uptime_method == "requests":
        return total
    uptimes = [window.summary.uptime for window in windows if window.summary.uptime is not None]
    if not uptimes:
        return total
    good = sum(uptime >= query.objective for uptime in uptimes)
    return replace(total, uptime=100 * good / len(uptimes))
