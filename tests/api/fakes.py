"""A dataflow that reads nothing and says what a test wants it to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tailmetrics.status import IngestionState, LoadProgress, SourceStatus

LIVE_SOURCE = SourceStatus(
    source_id="6a1f0c52b7d94e0f",
    path="data/requests.log",
    device=1,
    inode=2,
    epoch=0,
    position=500,
    size=540,
    lag_bytes=40,
    lag_seconds=0.25,
    state="live",
    format="requests",
)
RUNNING = IngestionState("running")
ONE_LINE_LOADED = LoadProgress("done", bytes_total=37, bytes_done=37, lines=1, records=1)


@dataclass
class FakeJob:
    """Ends at the `looks`-th time that somebody looks whether it has."""

    ended: LoadProgress
    looks: int

    def progress(self) -> LoadProgress:
        return LoadProgress("running") if self.looks > 0 else self.ended

    def wait(self, timeout: float | None = None) -> bool:
        self.looks -= 1
        return self.looks <= 0


@dataclass(frozen=True)
class StartedLoad:
    """What a load was started with, and what the file held then."""

    path: Path
    display_name: str
    format_name: str | None
    content: bytes
    origin: str | None = None


@dataclass
class FakeIngestion:
    current: IngestionState = RUNNING
    statuses: Sequence[SourceStatus] = (LIVE_SOURCE,)
    ended: LoadProgress = ONE_LINE_LOADED
    looks: int = 1
    loads: list[StartedLoad] = field(default_factory=list)
    jobs: list[FakeJob] = field(default_factory=list)

    def state(self) -> IngestionState:
        return self.current

    def sources(self) -> Sequence[SourceStatus]:
        return self.statuses

    def start_load(
        self, path: Path, display_name: str, format_name: str | None, origin: str | None = None
    ) -> FakeJob:
        self.loads.append(StartedLoad(path, display_name, format_name, path.read_bytes(), origin))
        self.jobs.append(FakeJob(self.ended, self.looks))
        return self.jobs[-1]
