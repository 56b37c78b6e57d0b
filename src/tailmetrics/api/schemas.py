"""The shapes of answers.

They are typed dictionaries and not models: an answer may have thousands of windows, and a dictionary goes
straight to JSON, while a model costs more to build and to check than the store takes to answer.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from tailmetrics.stats import Failures, RecordOrder, UptimeMethod

Count = Annotated[int, Field(ge=0)]
LoadStateName = Literal["queued", "running", "done", "failed"]
Seconds = Annotated[
    float | None, Field(ge=0, description="Seconds; null without latencies.", examples=[0.316])
]
Time = Annotated[
    str,
    Field(
        json_schema_extra={"format": "date-time"},
        description="RFC 3339, with the offset of `tz`.",
        examples=["2024-10-10T00:00:00Z"],
    ),
]
EndTime = Annotated[Time, Field(examples=["2024-10-11T00:00:00Z"])]
Cursor = Annotated[str | None, Field(description="Where the next page begins; null on the last one.")]


class Figures(TypedDict):
    """The seven figures of a set of requests."""

    total_requests: Annotated[Count, Field(description="Requests.", examples=[200])]
    successful_requests: Annotated[Count, Field(description="Requests that did not fail.", examples=[150])]
    failed_requests: Annotated[
        Count, Field(description="Requests that `failures` calls failed.", examples=[50])
    ]
    uptime: Annotated[
        float | None, Field(ge=0, le=100, description="Percent; null without requests.", examples=[75.0])
    ]
    average_latency: Annotated[Seconds, Field(description="Mean, in seconds; null without latencies.")]
    median_latency: Annotated[Seconds, Field(description="Exact median, in seconds; null without latencies.")]
    p99_latency: Annotated[
        Seconds, Field(description="Exact 99th percentile, in seconds; null without latencies.")
    ]


class Window(Figures):
    """The figures of one window, [start, end)."""

    start: Time
    end: EndTime


class Filter(TypedDict, total=False):
    """Which requests count; left out where all do."""

    path: Annotated[list[str], Field(examples=[["/api/*", "!/api/health"]])]
    status: Annotated[list[str], Field(examples=[["5xx"]])]
    min_duration: Annotated[float, Field(description="Seconds, included.")]
    max_duration: Annotated[float, Field(description="Seconds, not included.")]


class Filtered(TypedDict, total=False):
    filter: Filter


# `from` is no name that a class body can hold.
_Range = TypedDict(
    "_Range",
    {
        "from": Annotated[
            Time | None, Field(description="Beginning of the range; null when it is open and empty.")
        ],
        "to": Annotated[
            EndTime | None, Field(description="End of the range; null when it is open and empty.")
        ],
        "tz": Annotated[str, Field(examples=["UTC"])],
        "failures": Failures,
        "filter": NotRequired[Filter],
    },
)


class Stats(_Range, Figures):
    """Totals over the range, and one entry a window."""

    customer_id: Annotated[str | None, Field(description="Null for all together.", examples=["cust_1"])]
    every: Annotated[str, Field(description="Length of the windows.", examples=["1d"])]
    uptime_method: UptimeMethod
    windows: list[Window]


class Customer(Figures):
    """One customer's totals over the range."""

    customer_id: Annotated[str, Field(examples=["cust_1"])]


class Customers(_Range):
    """One page of customers."""

    total: Annotated[Count, Field(description="Customers that match, on all pages.", examples=[50])]
    next_cursor: Cursor
    customers: list[Customer]


class PartLatency(TypedDict, total=False):
    p99_latency: Annotated[Seconds, Field(description="With `latencies`; null where none is known.")]


class PathRequests(TypedDict):
    path: Annotated[str, Field(examples=["/api/v1/resource1"])]
    total_requests: Annotated[Count, Field(examples=[120])]
    failed_requests: Annotated[Count, Field(examples=[30])]
    p99_latency: NotRequired[
        Annotated[Seconds, Field(description="With `latencies`; null where none is known.")]
    ]


class StatusRequests(TypedDict):
    status_code: Annotated[
        int, Field(description="0: the request got no answer.", examples=[200], ge=0, le=599)
    ]
    total_requests: Annotated[Count, Field(examples=[150])]
    failed_requests: Annotated[Count, Field(description="All of them, or 0.", examples=[0])]
    p99_latency: NotRequired[
        Annotated[Seconds, Field(description="With `latencies`; null where none is known.")]
    ]


class Breakdown(_Range):
    """Requests by path and by status."""

    customer_id: Annotated[str | None, Field(description="Null for all together.", examples=["cust_1"])]
    paths_total: Annotated[Count, Field(description="Paths in the range, shown or not.", examples=[4])]
    paths: Annotated[list[PathRequests], Field(description="Most requests first, `top` at most.")]
    statuses: list[StatusRequests]


class LoggedRequest(TypedDict):
    """A request, and where its line is."""

    time: Time
    customer_id: Annotated[str, Field(examples=["cust_1"])]
    path: Annotated[str, Field(examples=["/api/v1/resource1"])]
    status_code: Annotated[
        int, Field(description="0: the request got no answer.", examples=[500], ge=0, le=599)
    ]
    duration: Annotated[
        float | None, Field(description="Seconds; null where it is unknown.", examples=[0.316])
    ]
    failed: Annotated[bool, Field(description="Whether `failures` calls it failed.")]
    source_id: Annotated[str, Field(examples=["6a1f0c52b7d94e0f8a3c1d2e4b5f6a70"])]
    source: Annotated[
        str | None,
        Field(
            description="Last known name of the log; null of messages, and where nobody knows it any more."
        ),
    ]
    offset: Annotated[Count, Field(description="Byte offset of the line in the log.", examples=[1024])]
    line: NotRequired[
        Annotated[
            str | None,
            Field(
                description="With `lines`: the line, at most 64 KiB of it; bytes that are not UTF-8 as \\xNN."
            ),
        ]
    ]
    line_missing: NotRequired[
        Annotated[str | None, Field(description="With `lines`: why there is no line; null when there is.")]
    ]


class Requests(_Range):
    """One page of requests, the newest or the slowest first."""

    customer_id: Annotated[str | None, Field(description="Null for those of all.", examples=["cust_1"])]
    sort: RecordOrder
    next_cursor: Cursor
    requests: list[LoggedRequest]


class RejectedLine(TypedDict):
    """A line that could not be read."""

    source_id: Annotated[str, Field(examples=["6a1f0c52b7d94e0f8a3c1d2e4b5f6a70"])]
    path: Annotated[str, Field(description="Last known name of the log.", examples=["data/requests.log"])]
    offset: Annotated[Count, Field(description="Byte offset of the line in the log.", examples=[1024])]
    reason: Annotated[str, Field(description="The field, what was found, what was expected.")]
    line: Annotated[str, Field(description="The line; bytes that are not UTF-8 as \\xNN.")]
    seen_at: Annotated[Time, Field(description="When it was committed, in UTC.")]


class Rejects(TypedDict):
    """One page of rejected lines, newest first."""

    total: Annotated[Count, Field(description="Rejected lines on all pages.", examples=[3])]
    next_cursor: Cursor
    rejects: list[RejectedLine]


class Health(TypedDict):
    """The process answers."""

    status: Literal["alive"]
    version: Annotated[str, Field(description="Version of tailmetrics.", examples=["0.1.0"])]


class StoreReadiness(TypedDict):
    answers: bool
    error: Annotated[str | None, Field(description="Why the store does not answer.")]
    series: NotRequired[Annotated[int, Field(description="Series of InfluxDB; left out for other stores.")]]


class IngestionReadiness(TypedDict):
    state: Annotated[
        Literal["running", "restarting", "stopped"] | None,
        Field(description="Null in a process that only answers requests."),
    ]
    last_error: Annotated[str | None, Field(description="What went wrong last.")]
    store_error: Annotated[str | None, Field(description="Why commits fail and are being tried again.")]
    lost_bytes: Annotated[
        Count,
        Field(description="Bytes that truncations destroyed before they were read, no copy being left."),
    ]


class SourceReadiness(TypedDict):
    """What is known of one log."""

    source_id: str
    path: Annotated[str, Field(examples=["data/requests.log"])]
    format: Annotated[
        str,
        Field(
            description="Format its lines are read in; empty when only the store knows it.",
            examples=["requests"],
        ),
    ]
    device: Annotated[Count, Field(description="Device number of the file.")]
    inode: Annotated[Count, Field(description="Inode number of the file.")]
    epoch: Annotated[Count, Field(description="How often the file was truncated, or its inode used again.")]
    state: Annotated[
        str,
        Field(
            description="live, rotated, loading, done, stored (nobody reads it now), empty, awaited (there "
            "is no file now), missing (there never was one), unreadable or undecided (its format is not "
            "known yet).",
            examples=["live"],
        ),
    ]
    position: Annotated[Count, Field(description="Byte up to which it is in the store.")]
    size: Annotated[Count, Field(description="Bytes.")]
    lag_bytes: Annotated[Count, Field(description="Bytes that are not in the store yet.")]
    lag_seconds: Annotated[float, Field(ge=0, description="Seconds for which it has been behind.")]
    last_error: str | None
    updated_at: Annotated[Time | None, Field(description="When this was said, in UTC.")]


class WarningOfSource(TypedDict):
    """Why the lines of one log are probably not read as they are meant; without a log, of the service."""

    source_id: str
    path: Annotated[str, Field(examples=["data/requests.log"])]
    format: Annotated[str, Field(description="Format its lines are read in.", examples=["requests"])]
    kind: Annotated[
        Literal["rejects", "duration", "access", "keys", "series", "objectives", "alerts", "receivers"],
        Field(
            description="Most of its latest lines are rejects, the median duration is above an hour, other "
            "machines reach a service that asks for no key, `path` is a file of keys or objectives that "
            "cannot be read again, the store has more series than InfluxDB bears well, alerts are not "
            "evaluated, or a receiver of notifications does not take them."
        ),
    ]
    text: Annotated[str, Field(description="What was found, and what helps.")]


class Readiness(TypedDict):
    """Whether requests can be answered and lines are being read."""

    ready: bool
    reasons: Annotated[list[str], Field(description="Why it is not ready; empty when it is.")]
    store: StoreReadiness
    ingestion: IngestionReadiness
    sources: list[SourceReadiness]
    warnings: Annotated[list[WarningOfSource], Field(description="The service is ready all the same.")]
    restricted: NotRequired[
        Annotated[bool, Field(description="Logs, warnings and errors are left out, as no key was shown.")]
    ]


class LineTotals(TypedDict):
    lines: Annotated[Count, Field(description="Lines, of any kind.", examples=[10000])]
    records: Annotated[Count, Field(description="Lines that are requests.", examples=[9996])]
    rejects: Annotated[Count, Field(description="Lines that could not be read; see /rejects.", examples=[3])]
    blanks: Annotated[Count, Field(description="Lines of white space only.", examples=[1])]


class LoadTotals(LineTotals):
    bytes: Annotated[Count, Field(description="Bytes.", examples=[540000])]


class RejectReason(TypedDict):
    reason: Annotated[str, Field(description="Of the first such line.", examples=["line: found 'x', …"])]
    lines: Annotated[Count, Field(description="Lines in which the same field was wrong.", examples=[3])]


class LoadedFile(LoadTotals):
    """What became of one log."""

    name: Annotated[str, Field(examples=["requests.log"])]
    already_loaded: Annotated[bool, Field(description="It was in the store already; nothing was added.")]
    warning: Annotated[
        str | None, Field(description="What helps when more than half of its lines are rejects; else null.")
    ]
    reasons: Annotated[list[RejectReason], Field(description="Of its rejects, the most frequent first.")]


class Loaded(TypedDict):
    """What was loaded; all of it can be asked for now."""

    files: list[LoadedFile]
    totals: LoadTotals


class LoadingFile(LoadedFile):
    """How far one log is."""

    bytes_done: Annotated[Count, Field(description="Bytes that are in the store.", examples=[558236])]
    state: LoadStateName
    error: Annotated[str | None, Field(description="Why it failed; null when it did not.")]


class LoadState(LineTotals):
    """A job that loads one log or more."""

    job: Annotated[str, Field(description="To be asked for with GET /load/{job}.")]
    state: LoadStateName
    bytes: Annotated[Count, Field(description="Bytes that are in the store.", examples=[558236])]
    bytes_total: Annotated[Count, Field(description="Bytes of the logs, decompressed.", examples=[558236])]
    error: Annotated[str | None, Field(description="Why it failed; null when it did not.")]
    files: list[LoadingFile]


class Trend(TypedDict):
    """How the requests of a customer spread over the range, in parts of equal length."""

    requests: list[int]
    failed: list[int]


class Looks(TypedDict):
    """Where the service looks for lines, and what it sees."""

    patterns: list[str]
    ingestion: IngestionReadiness
    sources: list[SourceReadiness]
    warnings: Annotated[list[WarningOfSource], Field(description="The service is ready all the same.")]


class ViewParts(TypedDict):
    """What a page shows below its charts: of all customers, or of one."""

    customers: Customers | None
    cursor: str | None
    trends: dict[str, Trend]
    breakdown: Breakdown | None


class View(ViewParts):
    """Everything that a page of the dashboard shows; `span` is from the first request to the last."""

    version: str
    at: Time
    span: list[Time] | None
    stats: Stats
    rejects: Rejects
    looks: Looks
