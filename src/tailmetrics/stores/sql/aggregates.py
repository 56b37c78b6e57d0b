"""Counts and latencies as SQL over records.

A statement gives rows (key, requests, failed, average, median, p99), one for each key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tailmetrics.records import MAX_DURATION_SECONDS
from tailmetrics.stats import Failures
from tailmetrics.stores.results import FAILURE_RULES
from tailmetrics.stores.sql.schema import records
from tailmetrics.stores.windowing import by_piece
from tailmetrics.windows import Piece


def aggregates_of(
    key: sa.ColumnElement[Any], where: sa.ColumnElement[bool], failures: Failures, *, percentiles: bool
) -> sa.Select[Any]:
    """The aggregates of the records for which `where` holds, by a key.

    `percentiles` says whether the database has the function for quantiles.
    """
    matching = _matching(key, where, failures)
    return _by_percentiles(matching) if percentiles else _by_counting(matching)


def counts_of(
    key: sa.ColumnElement[Any], where: sa.ColumnElement[bool], failures: Failures
) -> sa.Select[Any]:
    """Rows (key, requests, failed, average) by a key, without the costly quantiles."""
    return _counted(_matching(key, where, failures))


def window_key(pieces: Sequence[Piece]) -> sa.ColumnElement[int]:
    """The start of the window of a record, in microseconds."""
    time = records.c.time_us

    def start_in(piece: Piece) -> sa.ColumnElement[int]:
        since = time - us(piece.anchor_us)
        if piece.day_us is not None:
            since = since % us(piece.day_us)
        return time - since % us(piece.step_us)

    def choose(
        begin: int, earlier: sa.ColumnElement[int], later: sa.ColumnElement[int]
    ) -> sa.ColumnElement[int]:
        return sa.case((time < us(begin), earlier), else_=later)

    return by_piece(pieces, start_in, choose)


def us(value: int) -> sa.ColumnElement[int]:
    """A time or a length in microseconds as a parameter."""
    return sa.literal(value, sa.BigInteger)


def failed_of(failures: Failures) -> sa.Label[int]:
    """1 for a request that failed, else 0, as `failed`."""
    return sa.case((FAILURE_RULES[failures](records.c.status_code), 1), else_=0).label("failed")


def _matching(key: sa.ColumnElement[Any], where: sa.ColumnElement[bool], failures: Failures) -> sa.Subquery:
    rows = sa.select(key.label("key"), failed_of(failures), records.c.duration)
    return rows.where(where).subquery("matching")


def _bounded(duration: sa.ColumnElement[float]) -> sa.ColumnElement[float]:
    """Durations from before they had a bound have it here: some databases refuse a sum that is no number."""
    return sa.case((duration > MAX_DURATION_SECONDS, MAX_DURATION_SECONDS), else_=duration)


def _counted(matching: sa.Subquery) -> sa.Select[Any]:
    duration = matching.c.duration
    return sa.select(
        matching.c.key,
        sa.func.count().label("requests"),
        sa.func.sum(matching.c.failed).label("failed"),
        (sa.func.sum(_bounded(duration)) / sa.func.count(duration)).label("average"),
    ).group_by(matching.c.key)


def _by_percentiles(matching: sa.Subquery) -> sa.Select[Any]:
    duration = matching.c.duration
    return _counted(matching).add_columns(
        sa.func.percentile_cont(0.5).within_group(duration).label("median"),
        sa.func.percentile_cont(0.99).within_group(duration).label("p99"),
    )


def _by_counting(matching: sa.Subquery) -> sa.Select[Any]:
    """Quantiles where there is no function for them: durations are counted, then their counts summed up.

    Logs write durations in milliseconds, so that there are far fewer of them than records. A place in the
    order of n durations is reached where the sum of counts is past it; places are in hundredths, to stay
    whole: the place of quantile q is 100·q·(n-1).
    """
    duration = matching.c.duration
    counted = (
        sa.select(
            matching.c.key,
            duration,
            sa.func.count().label("number"),
            sa.func.count(duration).label("timed"),
            sa.func.sum(matching.c.failed).label("failed"),
        )
        .group_by(matching.c.key, duration)
        .subquery("counted")
    )
    timed = counted.c.timed
    summed = sa.select(
        counted,
        sa.func.sum(timed).over(partition_by=counted.c.key, order_by=counted.c.duration).label("through"),
        sa.func.sum(timed).over(partition_by=counted.c.key).label("all_timed"),
    ).subquery("summed")

    def quantile(hundredths: int) -> sa.ColumnElement[float]:
        place = hundredths * (summed.c.all_timed - 1)
        rest = place % 100

        def beyond(step: int) -> sa.ColumnElement[float]:
            reached = 100 * summed.c.through > place - rest + 100 * step
            return sa.func.min(sa.case((reached, summed.c.duration)))

        # The highest value has none above it.
        return beyond(0) + sa.func.coalesce((beyond(1) - beyond(0)) * (sa.func.max(rest) / 100.0), 0.0)

    return sa.select(
        summed.c.key,
        sa.func.sum(summed.c.number).label("requests"),
        sa.func.sum(summed.c.failed).label("failed"),
        (sa.func.sum(_bounded(summed.c.duration) * summed.c.number) / sa.func.sum(summed.c.timed)).label(
            "average"
        ),
        quantile(50).label("median"),
        quantile(99).label("p99"),
    ).group_by(summed.c.key)
