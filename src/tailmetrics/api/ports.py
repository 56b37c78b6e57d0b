"""What the API needs of the dataflow that runs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tailmetrics.status import IngestionState, LoadProgress, SourceStatus


class LoadJob(Protocol):
    """One finished file on its way into the store."""

    def progress(self) -> LoadProgress:
        """How far it is; may be called from any thread."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job is done or failed, at most `timeout` seconds; whether it ended."""
        ...


class Supervisor(Protocol):
    """The dataflow, as far as the API speaks to it; every method may be called from any thread."""

    def state(self) -> IngestionState:
        """Whether lines are being read and committed."""
        ...

    def sources(self) -> Sequence[SourceStatus]:
        """What the tailer says of each of its sources."""
        ...

    def start_load(
        self, path: Path, display_name: str, format_name: str | None, origin: str | None = None
    ) -> LoadJob:
        """Read a finished file to its end, in the background; `format_name` None means the configured one.

        That is of the file's path, or of its `origin`: the path that it had before it was sent.
        Raises LoadError when the file cannot be read, FormatError when the format cannot be built, and
        StoreRefused while the store lets nobody write.
        """
        ...
