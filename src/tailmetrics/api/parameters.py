"""Query parameters: what there is and what it means."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, get_args, get_origin

from fastapi import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import ImmutableMultiDict

from tailmetrics.api.http.problems import wrong_parameters
from tailmetrics.api.record_formats import RecordFormat
from tailmetrics.errors import QueryError
from tailmetrics.settings import canonical_format
from tailmetrics.stats import MAX_PAGE, CustomerSort, Failures, RecordOrder, UptimeMethod

CUSTOMER_SORTS: tuple[CustomerSort, ...] = get_args(CustomerSort)
MAX_CSV_PAGE = 100_000
MAX_OBJECTIVES_PAGE = 10_000
DEFAULT_NAME = "upload"

_TIME_FORMS = (
    "A date (midnight in `tz`), RFC 3339 (in `tz` when it has no offset), epoch seconds, a time before now "
    "such as `-24h` (s, m, h, d), or `now`."
)

_TIME_FORMS_UTC = _TIME_FORMS.replace("`tz`", "UTC")

# Patterns are for readers and tools; what a value may be is decided where it is read.
_TIME_SCHEMA: dict[str, JsonValue] = {
    "pattern": r"^(now|-[0-9]+[smhd]|-?[0-9]+(\.[0-9]+)?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+([Zz]|[+ -][0-9:]+)?)?)$"
}

Text = str | SkipJsonSchema[None]
Format = Annotated[
    Literal["json", "csv"] | SkipJsonSchema[None],
    Field(description="`json` or `csv`; default: as the header Accept prefers, else JSON."),
]
CustomerId = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$", examples=["cust_1"])
]
_OnlyCustomer = Annotated[
    CustomerId | SkipJsonSchema[None],
    Field(description="Only this customer, for ids that a path cannot hold, such as `..`; default: all."),
]


Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)] | SkipJsonSchema[None]

_MIN_REQUESTS = Field(
    default=1,
    ge=1,
    le=10**15,
    description="Only customers with at least so many requests in the range: an uptime or a latency of few "
    "requests says little.",
    examples=[10],
)


def _plus_signs(value: Any) -> Any:
    """A plus sign that was not percent-encoded arrives as a space."""
    return value.replace(" ", "+") if isinstance(value, str) else value


class TimeParameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    from_: Text = Field(
        default=None,
        alias="from",
        description=f"Beginning of the range, included. {_TIME_FORMS} Default: where the data begins.",
        json_schema_extra=_TIME_SCHEMA,
        examples=["2024-10-10"],
    )
    to: Text = Field(
        default=None,
        description=f"End of the range, not included. {_TIME_FORMS} Default: where the data ends.",
        json_schema_extra=_TIME_SCHEMA,
        examples=["2024-10-20T00:00:00Z"],
    )
    from_date: Text = Field(
        default=None, description="Another name of `from`.", json_schema_extra=_TIME_SCHEMA
    )
    to_date: Text = Field(default=None, description="Another name of `to`.", json_schema_extra=_TIME_SCHEMA)
    tz: Annotated[str, BeforeValidator(_plus_signs)] = Field(
        default="UTC",
        description="Time zone (IANA name) in which days begin, times are read and answers are written.",
        json_schema_extra={"pattern": "^[A-Za-z0-9_+/-]+$"},
        examples=["America/New_York"],
    )


class FilterParameters(BaseModel):
    """Which requests count; without any of them all do."""

    model_config = ConfigDict(frozen=True)

    path: tuple[str, ...] = Field(
        default=(),
        description="Only requests of this path, in which `*` stands for any characters; behind a `!` only "
        "those of other paths. May be given several times: one of the paths, and none of those behind a `!`.",
        examples=[["/api/*", "!/api/health"]],
    )
    status: tuple[str, ...] = Field(
        default=(),
        description="Only requests of this status: `404`, `5xx`, `400-499`, or `0` for no answer. May be "
        "given several times, and several separated by commas.",
        examples=[["4xx,500-504"]],
    )


class RangeParameters(TimeParameters):
    failures: Annotated[Failures, BeforeValidator(_plus_signs)] = Field(
        default="4xx+5xx",
        description="Which statuses are failures, beside no answer; a plus sign in a URL is written `%2B`.",
    )


class FilteredRangeParameters(FilterParameters, RangeParameters):
    """A range, and which of its requests count."""


class StatsParameters(FilteredRangeParameters):
    every: str = Field(
        default="1d",
        description="Length of the windows: a number with s, m, h or d, or `none` for one window; at most "
        "50,000 windows with requests.",
        json_schema_extra={"pattern": "^(none|[1-9][0-9]{0,5}[smhd])$"},
        examples=["1h"],
    )
    uptime_method: UptimeMethod = Field(
        default="requests",
        description="`requests`: percent of the requests that did not fail. `good_windows`: percent of "
        "the windows with requests whose uptime is at least `objective`.",
    )
    objective: float = Field(
        default=99.0,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="For `good_windows`: the uptime that makes a window good, in percent.",
    )
    fill: bool = Field(
        default=False,
        description="Also give windows without requests: counts 0, the rest null; at most 10,000 windows.",
    )
    format: Format = None


class AllStatsParameters(StatsParameters):
    customer_id: _OnlyCustomer = None


class CustomersParameters(FilteredRangeParameters):
    format: Format = None
    search: str = Field(
        default="",
        max_length=256,
        description="Part of the id; of A to Z case does not count, of other letters it does.",
        examples=["cust_1"],
    )
    min_requests: int = _MIN_REQUESTS
    sort: str = Field(
        default="customer_id",
        description="What to sort by; with a leading `-` from the largest to the smallest.",
        json_schema_extra={"enum": [sign + name for sign in ("", "-") for name in CUSTOMER_SORTS]},
        examples=["-requests"],
    )
    order: Literal["asc", "desc"] | SkipJsonSchema[None] = Field(
        default=None, description="`asc` (default) or `desc`; `desc` is the same as a leading `-` in `sort`."
    )
    limit: int = Field(
        default=100,
        ge=1,
        le=MAX_CSV_PAGE,
        description=f"Customers on a page, at most: up to {MAX_PAGE:,}, as CSV up to {MAX_CSV_PAGE:,}.",
    )
    cursor: Text = Field(default=None, description="`next_cursor` of the page before.")


class BreakdownParameters(FilteredRangeParameters):
    top: int = Field(default=10, ge=1, le=MAX_PAGE, description="Paths that are told apart, at most.")
    latencies: bool = Field(
        default=False, description="Also give the 99th percentile of the latency of each path and status."
    )
    by: Literal["path", "status"] = Field(
        default="path", description="One row of CSV a path, or one a status; JSON has both."
    )
    format: Format = None


class AllBreakdownParameters(BreakdownParameters):
    customer_id: _OnlyCustomer = None


class RecordsParameters(FilterParameters, TimeParameters):
    customer: CustomerId | SkipJsonSchema[None] = Field(
        default=None, description="Only requests of this customer; default: of all."
    )
    format: RecordFormat = Field(
        default="jsonl",
        description="`jsonl` (a JSON object a line), `csv`, or `arrow` (a stream of Arrow IPC).",
    )


class LatenciesParameters(FilterParameters, TimeParameters):
    parts: int = Field(
        default=60, ge=1, le=200, description="Equal parts of the range, in each of which is counted."
    )


class RequestsParameters(FilteredRangeParameters):
    min_duration: Duration = Field(default=None, description="Only requests that took so long, in seconds.")
    max_duration: Duration = Field(
        default=None, description="Only requests that took less, in seconds; unknown durations are out."
    )
    failed: bool = Field(default=False, description="Only requests that `failures` calls failed.")
    sort: RecordOrder = Field(default="newest", description="What comes first: `newest` or `slowest`.")
    limit: int = Field(default=100, ge=1, le=MAX_PAGE, description="Requests on a page, at most.")
    cursor: Text = Field(default=None, description="`next_cursor` of the page before.")
    lines: bool = Field(
        default=False, description="Also give the line of each request, as long as its file is there."
    )
    format: Format = None


class AllRequestsParameters(RequestsParameters):
    customer_id: _OnlyCustomer = None


class ViewParameters(FilteredRangeParameters):
    """What a page of the dashboard shows; the same parameters, the same view."""

    customer_id: CustomerId | SkipJsonSchema[None] = Field(default=None)
    every: str = Field(default="auto", description="As for statistics, or `auto`: as the range is long.")
    search: str = Field(default="", max_length=256)
    min_requests: int = _MIN_REQUESTS
    sort: str = Field(default="-requests")
    limit: int = Field(default=50, ge=1, le=200)
    page: int = Field(default=1, ge=1, le=1_000_000)


class RejectsParameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    limit: int = Field(default=100, ge=1, le=MAX_PAGE, description="Rejected lines on a page, at most.")
    cursor: Text = Field(default=None, description="`next_cursor` of the page before.")
    format: Format = None


class ObjectivesParameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    objective: Text = Field(
        default=None, description="Only the objective of this name; default: all.", examples=["availability"]
    )
    at: Text = Field(
        default=None,
        description=f"The moment of the figures; requests before it count. {_TIME_FORMS_UTC} "
        "Default: now. The pages of one moment fit together.",
        json_schema_extra=_TIME_SCHEMA,
        examples=["2024-10-20T00:00:00Z"],
    )
    sort: Literal["left", "-left", "customer_id", "-customer_id"] = Field(
        default="left",
        description="What to sort by: the part of the budget that is left, from the smallest, or the "
        "customer; with a leading `-` from the largest. Entries without requests come last.",
    )
    limit: int = Field(default=100, ge=1, le=MAX_OBJECTIVES_PAGE, description="Entries on a page, at most.")
    cursor: Text = Field(default=None, description="`next_cursor` of the page before.")
    format: Format = None


class AllObjectivesParameters(ObjectivesParameters):
    customer: _OnlyCustomer = None


# Not every store can hold a NUL, and no file has one in its name.
_LogName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]


class LoadParameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: _LogName | SkipJsonSchema[None] = Field(
        default=None,
        description="Name of the log in the body, as /rejects shows it. Default: that of the file in a form, "
        f"else `{DEFAULT_NAME}`.",
        examples=["requests.log"],
    )
    format: Annotated[str, AfterValidator(canonical_format)] | SkipJsonSchema[None] = Field(
        default=None,
        description="Format of the lines, as LOG_FORMAT takes it. Default: what the settings say for the "
        "log's path.",
        examples=["combined"],
    )
    origin: (
        Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^/[^\x00]*$")] | SkipJsonSchema[None]
    ) = Field(
        default=None,
        description="Absolute path that the log in the body has where it comes from: without `format` it is "
        "read as LOG_FILE_PATH or LOG_SOURCES say for this path.",
        examples=["/var/log/nginx/access.log.1"],
    )
    path: Annotated[str, Field(min_length=1, max_length=4096)] | SkipJsonSchema[None] = Field(
        default=None,
        description="A file below the setting LOAD_FOLDER, to be loaded instead of the body; a body "
        '`{"path": …}` in JSON does the same.',
        examples=["2024/requests.log.gz"],
    )
    wait: bool = Field(
        default=False, description="Answer with 200 when every line is in the store, instead of at once."
    )


def only_parameters_of(model: type[BaseModel]) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses parameters which `model` does not have, and those given twice."""

    async def check(request: Request) -> None:
        check_names(model, request.query_params)

    return check


def check_names(model: type[BaseModel], given: ImmutableMultiDict[str, str], hint: str = "") -> None:
    """Refuse names which `model` does not have, with a `hint`, and those given twice of which it has one.

    Raises RequestValidationError that names them all.
    """
    known = {field.alias or name: field for name, field in model.model_fields.items()}
    problems = []
    for name in given:
        values = given.getlist(name)
        if name not in known:
            problems.append(QueryError(name, values[0], _known_names(name, list(known)) + hint))
        elif len(values) > 1 and get_origin(known[name].annotation) is not tuple:
            problems.append(QueryError(name, ", ".join(values), "the parameter once"))
    if problems:
        raise wrong_parameters(problems)


def _known_names(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"{nearest[0]}, perhaps; " if nearest else ""
    return f"{hint}the parameters are {', '.join(known)}"
