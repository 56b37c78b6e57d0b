"""What processors say of their sources, of the dataflow and of loads."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tailmetrics.sources import Source

SourceState = Literal[
    "live", "rotated", "loading", "done", "stored", "empty", "awaited", "missing", "unreadable", "undecided"
]


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


def status_of(said: Mapping[str, Any], updated_at: datetime | None) -> SourceStatus:
    """What a processor said, from its fields as `asdict` gives them; an older processor says fewer."""
    warnings = tuple(SourceWarning(**warning) for warning in said.get("warnings", ()))
    return SourceStatus(**{**said, "updated_at": updated_at, "warnings": warnings})


def stored_statuses(sources: Iterable[Source]) -> tuple[SourceStatus, ...]:
    """What is known of files when no processor says anything: how far each is in the store."""
    return tuple(
        SourceStatus(
            source_id=source.source_id,
            path=source.path,
            device=source.device,
            inode=source.inode,
            epoch=source.epoch,
            position=source.position,
            size=source.position,
            lag_bytes=0,
            lag_seconds=0.0,
            state="stored",
            updated_at=source.committed_at,
        )
        for source in sources
        if not source.is_message
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
class LoadProgress:
    """How far a load of one finished file is; `error` says why it failed."""

    state: Literal["queued", "running", "done", "failed"]
    bytes_total: int = 0
    bytes_done: int = 0
    lines: int = 0
    records: int = 0
    rejects: int = 0
    blanks: int = 0
    already_loaded: bool = False
    error: str | None = None

    def warning(self, name: str) -> str | None:
        """What helps when more than half of the lines of that file are rejects; None otherwise."""
        if self.rejects <= self.records:
            return None
        return f"{share_of_rejects(name, self.records, self.rejects)}; {detect_hint(name)}"


def share_of_rejects(name: str, records: int, rejects: int, which: str = "") -> str:
    """How many of the lines of a source, blank ones apart, could not be read; `which` says which lines."""
    lines = records + rejects
    return f"{rejects:,} of {which}{lines:,} lines of {name} ({100 * rejects // lines}%) could not be read"


def detect_hint(path: str) -> str:
    return f"`tailmetrics detect {shlex.quote(path)}` tells their format"
