"""What processors say of their sources, of the dataflow and of loads."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import polars as pl

from tailmetrics.settings.names import DEFAULT_LOG
from tailmetrics.sources import Source, unpacked
from tailmetrics.urls import is_kafka

SourceState = Literal[
    "live", "rotated", "loading", "done", "stored", "empty", "awaited", "missing", "unreadable", "undecided"
]

_FIELD = re.compile(r"\W")  # ends the name of a field
_REPORTS_COUNT_SECONDS = 60.0  # a processor that says nothing for so long is no more

FAULTY_STATES = frozenset({"missing", "unreadable", "undecided"})


@dataclass(frozen=True, slots=True)
class SourceWarning:
    """Why the lines of a source are probably not read as they are meant; `text` says what helps."""

    kind: Literal["rejects", "duration"]
    text: str


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What a processor says of one source: sizes and lags in bytes and seconds.

    A queue, and a path without a file, have an empty `source_id`. `format` is the name of the format, empty
    where no processor said it. An undecided source has no format yet: `last_error` says why. Of a missing one
    there never was a file; an awaited one had some and may have it again, or the service has just started.
    A missing topic was not there since the start.
    `reject_percent` is the share of rejects of the minute before its last line.

    Of a partition of a topic `position` and `size` are offsets of Kafka, `lag_bytes` is estimated, and
    `lag_messages` are not in the store yet; retention deleted `lost_messages` before they were read, as far
    as this process knows.
    """

    source_id: str
    path: str
    device: int
    inode: int
    epoch: int
    position: int
    size: int
    lag_bytes: int
    lag_seconds: float
    state: SourceState
    last_error: str | None = None
    updated_at: datetime | None = None
    format: str = ""
    warnings: tuple[SourceWarning, ...] = ()
    reject_percent: float = 0.0
    lag_messages: int | None = None
    lost_messages: int = 0

    @property
    def fault(self) -> str | None:
        """Why its path is probably a wrong one; None otherwise, and of the default one that nobody wrote."""
        if self.state != "missing" or self.path == DEFAULT_LOG:
            return None
        if is_kafka(self.path):
            return self.last_error
        where = "look at LOG_FILE_PATH or LOG_SOURCES"
        return f"no log at {self.path}, and there never was one ({self.last_error}); {where}"


def status_of(said: Mapping[str, Any], updated_at: datetime | None) -> SourceStatus:
    """What a processor said, from its fields as `asdict` gives them; an older processor says fewer."""
    warnings = tuple(SourceWarning(**warning) for warning in said.get("warnings", ()))
    return SourceStatus(**{**said, "updated_at": updated_at, "warnings": warnings})


def is_alive(processor: str, at: float, heard: dict[str, tuple[float, float]]) -> bool:
    """Whether a processor lives whose last report is of the time `at` by its clock, in seconds since 1970.

    It does when what it says changes, as its clock may be another or may have stepped. Only at the first
    look, before anything was `heard` of it, the times have to do. `heard` is kept by who asks.
    """
    now = time.monotonic()
    before, since = heard.get(processor, (at, now - max(0.0, time.time() - at)))
    heard[processor] = (at, since if before == at else now)
    return now - heard[processor][1] < _REPORTS_COUNT_SECONDS


def stored_statuses(sources: Iterable[Source]) -> tuple[SourceStatus, ...]:
    """What is known of files and partitions when no processor says anything: how far each is in the store.

    By path; of messages of queues and of shipped files nothing, as there may be any number.
    """
    listed = [source for source in sources if not source.is_message or is_kafka(source.path)]
    return tuple(map(_stored_status, sorted(listed, key=lambda source: (source.path, source.source_id))))


def _stored_status(source: Source) -> SourceStatus:
    position = unpacked(source.position)[0] if source.is_message else source.position
    return SourceStatus(
        source_id=source.source_id,
        path=source.path,
        device=source.device,
        inode=source.inode,
        epoch=source.epoch,
        position=position,
        size=position,
        lag_bytes=0,
        lag_seconds=0.0,
        state="stored",
        updated_at=source.committed_at,
    )


@dataclass(frozen=True, slots=True)
class IngestionState:
    """How the dataflow is.

    `store_error` is set while commits fail and are tried again. `lost_bytes` were destroyed by truncations
    before they were read, and no copy of them was found.
    """

    name: Literal["running", "restarting", "stopped"]
    last_error: str | None = None
    store_error: str | None = None
    lost_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RejectReason:
    """Why lines became rejects in which one field was wrong: what is said of the first one, and how many."""

    text: str
    lines: int

    @property
    def field(self) -> str:
        """The word that the text begins with."""
        return _FIELD.split(self.text, 1)[0]


def reasons_of(rejects: pl.DataFrame) -> list[RejectReason]:
    """Those of the rejects of one chunk, one a field."""
    reason = pl.col("reason")
    fields = rejects.group_by(reason.str.extract(r"^(\w*)").alias("field"), maintain_order=True)
    return [RejectReason(text, lines) for _, text, lines in fields.agg(reason.first(), pl.len()).iter_rows()]


def summed(reasons: Iterable[RejectReason]) -> tuple[RejectReason, ...]:
    """One reason a field, the most frequent first."""
    sums: dict[str, RejectReason] = {}
    for reason in reasons:
        before = sums.get(reason.field)
        sums[reason.field] = replace(before, lines=before.lines + reason.lines) if before else reason
    return tuple(sorted(sums.values(), key=lambda each: -each.lines))


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a load of one finished file is; `error` says why it failed.

    `reasons` are those of its rejects, the most frequent first.
    """

    state: Literal["queued", "running", "done", "failed"]
    bytes_total: int = 0
    bytes_done: int = 0
    lines: int = 0
    records: int = 0
    rejects: int = 0
    blanks: int = 0
    already_loaded: bool = False
    error: str | None = None
    reasons: tuple[RejectReason, ...] = ()

    @property
    def is_unread(self) -> bool:
        """Whether it has lines, and none of them could be read."""
        return self.rejects > 0 and self.records == 0

    def warning(self, name: str) -> str | None:
        """What helps when more than half of the lines of that file are rejects; None otherwise."""
        if self.rejects <= self.records:
            return None
        return f"{share_of_rejects(name, self.records, self.rejects)}; {detect_hint(name)}"


def share_of_rejects(name: str, records: int, rejects: int, which: str = "") -> str:
    """How many of the lines of a source, blank ones apart, could not be read; `which` says which lines."""
    lines = records + rejects
    percent = 100 * rejects // lines or "<1"
    return f"{rejects:,} of {which}{lines:,} lines of {name} ({percent}%) could not be read"


def detect_hint(path: str) -> str:
    return f"`tailmetrics detect {shlex.quote(path)}` tells their format"
