"""Loads of finished files: each a job that ends when the last line is committed."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from tailmetrics.settings import FormatOptions
from tailmetrics.sources import Batch
from tailmetrics.status import LoadProgress, reasons_of, summed


class LoadJob:
    """One file to be read to its end. Its progress may be asked for from any thread.

    With `by_content` the file is a copy made for the load (an upload), known by its bytes alone.
    """

    def __init__(
        self, path: Path, display_name: str, log_format: FormatOptions | None, *, by_content: bool
    ) -> None:
        self.path = path
        self.display_name = display_name
        self.log_format = log_format
        self.by_content = by_content
        self.source_id: str | None = None
        self.end: int | None = None  # the byte offset at which it is done, once known
        self._awaited: LoadJob | None = None
        self._progress = LoadProgress(state="queued")
        self._ended = threading.Event()

    def progress(self) -> LoadProgress:
        return self._progress

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the load; whether it came within `timeout` seconds."""
        return self._ended.wait(timeout)

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    @property
    def may_begin(self) -> bool:
        """Whether it has not begun, nor has to wait for another one."""
        waits = self._awaited is not None and not self._awaited.has_ended
        return self.source_id is None and not waits and not self.has_ended

    def wait_for(self, other: LoadJob) -> None:
        """Begin after another load of the same bytes, which is the one to count them."""
        self._awaited = other

    def restart(self) -> None:
        """Begin anew behind what was committed: the dataflow that was at it is gone."""
        self._awaited = None
        self.source_id = None
        self.end = None
        self._progress = replace(self._progress, state="queued")

    def begin(self, source_id: str, position: int, size: int) -> None:
        self.source_id = source_id
        self._progress = replace(self._progress, state="running", bytes_total=size, bytes_done=position)

    def add(self, batch: Batch) -> None:
        """Count what was committed."""
        done = self._progress
        rejects = batch.parsed.rejects
        reasons = done.reasons if rejects.is_empty() else summed([*done.reasons, *reasons_of(rejects)])
        self._progress = replace(
            done,
            bytes_done=batch.checkpoint.position,
            lines=done.lines + batch.parsed.lines,
            records=done.records + batch.parsed.records.height,
            rejects=done.rejects + rejects.height,
            blanks=done.blanks + batch.parsed.blanks,
            reasons=reasons,
        )

    def succeed(self, *, already_loaded: bool = False) -> None:
        self._progress = replace(self._progress, state="done", already_loaded=already_loaded)
        self._ended.set()

    def fail(self, error: str) -> None:
        self._progress = replace(self._progress, state="failed", error=error)
        self._ended.set()
