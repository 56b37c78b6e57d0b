"""The shapes of answers.

They are typed dictionaries and not models: an answer may have thousands of windows, and a dictionary goes
straight to JSON, while a model costs more to build and to check than the store takes to answer.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from tailmetrics.stats import Failures, RecordOrder, UptimeMethod

Count = Annotated[int, Field(ge=0)]
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


class LatencyPart(TypedDict):
    """How many requests of a part of the range took how long."""

    start: Time
    counts: Annotated[
        list[Count],
        Field(description="Of those below the first bound, between each two, and from the last on."),
    ]


_Latencies = TypedDict("_Latencies", {"from": Time | None, "to": EndTime | None})


class Latencies(_Latencies):
    """Counts of requests by time and by duration."""

    customer_id: Annotated[str, Field(examples=["cust_1"])]
    tz: Annotated[str, Field(examples=["UTC"])]
    bounds: Annotated[
        list[float], Field(description="Seconds, ascending; empty without a range.", examples=[[0.1, 0.2]])
    ]
    parts: list[LatencyPart]


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
    offset: Annotated[
        Count,
        Field(
            description="Byte offset of the line in the log; in a topic's partition, the offset in Kafka "
            "times 2^20 plus the number of the line in its message, from 0 on.",
            examples=[1024],
        ),
    ]
    place: Annotated[
        str, Field(description="The offset for people.", examples=["byte 1,024", "offset 17, line 0"])
    ]
    reason: Annotated[str, Field(description="The field, what was found, what was expected.")]
    line: Annotated[str, Field(description="The line; bytes that are not UTF-8 as \\xNN.")]
    seen_at: Annotated[Time, Field(description="When it was committed, in UTC.")]


class Rejects(TypedDict):
    """One page of rejected lines, newest first."""

    total: Annotated[Count, Field(description="Rejected lines on all pages.", examples=[3])]
    next_cursor: Cursor
    rejects: list[RejectedLine]
