"""Flux texts over the points of requests.

What a user gives is a parameter, never a part of a text. Each aggregate that storage can compute has a source
of its own: a source that several share is read row by row. Points of each tick are a measurement, whose
range has bounds that are rounded up to the tick: a point's time lies within the tick of its logged time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailmetrics.stats import Failures
from tailmetrics.stores.influxdb.line_protocol import encoded
from tailmetrics.stores.influxdb.record_points import FAR, NEAR_HIGH_US, NEAR_LOW_US, TICKS
from tailmetrics.stores.results import FAILURE_RULES
from tailmetrics.windows import from_us, to_us


@dataclass(frozen=True, slots=True)
class Asked:
    """Which requests a query is about: of one customer, of some, or of all (None), in a range (us)."""

    bucket: str
    customer_ids: tuple[str, ...] | None
    low_us: int | None
    high_us: int | None

    @classmethod
    def of(
        cls, bucket: str, customer_ids: Sequence[str] | None, start: datetime | None, end: datetime | None
    ) -> Asked:
        return cls(
            bucket,
            None if customer_ids is None else tuple(customer_ids),
            None if start is None else to_us(start),
            None if end is None else to_us(end),
        )

    @property
    def ticks(self) -> list[str]:
        """The ticks that can have a point in the range."""
        return [tick for tick in TICKS if self._low(tick) < self._high(tick)]

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
            **({"customers_pattern": f"^({'|'.join(map(_quoted, ids))})$"} if len(ids) > 1 else {}),
            **bounds,
        }

    def source(self, tick: str, *fields: str, start: str = "", stop: str = "", statuses: str = "") -> str:
        """The points of some fields; `start` and `stop` name the parameters of another range.

        `statuses` is a pattern of those that count.
        """
        if tick == FAR:
            start, stop = "2200-01-01T00:00:00Z", "2262-04-11T00:00:00Z"
        of_fields = any_of([f'r._field == "{field}"' for field in fields])
        return (
            "from(bucket: bucket)\n"
            f"    |> range(start: {start or f'{tick}_start'}, stop: {stop or f'{tick}_stop'})\n"
            f'    |> filter(fn: (r) => r._measurement == "requests_{tick}" and {of_fields}'
            f"{self._customers()}{f' and r.status_code =~ {statuses}' if statuses else ''})"
        )

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


def counts(asked: Asked, keys: Sequence[str], *, statuses: str = "", name: str = "counts") -> list[str]:
    """Requests by some tags, as results NAME_TICK: Flux takes 0.1 ms for each combination of their values."""
    return _of_each_tick(asked, "path", [_group(keys), "count()"], name, statuses)


def latency_sums(asked: Asked, keys: Sequence[str]) -> list[str]:
    """Sums of durations and their number by some tags, as results seconds_TICK and timed_TICK."""
    return [
        *_of_each_tick(asked, "duration", [_group(keys), "sum()"], "seconds"),
        *_of_each_tick(asked, "duration", [_group(keys), "count()"], "timed"),
    ]


def quantiles(asked: Asked, keys: Sequence[str]) -> list[str]:
    """Median and 99th percentile of the durations by some tags, as results median and p99."""
    steps = [_group(keys), f"keep(columns: {_list([*keys, '_value'])})"]
    rows = [_piped(asked.source(tick, "duration"), steps) for tick in asked.ticks]
    if not rows:
        return []
    return [
        f"durations = {_joined(rows)}",
        *(
            f'durations\n    |> quantile(q: {q}, method: "exact_mean")\n    |> yield(name: "{name}")'
            for name, q in (("median", "0.5"), ("p99", "0.99"))
        ),
    ]


def edges(asked: Asked) -> list[str]:
    """The first and the last point, as results first_TICK and last_TICK."""
    statements = []
    for name, descending in (("first", "false"), ("last", "true")):
        newest = f'sort(columns: ["_time"], desc: {descending})'
        steps = [f"{name}()", 'keep(columns: ["_time"])', "group()", newest, "limit(n: 1)"]
        statements += _of_each_tick(asked, "path", steps, name)
    return statements


def rows(asked: Asked, fields: Iterable[str], columns: Sequence[str]) -> list[str]:
    """All points of some fields, as results FIELD_TICK."""
    keep = f"keep(columns: {_list(columns)})"
    return [text for field in fields for text in _of_each_tick(asked, field, [keep], field)]


def rows_in(
    asked: Asked, spans: Sequence[tuple[int, int]], fields: Sequence[str], columns: Sequence[str]
) -> tuple[list[str], dict[str, Any]]:
    """All points of some fields within spans (us), as results rows_TICK; and parameters.

    Several fields are one look through the series of storage, which takes longer than the rows.
    """
    keep = f"keep(columns: {_list(['_field', *columns])})"
    found, params = _sources_in(asked, spans, fields)
    return [
        _piped(_joined([_piped(source, [keep]) for source in sources]), [f'yield(name: "rows_{tick}")'])
        for tick, sources in found.items()
    ], params


def edges_in(asked: Asked, spans: Sequence[tuple[int, int]]) -> tuple[list[str], dict[str, Any]]:
    """The first and the last point of each span, as results first_TICK and last_TICK; and parameters."""
    statements = []
    found, params = _sources_in(asked, spans, ["path"])
    for tick, sources in found.items():
        for end in ("first", "last"):
            # Grouped before: storage looks for the first of each series else.
            steps = ["group()", f"{end}()", 'keep(columns: ["_time"])']
            of_each = [_piped(source, steps) for source in sources]
            statements.append(_piped(_joined(of_each), [f'yield(name: "{end}_{tick}")']))
    return statements, params


def _sources_in(
    asked: Asked, spans: Sequence[tuple[int, int]], fields: Sequence[str]
) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Sources of points within spans by their ticks; and parameters."""
    sources: dict[str, list[str]] = {}
    params: dict[str, Any] = {}
    for tick in asked.ticks:
        for place, (low, high) in enumerate(spans):
            start, stop = rounded_up(tick, low), rounded_up(tick, high)
            if start >= stop:  # Flux takes an empty range for a mistake
                continue
            names = f"{tick}_from_{place}", f"{tick}_to_{place}"
            params |= dict(zip(names, (from_us(start), from_us(stop)), strict=True))
            source = asked.source(tick, *fields, start=names[0], stop=names[1])
            sources.setdefault(tick, []).append(source)
    return sources, params


def _joined(sources: Sequence[str]) -> str:
    return sources[0] if len(sources) == 1 else "union(tables: [\n" + ",\n".join(sources) + ",\n])"


def far_rows(asked: Asked, fields: Iterable[str]) -> list[str]:
    """Points of times that InfluxDB cannot keep, as results FIELD_far; none where the range has none."""
    if not asked.reaches_far:
        return []
    columns = _list(["_time", "_value", "customer_id", "lane", "status_code"])
    steps = [f"keep(columns: {columns})", "group()"]
    return [
        _piped(asked.source(FAR, field), [*steps, f'yield(name: "{field}_far")']) for field in ("us", *fields)
    ]


def spread(asked: Asked, bounds: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
    """Requests by customer and status between each two of `bounds` (us), as PART_TICK; and parameters."""
    statements: list[str] = []
    params: dict[str, Any] = {}
    steps = [_group(["customer_id", "status_code"]), "count()"]
    for tick in asked.ticks:
        edges_us = [rounded_up(tick, bound) for bound in bounds]
        params |= {f"{tick}_{place}": from_us(edge) for place, edge in enumerate(edges_us)}
        for part in range(len(bounds) - 1):
            if edges_us[part] < edges_us[part + 1]:  # Flux takes an empty range for a mistake
                source = asked.source(tick, "path", start=f"{tick}_{part}", stop=f"{tick}_{part + 1}")
                statements.append(_piped(source, [*steps, f'yield(name: "{part}_{tick}")']))
    return statements, params


def known(asked: Asked) -> str:
    """Whether a customer has a point at any time, as the result known."""
    anywhere = Asked(asked.bucket, asked.customer_ids, None, None)
    steps = ["first()", 'keep(columns: ["_time"])', "group()", "limit(n: 1)"]
    found = [_piped(anywhere.source(tick, "path"), steps) for tick in (*anywhere.ticks, FAR)]
    return "union(tables: [\n" + ",\n".join(found) + ',\n])\n    |> yield(name: "known")'


def failed_statuses(failures: Failures) -> str:
    """A pattern of the statuses, of three digits or 0, of requests that failed."""
    rule = FAILURE_RULES[failures]
    hundreds = range(rule.least // 100, 6)
    return f"/^({'|'.join(map(str, (*hundreds, *rule.others)))})/"


def any_of(conditions: Sequence[str]) -> str:
    """Conditions joined by "or", as a tree: Flux takes a chain of more than a hundred for nested too deep."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return f"({any_of(conditions[:middle])} or {any_of(conditions[middle:])})"


def text_of(asked: Asked, statements: Sequence[str]) -> str:
    """Statements as one text."""
    if asked.customer_ids is None or len(asked.customer_ids) < 2:
        return "\n\n".join(statements) + "\n"
    # Storage takes a pattern for many values in a quarter of the time that it takes for as many comparisons.
    head = ['import "regexp"', "customers = regexp.compile(v: customers_pattern)"]
    return "\n\n".join([*head, *statements]) + "\n"


def _quoted(text: str) -> str:
    """Text for a pattern that matches it alone."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _of_each_tick(asked: Asked, field: str, steps: Sequence[str], name: str, statuses: str = "") -> list[str]:
    """What steps make of the points of a field, as results NAME_TICK."""
    return [
        _piped(asked.source(tick, field, statuses=statuses), [*steps, f'yield(name: "{name}_{tick}")'])
        for tick in asked.ticks
    ]


def _piped(source: str, steps: Sequence[str]) -> str:
    return "\n    |> ".join([source, *steps])


def _group(keys: Sequence[str]) -> str:
    return f"group(columns: {_list(keys)})"


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
