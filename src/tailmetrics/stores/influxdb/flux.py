"""Flux texts over the points of requests.

What a user gives is a parameter, never a part of a text. Each aggregate that storage can compute has a source
of its own: a source that several share is read row by row. Points of each tick are a measurement, whose
range has bounds that are rounded up to the tick: a point's time lies within the tick of its logged time.
Ticks of equal bounds, as those of whole seconds are, make one statement: each costs the server a millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailmetrics.stats import ALL_REQUESTS, RequestFilter
from tailmetrics.stores.filtering import regex_of
from tailmetrics.stores.influxdb.line_protocol import encoded, encoded_text
from tailmetrics.stores.influxdb.record_points import FAR, NEAR_HIGH_US, NEAR_LOW_US, TICKS
from tailmetrics.windows import from_us, to_us

_MOST_STATUS = 599
LATENCIES = {
    "average": "mean()",
    "median": 'quantile(q: 0.5, method: "exact_mean")',
    "p99": 'quantile(q: 0.99, method: "exact_mean")',
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which requests a query is about: of one customer, of some, or of all (None), in a range (us).

    What `only` says of statuses holds for all points; what it says of paths and durations, for
    `rows_selected` of these fields, of which some more may come: who reads them looks again.
    """

    bucket: str
    customer_ids: tuple[str, ...] | None
    low_us: int | None
    high_us: int | None
    only: RequestFilter = ALL_REQUESTS

    @classmethod
    def of(
        cls,
        bucket: str,
        customer_ids: Sequence[str] | None,
        start: datetime | None,
        end: datetime | None,
        oldest_us: int | None = None,
        *,
        only: RequestFilter = ALL_REQUESTS,
    ) -> Asked:
        """What is before `oldest_us` has expired, also where the server has not deleted it yet."""
        low_us = None if start is None else to_us(start)
        return cls(
            bucket,
            None if customer_ids is None else tuple(customer_ids),
            max((us for us in (low_us, oldest_us) if us is not None), default=None),
            None if end is None else to_us(end),
            only,
        )

    @property
    def ticks(self) -> list[str]:
        """The ticks that can have a point in the range."""
        return [tick for tick in TICKS if self._low(tick) < self._high(tick)]

    @property
    def tick_groups(self) -> list[list[str]]:
        """Those ticks, with others of the same bounds; each group has the parameters of its first one."""
        return _grouped({tick: (self._low(tick), self._high(tick)) for tick in self.ticks})

    @property
    def reaches_far(self) -> bool:
        """Whether a time that InfluxDB cannot keep is within the range."""
        low, high = self.low_us, self.high_us
        return low is None or high is None or (low < high and (low < NEAR_LOW_US or high > NEAR_HIGH_US))

    @property
    def params(self) -> dict[str, Any]:
        ids = [encoded(customer_id) for customer_id in self.customer_ids or ()]
        bounds: dict[str, Any] = {}
        for tick in self.ticks:
            bounds[f"{tick}_start"] = from_us(self._low(tick))
            bounds[f"{tick}_stop"] = from_us(self._high(tick))
        return {
            "bucket": self.bucket,
            **({"customer": ids[0]} if len(ids) == 1 else {}),
            **{f"{name}_pattern": pattern for name, pattern in self.patterns.items()},
            **({} if self.only.min_duration is None else {"min_duration": float(self.only.min_duration)}),
            **({} if self.only.max_duration is None else {"max_duration": float(self.only.max_duration)}),
            **bounds,
        }

    @property
    def patterns(self) -> dict[str, str]:
        """Regular expressions by the names that texts have for them."""
        found: dict[str, str] = {}
        # Storage takes a pattern for many values in a quarter of the time that as many comparisons take it.
        if self.customer_ids is not None and len(self.customer_ids) > 1:
            found["customers"] = f"^({'|'.join(_quoted(encoded(each)) for each in self.customer_ids)})$"
        if self.only.statuses:
            found["statuses"] = f"^({'|'.join(map(str, _statuses(self.only.statuses)))})$"
        if self.only.paths:
            found["paths"] = regex_of(tuple(map(encoded_text, self.only.paths)))
        return found

    def source(self, ticks: Sequence[str], *fields: str, start: str = "", stop: str = "") -> str:
        """The points of some fields; `start` and `stop` name the parameters of another range."""
        measurements = _one_of("_measurement", [f"requests_{tick}" for tick in ticks])
        return (
            "from(bucket: bucket)\n"
            f"    |> range(start: {start or f'{ticks[0]}_start'}, stop: {stop or f'{ticks[0]}_stop'})\n"
            f"    |> filter(fn: (r) => {measurements} and {_one_of('_field', fields)}"
            f"{self._customers()}{' and r.status_code =~ statuses' if self.only.statuses else ''})"
        )

    def far_source(self, field: str) -> str:
        """The points of one field of all times that InfluxDB cannot keep."""
        return self.source([FAR], field, start="2200-01-01T00:00:00Z", stop="2262-04-11T00:00:00Z")

    def _customers(self) -> str:
        if self.customer_ids is None:
            return ""
        return " and r.customer_id " + ("=~ customers" if len(self.customer_ids) > 1 else "== customer")

    def _low(self, tick: str) -> int:
        return NEAR_LOW_US if self.low_us is None else rounded_up(tick, self.low_us)

    def _high(self, tick: str) -> int:
        return NEAR_HIGH_US if self.high_us is None else rounded_up(tick, self.high_us)


def rounded_up(tick: str, us: int) -> int:
    """The first time of a tick that is not before a time, as far as InfluxDB can keep it."""
    length = TICKS[tick] // 1_000
    return min(max(-(-us // length) * length, NEAR_LOW_US), NEAR_HIGH_US)


def counts(asked: Asked, keys: Sequence[str], *fields: str) -> list[str]:
    """Requests by some tags, as results counts_TICK: Flux takes 0.1 ms for each combination of their values.

    `fields` are those by which requests are counted: one that each has, or two of which each has one.
    """
    return _of_each_tick(asked, fields or ("path",), [_group(keys), "count()"], "counts")


def latencies(asked: Asked) -> list[str]:
    """Average, median and 99th percentile of the durations, as results of these names.

    All of the same rows: quantiles need them, and a sum that storage finds takes a source of its own.
    """
    steps = ["group()", _keep(["_value"])]
    rows = [_piped(asked.source(ticks, "duration"), steps) for ticks in asked.tick_groups]
    if not rows:
        return []
    return [
        f"durations = {_joined(rows)}",
        *(_piped("durations", [step, f'yield(name: "{name}")']) for name, step in LATENCIES.items()),
    ]


def edges(asked: Asked) -> list[str]:
    """The first and the last point, as results first_TICK and last_TICK.

    Storage finds those of a whole group by their times, in a quarter of the time of those of each series.
    """
    ends = _ENDS.items()
    return [text for name, steps in ends for text in _of_each_tick(asked, ["path"], steps, name)]


def rows(asked: Asked, fields: Sequence[str], columns: Sequence[str], name: str) -> list[str]:
    """All points of some fields, as results NAME_TICK, whose `_measurement` tells the tick of each."""
    return _of_each_tick(asked, fields, [_keep(columns)], name)


def rows_selected(asked: Asked, fields: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The points of some fields that `only` selects, as results FIELD_TICK of the first one, as `rows`.

    Storage puts the rows of many series together in half the time that a table for each takes.
    """
    steps = [*_selected(asked.only, fields), _group(["_measurement", "_field"]), _keep(columns)]
    return _of_each_tick(asked, fields, steps, fields[0])


def rows_in(
    asked: Asked, spans: Sequence[tuple[int, int]], fields: Sequence[str], columns: Sequence[str], name: str
) -> tuple[list[str], dict[str, Any]]:
    """All points of some fields within spans (us), as `rows`; and parameters.

    Storage puts the rows of many series together in half the time that a table for each takes.
    """
    sources, params = _sources_in(asked, spans, fields)
    steps = [_group(["_measurement", "_field"]), _keep(columns)]
    pieces = [_piped(source, steps) for source in sources]
    return [_piped(_joined(pieces), [f'yield(name: "{name}_s")'])] if pieces else [], params


def edges_in(asked: Asked, spans: Sequence[tuple[int, int]]) -> tuple[list[str], dict[str, Any]]:
    """The first and the last point of each span, as `edges`; and parameters."""
    sources, params = _sources_in(asked, spans, ["path"])
    of_each = {name: [_piped(source, steps) for source in sources] for name, steps in _ENDS.items()}
    ends = of_each.items() if sources else ()
    return [_piped(_joined(found), [f'yield(name: "{name}_s")']) for name, found in ends], params


def _sources_in(
    asked: Asked, spans: Sequence[tuple[int, int]], fields: Sequence[str]
) -> tuple[list[str], dict[str, Any]]:
    """Sources of the points within each span; and parameters."""
    sources: list[str] = []
    params: dict[str, Any] = {}
    for place, (low, high) in enumerate(spans):
        bounds = {tick: (rounded_up(tick, low), rounded_up(tick, high)) for tick in asked.ticks}
        # Flux takes an empty range for a mistake.
        for ticks in _grouped(
            {tick: (start, stop) for tick, (start, stop) in bounds.items() if start < stop}
        ):
            start, stop = f"{ticks[0]}_from_{place}", f"{ticks[0]}_to_{place}"
            params |= dict(zip((start, stop), map(from_us, bounds[ticks[0]]), strict=True))
            sources.append(asked.source(ticks, *fields, start=start, stop=stop))
    return sources, params


def _joined(sources: Sequence[str]) -> str:
    return sources[0] if len(sources) == 1 else "union(tables: [\n" + ",\n".join(sources) + ",\n])"


def far_rows(asked: Asked, fields: Iterable[str]) -> list[str]:
    """Points of times that InfluxDB cannot keep, as results FIELD_far; none where the range has none."""
    if not asked.reaches_far:
        return []
    steps = [_keep(["_time", "_value", "customer_id", "lane", "status_code"]), "group()"]
    return [
        _piped(asked.far_source(field), [*steps, f'yield(name: "{field}_far")']) for field in ("us", *fields)
    ]


def spread(asked: Asked, bounds: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
    """Requests between each two of `bounds` (us), as PART_TICK; and parameters."""
    statements: list[str] = []
    params: dict[str, Any] = {}
    steps = [_group([]), "count()"]
    edges_us = {tick: [rounded_up(tick, bound) for bound in bounds] for tick in asked.ticks}
    for tick, edges in edges_us.items():
        params |= {f"{tick}_{place}": from_us(edge) for place, edge in enumerate(edges)}
    for part in range(len(bounds) - 1):
        within = {tick: (edges[part], edges[part + 1]) for tick, edges in edges_us.items()}
        # Flux takes an empty range for a mistake.
        for ticks in _grouped({tick: (low, high) for tick, (low, high) in within.items() if low < high}):
            source = asked.source(ticks, "path", start=f"{ticks[0]}_{part}", stop=f"{ticks[0]}_{part + 1}")
            statements.append(_piped(source, [*steps, f'yield(name: "{part}_{ticks[0]}")']))
    return statements, params


def known(asked: Asked) -> str:
    """Whether a customer has a point, as the result known."""
    steps = ["group()", "first()", _keep(["_time"])]
    near = [asked.source(ticks, "path") for ticks in asked.tick_groups]
    found = [_piped(source, steps) for source in (*near, asked.far_source("path"))]
    return "union(tables: [\n" + ",\n".join(found) + ',\n])\n    |> yield(name: "known")'


def any_of(conditions: Sequence[str]) -> str:
    """Conditions joined by "or", as a tree: Flux takes a chain of more than a hundred for nested too deep."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return f"({any_of(conditions[:middle])} or {any_of(conditions[middle:])})"


def text_of(asked: Asked, statements: Sequence[str]) -> str:
    """Statements as one text."""
    compiled = [f"{name} = regexp.compile(v: {name}_pattern)" for name in asked.patterns]
    head = ['import "regexp"', *compiled] if compiled else []
    return "\n\n".join([*head, *statements]) + "\n"


def _selected(only: RequestFilter, fields: Sequence[str]) -> list[str]:
    """Steps that leave out points of a field which a filter does not select."""
    steps: list[str] = []
    if fields == ["path"] and only.paths:
        steps.append("filter(fn: (r) => r._value =~ paths)")
    if fields == ["duration"] and only.min_duration is not None:
        steps.append("filter(fn: (r) => r._value >= min_duration)")
    if fields == ["duration"] and only.max_duration is not None:
        steps.append("filter(fn: (r) => r._value < max_duration)")
    return steps


def _statuses(ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Those that a request can have: they are tags, texts that have no order."""
    return [each for each in range(_MOST_STATUS + 1) if any(low <= each <= high for low, high in ranges)]


def _quoted(text: str) -> str:
    """Text for a pattern that matches it alone."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _of_each_tick(asked: Asked, fields: Sequence[str], steps: Sequence[str], name: str) -> list[str]:
    """What steps make of the points of some fields, as results NAME_TICK of the first one of each group."""
    return [
        _piped(asked.source(ticks, *fields), [*steps, f'yield(name: "{name}_{ticks[0]}")'])
        for ticks in asked.tick_groups
    ]


def _grouped(bounds: dict[str, tuple[int, int]]) -> list[list[str]]:
    """Ticks, those with equal bounds together."""
    groups: dict[tuple[int, int], list[str]] = {}
    for tick, each in bounds.items():
        groups.setdefault(each, []).append(tick)
    return list(groups.values())


def _one_of(column: str, values: Sequence[str]) -> str:
    return any_of([f'r.{column} == "{value}"' for value in values])


def _piped(source: str, steps: Sequence[str]) -> str:
    return "\n    |> ".join([source, *steps])


def _group(keys: Sequence[str]) -> str:
    return f"group(columns: {_list(keys)})"


def _keep(columns: Sequence[str]) -> str:
    return f"keep(columns: {_list(columns)})"


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


_ENDS = {
    name: [_group(["_measurement"]), f"{name}()", _keep(["_measurement", "_time"])]
    for name in ("first", "last")
}
