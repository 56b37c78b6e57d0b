"""What the rules of an objectives file say of the counts of a ledger, and of sources.

Burn rates are those of Google's SRE Workbook, chapter 5, "Alerting on SLOs": the share of bad requests of a
window, divided by the share that may be bad.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.objectives.alerts.alert import AlertKind
from tailmetrics.objectives.alerts.ledger import SECOND_US, Indicator, Ledger
from tailmetrics.objectives.definitions import (
    WORKBOOK_RULES,
    BurnRateRule,
    Document,
    LatencyRule,
    Maintenance,
    Objective,
    Severity,
    SilenceRule,
    SourceRule,
)
from tailmetrics.stats import RequestFilter
from tailmetrics.status import SourceStatus
from tailmetrics.stores.filtering import is_one_of, matches

BUCKET_SECONDS: Final = 60
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Condition:
    """What holds at a moment: the fields of an Alert that follow from it, and for how long it has to hold.

    Of another severity it is another alert, as others are told of it.
    """

    key: str
    kind: AlertKind
    name: str
    subject: str
    severity: Severity
    value: float
    limit: float
    summary: str
    for_seconds: int = 0


def indicator_of(objective: Objective, maintenance: Iterable[Maintenance] = ()) -> Indicator:
    """What an objective counts; what maintenance leaves out of it is left out."""
    only = RequestFilter(objective.paths, objective.exclude_paths)
    excluded = tuple(each for each in maintenance if each.excluded and _is_named(objective, each.objectives))
    if objective.kind == "latency":
        return Indicator(limit_seconds=objective.limit_seconds, only=only, excluded=excluded)
    return Indicator(objective.failures, only=only, excluded=excluded)


def bucket_seconds(windows: Iterable[int], interval: int) -> int:
    """A minute; less where windows are no whole minutes, and then it divides the interval too."""
    length = math.gcd(BUCKET_SECONDS, *windows)
    return length if length == BUCKET_SECONDS else math.gcd(length, interval)


class Rules:
    """All rules of a file, each with what it counts.

    An alert of a burn rate ends once either window is below the rate. A quantile is above a limit when a
    larger share of the requests took that long than it leaves above itself: exact but for the interpolation
    between two requests.
    """

    def __init__(self, document: Document) -> None:
        rules = document.rules or WORKBOOK_RULES
        self.burn_rates = [
            (objective, rule, indicator_of(objective, document.maintenance))
            for objective, rule in itertools.product(document.objectives, rules)
        ]
        self.silent = [(rule, Indicator()) for rule in document.silent]
        self.latency = [(rule, Indicator(limit_seconds=rule.limit_seconds)) for rule in document.latency]
        self.sources = document.sources
        wanted: dict[Indicator, set[int]] = {}
        for _, burn_rate, indicator in self.burn_rates:
            wanted.setdefault(indicator, set()).update((burn_rate.long, burn_rate.short))
        for latency, indicator in self.latency:
            wanted.setdefault(indicator, set()).add(latency.window)
        longest = max(itertools.chain.from_iterable(wanted.values()), default=0)
        self.known_seconds = max([longest, *(2 * rule.after for rule in document.silent)], default=0)
        for silence, indicator in self.silent:
            wanted.setdefault(indicator, set()).update((silence.after, self.known_seconds))
        lengths = set(itertools.chain.from_iterable(wanted.values()))
        self.bucket_us = bucket_seconds(lengths, document.interval) * SECOND_US
        self.windows = {
            indicator: frozenset(seconds * SECOND_US for seconds in each)
            for indicator, each in wanted.items()
        }

    def conditions(self, ledger: Ledger, sources: Sequence[SourceStatus] = ()) -> list[Condition]:
        """What holds where the windows of the ledger end."""
        return [
            *itertools.chain.from_iterable(_burning(ledger, *each) for each in self.burn_rates),
            *itertools.chain.from_iterable(self._fallen_silent(ledger, *each) for each in self.silent),
            *itertools.chain.from_iterable(_slow(ledger, *each) for each in self.latency),
            *itertools.chain.from_iterable(
                _of_source(rule, source) for rule in self.sources for source in sources
            ),
        ]

    def _fallen_silent(self, ledger: Ledger, rule: SilenceRule, indicator: Indicator) -> Iterator[Condition]:
        known, _ = ledger.sums(indicator, self.known_seconds * SECOND_US)
        lately, _ = ledger.sums(indicator, rule.after * SECOND_US)
        silent = (known > 0) & (lately == 0) & _are_named(ledger.customers, rule.customers)
        last = ledger.last_seen_us(indicator)
        for code in np.flatnonzero(silent):
            seconds = int(ledger.at_us - last[code]) // SECOND_US
            yield Condition(
                key_of("silent", rule.severity, rule.name, ledger.customers[code]),
                "silent",
                rule.name,
                ledger.customers[code],
                rule.severity,
                seconds,
                rule.after,
                f"no request for {length_text(seconds)}; {length_text(rule.after)} may pass without one",
            )


def _burning(
    ledger: Ledger, objective: Objective, rule: BurnRateRule, indicator: Indicator
) -> Iterator[Condition]:
    requests, bad = ledger.sums(indicator, rule.long * SECOND_US)
    recent, recent_bad = ledger.sums(indicator, rule.short * SECOND_US)
    # Exact, so that a share is not above a limit by the error of a float.
    limit = float(Fraction(str(rule.burn_rate)) * objective.allowed_share)
    burning = (_share(bad, requests) >= limit) & (_share(recent_bad, recent) >= limit)
    burning &= (requests >= rule.min_requests) & _are_named(ledger.customers, objective.customers)
    windows = f"{length_text(rule.long)} and {length_text(rule.short)}"
    for code in np.flatnonzero(burning):
        burns = [float(part / whole / objective.allowed) for part, whole in (
            (bad[code], requests[code]), (recent_bad[code], recent[code])
        )]  # fmt: skip
        failed = (
            "failed" if objective.kind == "availability" else f"took {objective.limit_seconds:g} s or longer"
        )
        yield Condition(
            key_of(
                "burn_rate",
                rule.severity,
                objective.name,
                f"{rule.burn_rate:g}x{rule.long}s{rule.short}s",
                ledger.customers[code],
            ),
            "burn_rate",
            objective.name,
            ledger.customers[code],
            rule.severity,
            burns[0],
            rule.burn_rate,
            f"the budget burns {burns[0]:.3g} and {burns[1]:.3g} times as fast as it may, over {windows} "
            f"(the limit is {rule.burn_rate:g}): {bad[code]:,} of {requests[code]:,} requests in "
            f"{length_text(rule.long)} {failed}",
        )


def _slow(ledger: Ledger, rule: LatencyRule, indicator: Indicator) -> Iterator[Condition]:
    requests, slow = ledger.sums(indicator, rule.window * SECOND_US)
    limit = float(1 - Fraction(str(rule.quantile)))
    share = _share(slow, requests)
    above = (share > limit) & (requests >= rule.min_requests) & _are_named(ledger.customers, rule.customers)
    for code in np.flatnonzero(above):
        yield Condition(
            key_of("latency", rule.severity, rule.name, ledger.customers[code]),
            "latency",
            rule.name,
            ledger.customers[code],
            rule.severity,
            100 * float(share[code]),
            100 * limit,
            f"the quantile {rule.quantile:g} of {length_text(rule.window)} is above "
            f"{rule.limit_seconds:g} s: {slow[code]:,} of {requests[code]:,} requests took that long",
            rule.for_,
        )


def _of_source(rule: SourceRule, source: SourceStatus) -> Iterator[Condition]:
    if rule.lag is not None and source.lag_seconds > rule.lag:
        yield Condition(
            key_of("lag", rule.severity, rule.name, source.path),
            "lag",
            rule.name,
            source.path,
            rule.severity,
            source.lag_seconds,
            rule.lag,
            f"lines of {source.path} have been waiting for {length_text(int(source.lag_seconds))}, "
            f"{source.lag_bytes:,} bytes of them",
        )
    if rule.reject_percent is not None and source.reject_percent > rule.reject_percent:
        yield Condition(
            key_of("rejects", rule.severity, rule.name, source.path),
            "rejects",
            rule.name,
            source.path,
            rule.severity,
            source.reject_percent,
            rule.reject_percent,
            f"{source.reject_percent:.3g}% of the latest lines of {source.path} could not be read",
        )


def key_of(*parts: str) -> str:
    """A key that no other parts have."""
    return "/".join(quote(part, safe="") for part in parts)


def length_text(seconds: int) -> str:
    """A length as it is written in the file, such as 5m, by its two largest units."""
    left, parts = seconds, []
    for unit, name in _UNITS:
        if left >= unit:
            parts.append(f"{left // unit}{name}")
            left %= unit
    return " ".join(parts[:2]) or "0s"


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """0 where there is nothing."""
    return part / np.maximum(whole, 1)


def _are_named(names: Sequence[str], globs: tuple[str, ...]) -> Mask:
    if "*" in globs:
        return np.ones(len(names), np.bool_)
    named = pl.Series(names, dtype=pl.String())
    return pl.select(is_one_of(pl.lit(named), globs)).to_series().to_numpy()


def _is_named(objective: Objective, globs: tuple[str, ...]) -> bool:
    return matches(globs, objective.name)
