"""Questions about all customers, answered from blocks where these hold true and from requests elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TypeVar

import numpy as np
import polars as pl

from tailmetrics.stats import (
    MAX_PAGE,
    MAX_WINDOWS,
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersPage,
    CustomersQuery,
    Failures,
    PathCount,
    StatsAnswer,
    StatsQuery,
    StatusCount,
    Summary,
    Trend,
    TrendsQuery,
)
from tailmetrics.stores.cursors import place_of
from tailmetrics.stores.results import (
    FAILURE_RULES,
    can_be_stored,
    customers_page,
    listed,
    ranked,
    result_in_one_window,
    result_in_windows,
    summary_of,
    trends_of,
)
from tailmetrics.stores.summaries.base import Summarized
from tailmetrics.stores.summaries.block import (
    Part,
    Unpacked,
    counts_in,
    unpacked,
)
from tailmetrics.stores.summaries.durations import Durations, joined, latencies_by, timed
from tailmetrics.stores.summaries.latencies import LATENCIES, latencies_of
from tailmetrics.stores.summaries.manifest import ALWAYS, State, united, within
from tailmetrics.stores.summaries.numbers import Numbered, added_up
from tailmetrics.stores.summaries.parts import chosen, coded, mixed, packed_parts, portions
from tailmetrics.stores.summaries.plan import Cells, Plan, planned
from tailmetrics.stores.summaries.reading import KeptSums
from tailmetrics.stores.windowing import (
    Span,
    Times,
    check_filling,
    number_of_windows,
    short_spans,
    window_starts,
)
from tailmetrics.windows import DAY_US, Grid, from_us, to_us

_Result = TypeVar("_Result")

_COUNT = pl.col("count").sum()


async def span_us(store: Summarized, state: State, within_us: Span = ALWAYS) -> Span | None:
    """The times (us) of the first and of the last request, of all or of those in a range."""
    low, high = max(within_us[0], state.oldest_us), within_us[1]
    stale = state.stale
    sure: list[Span] = []
    unsure = within(stale, low, high)
    for ref in state.manifest.blocks:
        if within(stale, ref.start_us, ref.end_us) or ref.start_us < low or ref.end_us > high:
            unsure += within([(ref.start_us, ref.end_us)], low, high)
        else:
            sure.append((ref.first_us, ref.last_us))
    first = min((first for first, _ in sure), default=ALWAYS[1])
    last = max((last for _, last in sure), default=ALWAYS[0])
    asked = [span for span in united(unsure) if span[0] < first or span[1] > last + 1]
    if asked and (edges := await store.edges(asked)) is not None:
        first, last = min(first, edges[0]), max(last, edges[1])
    return (first, last) if first <= last else None


async def span(store: Summarized) -> tuple[datetime, datetime] | None:
    """The times of the first and of the last request."""
    found = await span_us(store, await store.state())
    return None if found is None else (from_us(found[0]), from_us(found[1]))


async def stats(store: Summarized, query: StatsQuery) -> StatsAnswer | None:
    """Statistics about all customers; None where windows are so many, or so far apart, that only a look at
    each request tells which of them count. Raises QueryError.
    """
    check_filling(query)
    state = await store.state()
    bounds = _bounds(query.start, query.end)
    if not query.every.cuts:
        total = _summaries(*await _series(store, state, bounds, None), query.failures).get(0, Summary())
        is_open = query.start is None or query.end is None
        within_us = await span_us(store, state, bounds) if is_open and total.total_requests else None
        return result_in_one_window(query, total, within_us)
    spans = short_spans(query, await span_us(store, state))
    if spans is None:
        return None
    check_filling(query, spans)
    if number_of_windows(query, spans) > MAX_WINDOWS:
        return None
    # Cells may begin before the first request, and end after the last one.
    grid = Grid(query.every, query.zone, [(first - DAY_US, end + DAY_US) for first, end in spans])
    if not spans:
        return result_in_windows(query, grid, Summary(), ())
    # What is committed meanwhile may lie where the grid has no window.
    near = (max(bounds[0], spans[0][0] - DAY_US), min(bounds[1], spans[-1][1] + DAY_US))
    counts, durations = await _series(store, state, near, grid)
    return await asyncio.to_thread(_in_windows, query, grid, counts, durations)


async def customers(store: Summarized, query: CustomersQuery, sums: KeptSums | None = None) -> CustomersPage:
    """Raises QueryError for a wrong cursor."""
    offset = place_of("customers", query.after, 0)
    if query.search and not can_be_stored(query.search):
        return CustomersPage((), 0, None)
    state = await store.state()
    plan = planned(state, "customers", *_bounds(query.start, query.end))
    rows, packed = await asyncio.gather(
        _read(store.requests(plan.spans, None), ["customer_id", "status_code", "duration"]),
        packed_parts(store, plan, "customers"),
    )
    counts = await _counts(packed, plan, ["customer_id", "status_code"], rows)
    totals = _totals(counts, "customer_id", query.failures).filter(listed(query))
    by_latency = query.sort in LATENCIES or query.limit > MAX_PAGE
    page = totals if by_latency else ranked(totals, query).slice(offset, query.limit)
    wanted = None if by_latency and not query.search else page["customer_id"]
    if not page.height:
        return CustomersPage((), totals.height, None)
    found = await latencies_of(store, plan, wanted, rows, sums=sums)  # which have the same cells
    page = page.join(found, on="customer_id", how="left", maintain_order="left")
    if by_latency:
        page = ranked(page, query).slice(offset, query.limit)
    columns = ("customer_id", "requests", "failed", *LATENCIES)
    return customers_page(page.select(columns).iter_rows(), totals.height, offset)


async def breakdown(store: Summarized, query: BreakdownQuery) -> Breakdown:
    """Of all customers together."""
    state = await store.state()
    plan = planned(state, "paths", *_bounds(query.start, query.end))
    keys = ["path", "status_code"]
    rows, packed = await asyncio.gather(
        _read(store.paths(plan.spans), keys), packed_parts(store, plan, "paths")
    )
    counts = await _counts(packed, plan, keys, rows)
    paths = _totals(counts, "path", query.failures).sort("requests", "path", descending=[True, False])
    statuses = counts.group_by("status_code").agg(_COUNT.alias("requests")).sort("status_code")
    failed = FAILURE_RULES[query.failures]
    return Breakdown(
        tuple(PathCount(*row) for row in paths.head(query.top).iter_rows()),
        paths.height,
        tuple(
            StatusCount(status, requests, requests if failed(status) else 0)
            for status, requests in statuses.iter_rows()
        ),
    )


async def trends(store: Summarized, query: TrendsQuery) -> list[Trend]:
    """How requests of some customers spread over a range."""
    found = await by_part(store, query)
    return trends_of(query, found.select("customer_id", "part", "count", "failed").iter_rows())


async def by_part(store: Summarized, query: TrendsQuery | CountsQuery) -> pl.DataFrame:
    """Columns `customer_id`, `part`, `count` and `failed`, which add up."""
    ids, start, length = asked_ids(query.customer_ids), to_us(query.start), query.part_us
    if ids == []:
        columns = ("part", "count", "failed")
        return pl.DataFrame(schema={"customer_id": pl.String, **dict.fromkeys(columns, pl.Int64)})
    plan = await planned_in_parts(store, query)
    keys = ["customer_id", "status_code", *(["stretch"] if length else [])]
    stretch = {"stretch": (pl.col("time") - start) // length} if length else {}
    begins = {"time": (pl.col("time") - start) // length * length + start} if length else {}
    read = [*keys[:2], *(["time"] if length else [])]
    rows, packed = await asyncio.gather(
        _read(store.requests(plan.spans, ids), read, **begins),
        # With times of their own requests have to be told apart by cells.
        packed_parts(store, plan, "customers", in_cells=bool(stretch)),
    )
    wanted = None if ids is None else pl.Series(ids)
    found = await _counts(packed, plan, keys, rows, wanted=wanted, **stretch)
    failed = pl.when(FAILURE_RULES[query.failures](pl.col("status_code"))).then("count").otherwise(0)
    part = pl.col("stretch") if length else pl.lit(0, pl.Int64)
    return found.with_columns(part.alias("part"), failed.alias("failed"))


async def planned_in_parts(store: Summarized, query: TrendsQuery | CountsQuery) -> Plan:
    """Cells of customers that lie in one part of a range each."""
    (start, end), length = _bounds(query.start, query.end), query.part_us

    def is_whole(first: Times, last: Times) -> Cells:
        same: Cells = (first - start) // length == (last - start) // length
        return same

    return planned(await store.state(), "customers", start, end, is_whole if length else None)


def asked_ids(customer_ids: Sequence[str] | None) -> list[str] | None:
    """Each customer that a record can have once."""
    if customer_ids is None:
        return None
    return [each for each in dict.fromkeys(customer_ids) if can_be_stored(each)]


def _bounds(start: datetime | None, end: datetime | None) -> Span:
    return (
        ALWAYS[0] if start is None else to_us(start),
        ALWAYS[1] if end is None else to_us(end),
    )


async def _series(
    store: Summarized, state: State, within_us: Span, grid: Grid | None
) -> tuple[pl.DataFrame, Durations]:
    """Requests by `window` (uncut start, 0 without a grid) and `status_code`, and durations by `window`."""

    def windows(times: Times) -> Times:
        return np.zeros_like(times) if grid is None else window_starts(times, grid)

    def is_whole(first: Times, last: Times) -> Cells:
        same: Cells = windows(first) == windows(last)
        return same

    def in_windows(frame: pl.DataFrame) -> pl.DataFrame:
        window = pl.Series("window", windows(frame["time"].to_numpy()))
        return pl.DataFrame([window, *frame])

    def reduced(counts: pl.DataFrame, durations: Durations) -> tuple[pl.DataFrame, Durations]:
        counted = added_up(in_windows(counts), ["window", "status_code"])
        each = in_windows(durations.frame)
        if 2 * _stretches(each["window"]) <= _stretches(each["time"]):
            return counted, Durations(added_up(each, ["window", "value"]), durations.unit)
        return counted, Durations(each.drop("time"), durations.unit)

    def of_block(part: Unpacked, cells: Times | None) -> tuple[pl.DataFrame, Durations]:
        return reduced(
            chosen(part.counts, cells), Durations(chosen(part.durations.frame, cells), part.durations.unit)
        )

    plan = planned(state, "series", *within_us, is_whole)
    found = await _of_blocks(store, ["series" for _ in plan.blocks], plan, of_block)
    async with aclosing(store.requests(plan.spans, None)) as frames:
        async for frame in frames:
            found.append(await asyncio.to_thread(reduced, frame, Durations.of(timed(frame))))
    return _together(found)


async def _counts(
    packed: Sequence[bytes],
    plan: Plan,
    keys: Sequence[str],
    rows: Sequence[pl.DataFrame],
    *,
    wanted: pl.Series | None = None,
    **columns: pl.Expr,
) -> pl.DataFrame:
    """Requests by keys, the first of which is that of the part's names, from blocks and from rows."""
    name, *others = keys

    def counts() -> pl.DataFrame:
        ids = Numbered(wanted)
        kinds = {"status_code": pl.Int16()}
        found = [pl.DataFrame(schema={key: kinds.get(key, pl.Int64()) for key in ("code", *others, "count")})]

        def add_up(frames: Sequence[pl.DataFrame]) -> None:
            together = pl.concat(frames, how="vertical_relaxed").filter(pl.col("code") >= 0)
            found.append(added_up(together.with_columns(**columns), ["code", *others]))

        for some in portions(plan.blocks, packed):
            read = [counts_in(data, ref.start_us) for (ref, _), data in some]
            numbers = ids.of([names for names, _ in read])
            add_up(
                [
                    coded(chosen(rows, cells), codes, ("time", "status_code", "count"))
                    for ((_, cells), _), (_, rows), codes in zip(some, read, numbers, strict=True)
                ]
            )
        for frame in rows:
            [codes] = ids.of([frame[name]])
            add_up([frame.with_columns(code=codes)])
        summed = added_up(pl.concat(found, how="vertical_relaxed"), ["code", *others])
        return summed.with_columns(ids.known.gather(summed["code"]).alias(name)).drop("code")

    return await asyncio.to_thread(counts)


async def _read(
    frames: AsyncGenerator[pl.DataFrame, None], keys: Sequence[str], **columns: pl.Expr
) -> list[pl.DataFrame]:
    """What is read, by keys."""
    async with aclosing(frames):
        return [frame.with_columns(**columns).group_by(keys).agg(_COUNT) async for frame in frames]


async def _of_blocks(
    store: Summarized, parts: Sequence[Part], plan: Plan, made: Callable[[Unpacked, Times | None], _Result]
) -> list[_Result]:
    """What is made of a part of each block and of those of its cells that count."""
    found = await mixed(store, [(ref, part) for (ref, _), part in zip(plan.blocks, parts, strict=True)])

    def make() -> list[_Result]:
        return [
            made(unpacked(data, ref.start_us), cells)
            for data, (ref, cells) in zip(found, plan.blocks, strict=True)
        ]

    return await asyncio.to_thread(make)


def _stretches(column: pl.Series) -> int:
    """How many values there are, each counted again where it comes back; most columns are in order."""
    return int(np.count_nonzero(np.diff(column.to_numpy()))) + 1


def _together(found: Sequence[tuple[pl.DataFrame, Durations]]) -> tuple[pl.DataFrame, Durations]:
    if not found:
        nothing = pl.DataFrame(schema={"window": pl.Int64, "status_code": pl.Int16, "count": pl.Int64})
        no_durations = pl.DataFrame(schema={"window": pl.Int64, "value": pl.Int64, "count": pl.Int64})
        return nothing, Durations(no_durations, 1)
    counts = pl.concat([frame.cast({"count": pl.Int64}) for frame, _ in found], how="vertical_relaxed")
    columns = ("window", "value", "count")
    durations = joined([Durations(each.frame.select(columns), each.unit) for _, each in found])
    return counts.group_by("window", "status_code").agg(_COUNT), durations


def _totals(counts: pl.DataFrame, key: str, failures: Failures) -> pl.DataFrame:
    """Columns `requests` and `failed` by a key."""
    failed = pl.col("count").filter(FAILURE_RULES[failures](pl.col("status_code")))
    return counts.group_by(key).agg(_COUNT.alias("requests"), failed.sum().alias("failed"))


def _summaries(counts: pl.DataFrame, durations: Durations, failures: Failures) -> dict[int, Summary]:
    """The summary of each window, in their order."""
    totals = _totals(counts, "window", failures)
    rows = totals.join(latencies_by(durations, "window"), on="window", how="left").sort("window")
    columns = ("window", "requests", "failed", *LATENCIES)
    return {window: summary_of(*row) for window, *row in rows.select(columns).iter_rows()}


def _in_windows(query: StatsQuery, grid: Grid, counts: pl.DataFrame, durations: Durations) -> StatsAnswer:
    windows = _summaries(counts, durations, query.failures)
    all_counts = counts.with_columns(window=pl.lit(0, pl.Int64))
    in_one = Durations(durations.frame.with_columns(window=pl.lit(0, pl.Int64)), durations.unit)
    total = _summaries(all_counts, in_one, query.failures).get(0, Summary())
    return result_in_windows(query, grid, total, list(windows.items()))
