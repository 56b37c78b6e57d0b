"""The queries to the store that parameters stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TypeVar
from zoneinfo import ZoneInfo

from tailmetrics.api.filters import Ranges, failing, parse_paths, parse_statuses
from tailmetrics.api.http.problems import wrong_parameters
from tailmetrics.api.parameters import (
    CUSTOMER_SORTS,
    MAX_CSV_PAGE,
    BreakdownParameters,
    CustomersParameters,
    FilterParameters,
    LatenciesParameters,
    RecordsParameters,
    RequestsParameters,
    StatsParameters,
    TimeParameters,
)
from tailmetrics.api.times import parse_time
from tailmetrics.errors import QueryError
from tailmetrics.stats import (
    MAX_PAGE,
    BreakdownQuery,
    CustomerSort,
    CustomersQuery,
    Every,
    RecordsQuery,
    RequestFilter,
    RequestsQuery,
    StatsQuery,
)
from tailmetrics.stores.cursors import request_place
from tailmetrics.windows import parse_every, zone_named

Value = TypeVar("Value")

_UTC = ZoneInfo("UTC")
_ANY_SORT: CustomerSort = "customer_id"


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time in UTC, None for no bound, and the zone in which it was asked for."""

    start: datetime | None
    end: datetime | None
    zone: ZoneInfo


class _Findings:
    """Gathers what is wrong, so that one answer names every wrong parameter."""

    def __init__(self) -> None:
        self._errors: list[QueryError] = []

    def note(self, read: Callable[[], Value], otherwise: Value) -> Value:
        """What `read` returns, or `otherwise` when it raises QueryError, which is kept."""
        try:
            return read()
        except QueryError as error:
            self._errors.append(error)
            return otherwise

    def add(self, error: QueryError) -> None:
        self._errors.append(error)

    def raise_any(self) -> None:
        if self._errors:
            raise wrong_parameters(self._errors)


def stats_query(parameters: StatsParameters, customer_id: str | None) -> StatsQuery:
    """The query for statistics. Raises RequestValidationError that names each wrong parameter."""
    findings = _Findings()
    asked = _range(parameters, findings)
    only = _filter(parameters, findings)
    every = findings.note(lambda: parse_every(parameters.every), Every("none"))
    findings.raise_any()
    return StatsQuery(
        customer_id=customer_id,
        every=every,
        start=asked.start,
        end=asked.end,
        zone=asked.zone,
        failures=parameters.failures,
        uptime_method=parameters.uptime_method,
        objective=parameters.objective,
        fill=parameters.fill,
        only=only,
    )


def customers_query(parameters: CustomersParameters, *, as_csv: bool = False) -> tuple[CustomersQuery, Range]:
    """The query for customers, of whom CSV may have more on a page.

    Raises RequestValidationError that names each wrong parameter.
    """
    findings = _Findings()
    asked = _range(parameters, findings)
    only = _filter(parameters, findings)
    sort = findings.note(lambda: _sort_key(parameters.sort), _ANY_SORT)
    descending = findings.note(lambda: _descends(parameters), otherwise=False)
    if not as_csv:
        findings.note(lambda: _check_limit(parameters.limit), None)
    findings.raise_any()
    query = CustomersQuery(
        start=asked.start,
        end=asked.end,
        failures=parameters.failures,
        search=parameters.search,
        min_requests=parameters.min_requests,
        sort=sort,
        descending=descending,
        limit=parameters.limit,
        after=parameters.cursor,
        only=only,
    )
    return query, asked


def breakdown_query(parameters: BreakdownParameters, customer_id: str | None) -> tuple[BreakdownQuery, Range]:
    """The query by path and status. Raises RequestValidationError that names each wrong parameter."""
    findings = _Findings()
    asked, only = _range(parameters, findings), _filter(parameters, findings)
    findings.raise_any()
    query = BreakdownQuery(
        customer_id,
        asked.start,
        asked.end,
        parameters.failures,
        parameters.top,
        parameters.latencies,
        only,
    )
    return query, asked


def records_query(parameters: RecordsParameters) -> RecordsQuery:
    """The query for records themselves. Raises RequestValidationError that names each wrong parameter."""
    findings = _Findings()
    asked, only = _range(parameters, findings), _filter(parameters, findings)
    findings.raise_any()
    return RecordsQuery(parameters.customer, asked.start, asked.end, only=only)


def latencies_query(parameters: LatenciesParameters, customer_id: str) -> StatsQuery:
    """The query for the range as a whole. Raises RequestValidationError that names each wrong parameter."""
    findings = _Findings()
    asked, only = _range(parameters, findings), _filter(parameters, findings)
    findings.raise_any()
    return StatsQuery(customer_id, Every("none"), asked.start, asked.end, asked.zone, only=only)


def requests_query(parameters: RequestsParameters, customer_id: str | None) -> tuple[RequestsQuery, Range]:
    """The query for some requests. Raises RequestValidationError that names each wrong parameter."""
    findings = _Findings()
    asked, only = _range(parameters, findings), _filter(parameters, findings)
    low, high = parameters.min_duration, parameters.max_duration
    if low is not None and high is not None and low >= high:
        findings.add(QueryError("max_duration", f"{high:g}", f"more than min_duration, which is {low:g}"))
    after = findings.note(lambda: request_place(parameters.sort, parameters.cursor), None)
    findings.raise_any()
    if parameters.failed:
        only = replace(only, statuses=failing(parameters.failures, only.statuses))
    query = RequestsQuery(
        customer_id,
        asked.start,
        asked.end,
        replace(only, min_duration=low, max_duration=high),
        parameters.sort,
        parameters.limit,
        after,
    )
    return query, asked


def asked_filter(parameters: FilterParameters) -> RequestFilter:
    """The filter alone. Raises RequestValidationError that names each wrong parameter."""
    findings = _Findings()
    only = _filter(parameters, findings)
    findings.raise_any()
    return only


def asked_range(parameters: TimeParameters) -> Range:
    """The range alone. Raises RequestValidationError that names each wrong parameter."""
    findings = _Findings()
    asked = _range(parameters, findings)
    findings.raise_any()
    return asked


def sort_of(sort: str) -> tuple[CustomerSort, bool]:
    """What to sort by, and whether from the largest. Raises QueryError."""
    return _sort_key(sort), sort.startswith("-")


def _range(parameters: TimeParameters, findings: _Findings) -> Range:
    now = datetime.now(timezone.utc)
    zone = findings.note(lambda: zone_named(parameters.tz), _UTC)

    def bound(name: str, text: str | None, other_text: str | None) -> tuple[str, str, datetime] | None:
        """Under which name a bound was given, as what, and when that is."""
        other = f"{name}_date"
        if text is not None and other_text is not None:
            raise QueryError(other, other_text, f"one of {name} and {other}, not both")
        if text is None:
            name, text = other, other_text
        if text is None:
            return None
        try:
            return name, text, parse_time(text, zone, now)
        except ValueError as error:
            raise QueryError(name, text, str(error)) from None

    def order() -> None:
        if start is not None and end is not None and start[2] > end[2]:
            raise QueryError(start[0], start[1], f"a time not after {end[0]}, which is {end[1]}")

    start = findings.note(lambda: bound("from", parameters.from_, parameters.from_date), None)
    end = findings.note(lambda: bound("to", parameters.to, parameters.to_date), None)
    findings.note(order, None)
    return Range(start and start[2], end and end[2], zone)


def _filter(parameters: FilterParameters, findings: _Findings) -> RequestFilter:
    nothing: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    paths, other_paths = findings.note(lambda: parse_paths(parameters.path), nothing)
    every: Ranges = ()
    statuses = findings.note(lambda: parse_statuses(parameters.status), every)
    return RequestFilter(paths, other_paths, statuses)


def _sort_key(sort: str) -> CustomerSort:
    name = sort.removeprefix("-")
    for known in CUSTOMER_SORTS:
        if name == known:
            return known
    raise QueryError("sort", sort, f"one of {', '.join(CUSTOMER_SORTS)}, or one of them after a -")


def _check_limit(limit: int) -> None:
    if limit > MAX_PAGE:
        raise QueryError("limit", str(limit), f"at most {MAX_PAGE}; with format=csv, at most {MAX_CSV_PAGE}")


def _descends(parameters: CustomersParameters) -> bool:
    signed = parameters.sort.startswith("-")
    if signed and parameters.order == "asc":
        raise QueryError("order", "asc", "desc or nothing, as the - in sort asks for desc")
    return signed or parameters.order == "desc"
