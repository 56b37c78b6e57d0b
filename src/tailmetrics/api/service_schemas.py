"""What the service says of itself: probes, loads, and the view of the dashboard, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from tailmetrics.api.schemas import Breakdown, Count, Customers, Rejects, Stats, Time

LoadStateName = Literal["queued", "running", "done", "failed"]


class Health(TypedDict):
    """The process answers."""

    status: Literal["alive"]
    version: Annotated[str, Field(description="Version of tailmetrics.", examples=["0.1.0"])]


class Serving(TypedDict):
    """Whether this process is one to ask."""

    serving: bool
    reason: Annotated[str | None, Field(description="Why it is not.")]


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
    """What is known of one log; position and size of a topic's partition are offsets of Kafka."""

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
    lag_messages: Annotated[
        int | None,
        Field(description="Messages of a topic's partition that are not in the store yet; null of others."),
    ]
    lost_messages: Annotated[
        Count, Field(description="Messages that a topic's retention deleted before they were read.")
    ]
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
    objectives: bool  # whether there may be some


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
