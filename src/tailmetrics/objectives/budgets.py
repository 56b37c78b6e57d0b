"""Budgets of objectives: what was promised, what of it is used, how fast, and until when it lasts.

Definitions are those of The Site Reliability Workbook, chapters "Implementing SLOs" and "Alerting on SLOs".
All is counted in requests and exact: shares are fractions, and each figure is rounded once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final, Literal

import polars as pl

from tailmetrics.objectives.definitions import (
    Document,
    LatencyRule,
    Maintenance,
    Objective,
    SilenceRule,
)
from tailmetrics.objectives.history import whole_parts
from tailmetrics.objectives.periods import Period, period_at
from tailmetrics.stats import CountsQuery, Failures, RequestFilter
from tailmetrics.stores.base import COUNTS_SCHEMA, Queries
from tailmetrics.stores.filtering import is_one_of, matches
from tailmetrics.windows import from_us, to_us

State = Literal["kept", "at_risk", "broken"]

# The windows of burn rates, in seconds, by the texts that name them.
BURN_WINDOWS: Final = {"5m": 300, "30m": 1_800, "1h": 3_600, "6h": 21_600, "3d": 259_200}
RATE_WINDOW: Final = "6h"  # whose rate tells until when a budget lasts

Count = Callable[[CountsQuery], Awaitable[pl.DataFrame]]

_Span = tuple[int, int]  # [low, high) in microseconds


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests, and the bad ones of them."""

    total: int
    bad: int


@dataclass(frozen=True, slots=True)
class Budget:
    """How an objective stands with one customer at a moment.

    `counted` is what counts since the period began, `recent` what does in the windows of burn rates.
    Percentages are None without requests.
    """

    objective: Objective
    customer_id: str
    at: datetime
    period: Period
    share: Fraction  # of requests that may be bad
    counted: Counted
    recent: Mapping[str, Counted]

    @property
    def compliance(self) -> float | None:
        """Per cent of the requests that are good."""
        count = self.counted
        return 100 * (count.total - count.bad) / count.total if count.total else None

    @property
    def allowed(self) -> float:
        """How many of the requests so far may be bad: the budget."""
        return self.counted.total * self.share.numerator / self.share.denominator

    @property
    def used_percent(self) -> float | None:
        """What of the budget the bad requests take."""
        used = self.counted.bad * self.share.denominator
        return 100 * used / (self.counted.total * self.share.numerator) if self.counted.total else None

    @property
    def left(self) -> float:
        """How many more of the requests so far could have been bad; less than zero when it is overdrawn."""
        return self._left / self.share.denominator

    @property
    def left_percent(self) -> float | None:
        return 100 * self._left / (self.counted.total * self.share.numerator) if self.counted.total else None

    def burn_rate(self, window: str) -> float | None:
        """How many times as fast as it may the budget burns: the share of bad requests by that allowed."""
        count = self.recent[window]
        if not count.total:
            return None
        return count.bad * self.share.denominator / (count.total * self.share.numerator)

    @property
    def runs_out_at(self) -> datetime | None:
        """When nothing is left if requests go on as in the last 6 hours.

        None where that is not before the period ends, for a rolling one not within its length from now, and
        where more is used than there is already. The budget of a week or month grows with each request; that
        of a rolling period does not, as others leave it.
        """
        recent = self.recent[RATE_WINDOW]
        lost = recent.bad * self.share.denominator
        if not self.period.is_rolling:
            lost -= recent.total * self.share.numerator
        if self._left < 0 or lost <= 0:
            return None
        moment = from_us(to_us(self.at) + self._left * BURN_WINDOWS[RATE_WINDOW] * 1_000_000 // lost)
        return moment if moment < self.period.outlook else None

    @property
    def state(self) -> State:
        """`at_risk`: it is kept until now, and is not to be at the rate of the last 6 hours."""
        if self._left < 0:
            return "broken"
        return "kept" if self.runs_out_at is None else "at_risk"

    @property
    def _left(self) -> int:
        """In requests times the denominator of the share, and so a whole number."""
        return self.counted.total * self.share.numerator - self.counted.bad * self.share.denominator


@dataclass(frozen=True, slots=True)
class Budgets:
    """Those of some objectives, by their order and the customers' ids, and what is to be said of these."""

    at: datetime
    budgets: tuple[Budget, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Question:
    """What objectives that ask the same share."""

    failures: Failures
    limit_seconds: float | None
    only: RequestFilter


async def budgets_at(
    count: Count,
    document: Document,
    at: datetime,
    *,
    customer_id: str | None = None,
    name: str | None = None,
) -> Budgets:
    """The budgets of all customers that have requests in a period or a window of a burn rate.

    Or those of one customer, or of the objective of one name. Requests before `at` count. `count` is `counts`
    of a store, or of a history of it, and what it raises is raised.
    """
    asked = [each for each in document.objectives if name in (None, each.name)]
    groups: dict[_Question, list[Objective]] = {}
    for objective in asked:
        groups.setdefault(_question_of(objective), []).append(objective)
    found: dict[str, tuple[list[Budget], list[str]]] = {}
    for question, objectives in groups.items():
        excluded = [each for each in document.maintenance if each.excluded]
        spans = _spans(objectives, excluded, at)
        counts = await _counts(count, question, spans, _ids(objectives, customer_id))
        for objective in objectives:
            made = await asyncio.to_thread(_budgets_of, objective, at, spans, counts, excluded)
            silent = _silent_globs(objective, made) if customer_id is None else []
            found[objective.name] = made, silent
    return Budgets(
        at,
        tuple(itertools.chain.from_iterable(found[each.name][0] for each in asked)),
        tuple(itertools.chain.from_iterable(found[each.name][1] for each in asked)),
    )


async def unmatched(
    store: Queries, document: Document, where: Callable[[str, int], str] = lambda *_: ""
) -> list[str]:
    """What is to be said of globs and ids of the file that match no customer of a store that has some.

    `where` tells what stands before that, by the name of a table and its number from 0 on.
    """
    named: Mapping[str, Sequence[Objective | SilenceRule | LatencyRule]] = {
        "objective": document.objectives,
        "silent": document.silent,
        "latency": document.latency,
    }
    tables = {
        f"{where(kind, number)}{kind} {table.name!r}": table.customers
        for kind, rules in named.items()
        for number, table in enumerate(rules)
    }
    tables |= {
        f"{where('maintenance', number)}maintenance {number + 1}": each.customers
        for number, each in enumerate(document.maintenance)
    }
    edges = await store.span()
    if edges is None or all(globs == ("*",) for globs in tables.values()):
        return []
    everything = CountsQuery(edges[0], from_us(to_us(edges[1]) + 1))
    customers = (await store.counts(everything))["customer_id"]
    return [
        f"{table}: {glob!r} matches no customer of the store"
        for table, globs in tables.items()
        for glob in globs
        if not pl.select(is_one_of(pl.lit(customers), (glob,)).any()).item()
    ]


def _question_of(objective: Objective) -> _Question:
    only = RequestFilter(paths=objective.paths, other_paths=objective.exclude_paths)
    return _Question(objective.failures, objective.limit_seconds, only)


def _ids(objectives: Iterable[Objective], customer_id: str | None) -> tuple[str, ...] | None:
    """Whom a store is asked about; None: all."""
    if customer_id is not None:
        return (customer_id,)
    names = sorted({name for each in objectives for name in each.customers})
    return None if any("*" in name for name in names) else tuple(names)


def _spans(objectives: Iterable[Objective], excluded: Iterable[Maintenance], at: datetime) -> list[_Span]:
    """Spans of which each period, window and maintenance is made up, as far as they matter."""
    now = to_us(at)
    starts = {to_us(period_at(each, at).start) for each in objectives}
    starts |= {to_us(from_us(now - seconds * 1_000_000)) for seconds in BURN_WINDOWS.values()}
    cuts = {to_us(edge) for each in excluded for edge in (each.begin, each.end)}
    edges = sorted(starts | {cut for cut in cuts if min(starts) < cut < now} | {now})
    cut = itertools.chain.from_iterable(
        (low, *whole_parts(low, high)) for low, high in itertools.pairwise(edges)
    )
    return list(itertools.pairwise((*cut, now)))


async def _counts(
    count: Count, question: _Question, spans: Sequence[_Span], customer_ids: tuple[str, ...] | None
) -> pl.DataFrame:
    """The counts of each span, whose place stands in `part`."""
    frames = [pl.DataFrame(schema=COUNTS_SCHEMA)]
    for place, (low, high) in enumerate(spans):
        query = CountsQuery(
            from_us(low),
            from_us(high),
            failures=question.failures,
            limit_seconds=question.limit_seconds,
            customer_ids=customer_ids,
            only=question.only,
        )
        counts = await count(query)
        frames.append(counts.with_columns(pl.lit(place, pl.Int64).alias("part")).select(list(COUNTS_SCHEMA)))
    return pl.concat(frames)


def _budgets_of(
    objective: Objective,
    at: datetime,
    spans: Sequence[_Span],
    counts: pl.DataFrame,
    excluded: Iterable[Maintenance],
) -> list[Budget]:
    """What the counts of spans make of an objective, by the ids of its customers."""
    period = period_at(objective, at)
    now = to_us(at)
    begins = [to_us(period.start), *(now - seconds * 1_000_000 for seconds in BURN_WINDOWS.values())]
    looked_at = pl.col("part").is_in(_within(spans, min(begins), now))
    rows = counts.filter(looked_at, _matches(objective.customers))
    for each in excluded:
        if matches(each.objectives, objective.name):
            within = _within(spans, to_us(each.begin), to_us(each.end))
            rows = rows.filter(~(pl.col("part").is_in(within) & _matches(each.customers)))
    sums = rows.group_by("customer_id").agg(
        pl.col(column)
        .filter(pl.col("part").is_in(_within(spans, begin, now)))
        .sum()
        .alias(f"{column} {place}")
        for place, begin in enumerate(begins)
        for column in ("requests", "bad")
    )
    share = objective.allowed_share
    made = []
    for customer_id, *figures in sums.sort("customer_id").iter_rows():
        counted, *recent = (Counted(*pair) for pair in zip(figures[::2], figures[1::2], strict=True))
        windows = dict(zip(BURN_WINDOWS, recent, strict=True))
        made.append(Budget(objective, customer_id, at, period, share, counted, windows))
    return made


def _within(spans: Sequence[_Span], begin: int, end: int) -> list[int]:
    """The places of the spans that lie within [begin, end)."""
    return [place for place, (low, high) in enumerate(spans) if begin <= low and high <= end]


def _matches(globs: tuple[str, ...]) -> pl.Expr:
    return is_one_of(pl.col("customer_id"), globs)


def _silent_globs(objective: Objective, budgets: Iterable[Budget]) -> list[str]:
    customers = pl.Series([each.customer_id for each in budgets], dtype=pl.String)
    return [
        f"objective {objective.name!r}: {glob!r} matches no customer that has requests in its period"
        for glob in objective.customers
        if not pl.select(is_one_of(pl.lit(customers), (glob,)).any()).item()
    ]
