"""How long requests took, and when: counts in steps of duration for each part of a range."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from tailmetrics.api import documents
from tailmetrics.api.admission import Weight
from tailmetrics.api.context import Context
from tailmetrics.api.http.openapi import problem_responses
from tailmetrics.api.parameters import CustomerId, LatenciesParameters, only_parameters_of
from tailmetrics.api.queries import latencies_query
from tailmetrics.api.schemas import Latencies
from tailmetrics.api.times import formatter
from tailmetrics.stats import CountsQuery, StatsAnswer, Summary
from tailmetrics.stores.base import Queries
from tailmetrics.windows import to_us

MOST_BOUNDS = 12

_STEPS = tuple(float(f"{step}e{power}") for power in range(-6, 6) for step in (1, 2, 5))  # seconds

router = APIRouter(tags=["statistics"])


@dataclass(frozen=True, slots=True)
class _Counts:
    """Requests by the part that they are in (rows) and by their step of duration (columns)."""

    part_us: int
    bounds: tuple[float, ...]
    rows: list[list[int]]


@router.get(
    "/customers/{customer_id:path}/latencies",
    summary="Latency of one customer over time, as counts",
    operation_id="customer_latencies",
    dependencies=[Depends(only_parameters_of(LatenciesParameters))],
    responses={200: {"model": Latencies}, **problem_responses(404, 422, 503)},
)
async def customer_latencies(
    customer_id: Annotated[CustomerId, Path(description="The customer, percent-encoded.")],
    parameters: Annotated[LatenciesParameters, Query()],
    services: Context,
) -> Response:
    """For each of `parts` equal parts of the range, how many requests took how long, in steps of 1, 2 and 5.

    The steps, 13 at most, are about the median and the 99th percentile of the range. Requests of unknown
    duration are not counted.
    """
    query = latencies_query(parameters, customer_id)
    async with services.asking(Weight.USUAL) as store, store.snapshot() as queries:
        answer = await queries.stats(query)
        found = await _counted(queries, answer, parameters.parts)
    write = formatter(query.zone)
    document: Latencies = {
        "customer_id": customer_id,
        "from": None if answer.start is None else write(answer.start),
        "to": None if answer.end is None else write(answer.end),
        "tz": query.zone.key,
        "bounds": [] if found is None else list(found.bounds),
        "parts": [],
    }
    if found is not None and answer.start is not None:
        length = timedelta(microseconds=found.part_us)
        document["parts"] = [
            {"start": write(answer.start + place * length), "counts": row}
            for place, row in enumerate(found.rows)
        ]
    return documents.json_response(document)


async def _counted(queries: Queries, of_range: StatsAnswer, parts: int) -> _Counts | None:
    """None of an empty range."""
    query, start, end = of_range.query, of_range.start, of_range.end
    if start is None or end is None or start == end:
        return None
    bounds = _bounds(of_range.summary)
    length_us = to_us(end) - to_us(start)
    part_us = -(-length_us // parts)
    ids = None if query.customer_id is None else (query.customer_id,)
    asked = [CountsQuery(start, end, part_us, query.failures, bound, ids, query.only) for bound in bounds]
    frames = await asyncio.gather(*map(queries.counts, asked))
    used = -(-length_us // part_us)
    # Of those that took so long or longer, without those that took as long as the next bound.
    longer = [_by_part(frames[0], "requests", used), *(_by_part(each, "bad", used) for each in frames)]
    rows = [[more - most for more, most in pairwise((*row, 0))] for row in zip(*longer, strict=True)]
    return _Counts(part_us, bounds, rows)


def _by_part(frame: pl.DataFrame, column: str, parts: int) -> list[int]:
    found = dict(frame.select("part", column).iter_rows())
    return [found.get(part, 0) for part in range(parts)]


def _bounds(summary: Summary) -> tuple[float, ...]:
    """Steps from well below the median to above the 99th percentile."""
    median, p99 = summary.median_latency or 0.0, summary.p99_latency or 0.0
    suitable = tuple(step for step in _STEPS if median / 20 <= step <= 2 * p99)
    return suitable[-MOST_BOUNDS:] or _STEPS[:1]
