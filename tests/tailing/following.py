"""A tailer on real files whose chunks are committed to memory at once, so that each line can be looked at."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tailmetrics.records import ParsedLines, no_records, no_rejects
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch, Chunk, LineChunk, Registration, Source
from tailmetrics.tailing import LoadJob, Tailer


class Following:
    """What a service does with files, without parsing: it starts, stops, crashes and goes on.

    `lines` are the committed lines in order, each without its end.
    """

    def __init__(self, pattern: Path | str, **settings: Any) -> None:
        settings.setdefault("rotated_hold_seconds", 0.0)
        settings.setdefault("poll_interval_seconds", 0.001)
        self.settings = load_settings(
            None, **{"log_format": "requests", "log_file_path": str(pattern)} | settings
        )
        self.node_id = "node"
        self.sources: dict[str, Source] = {}
        self.lines: list[bytes] = []
        self.chunks: list[LineChunk] = []
        self.store_is_away = False
        self._waiting: list[Chunk] = []
        self.tailer = self._new_tailer()

    def _new_tailer(self) -> Tailer:
        return Tailer(self.settings.tailing_options, self.node_id, self.sources.values())

    def settle(self, *, commit: bool = True) -> list[bytes]:
        """Read until nothing more comes; returns all lines so far. Uncommitted chunks are forgotten."""
        quiet = 0
        while quiet < 3:
            self.tailer.wakeup.wake(names_changed=True)
            chunks = self.tailer.next_chunks()
            quiet = 0 if chunks else quiet + 1
            for chunk in chunks:
                if self.store_is_away:
                    self._waiting.append(chunk)
                elif commit:
                    self.commit(chunk)
        return self.lines

    def store_comes_back(self) -> None:
        self.store_is_away = False
        for chunk in self._waiting:
            self.commit(chunk)
        self._waiting = []

    def commit(self, chunk: Chunk) -> None:
        parsed = ParsedLines(no_records(), no_rejects(), 0)
        if isinstance(chunk, Registration):
            new = chunk.source
            assert new.source_id not in self.sources, "registered twice"
            self.sources[new.source_id] = replace(new, committed_at=datetime.now(timezone.utc))
            self.tailer.committed(Batch(new.source_id, new.path, new.position, new.checkpoint, parsed))
            return
        assert isinstance(chunk, LineChunk)
        source = self.sources[chunk.source_id]
        assert chunk.offset == source.position, "a batch begins where the store is"
        self.sources[chunk.source_id] = replace(
            source, checkpoint=chunk.checkpoint, path=chunk.path, committed_at=datetime.now(timezone.utc)
        )
        self.chunks.append(chunk)
        self.lines += [line.removesuffix(b"\r") for line in chunk.data.removesuffix(b"\n").split(b"\n")]
        self.tailer.committed(Batch(chunk.source_id, chunk.path, chunk.offset, chunk.checkpoint, parsed))

    def load(self, path: Path, name: str | None = None) -> LoadJob:
        job = LoadJob(path, name or str(path), None, by_content=name is not None)
        self.tailer.load(job)
        while not job.has_ended:
            self.settle()
        return job

    def restart(self) -> None:
        """End and start again; what was not committed is forgotten, as by `kill -9`."""
        self._waiting = []
        self.tailer.close()
        self.tailer = self._new_tailer()

    def close(self) -> None:
        self.tailer.close()


def line_chunks(following: Following, worker: int = 0, workers: int = 1) -> list[LineChunk]:
    """The chunks of lines that come next."""
    chunks = following.tailer.next_chunks(worker, workers)
    return [chunk for chunk in chunks if isinstance(chunk, LineChunk)]


def append(path: Path, *lines: str | bytes, end: bytes = b"\n") -> None:
    """Append whole lines to a file, made when it is missing."""
    data = b"".join((line.encode() if isinstance(line, str) else line) + end for line in lines)
    with path.open("ab") as stream:
        stream.write(data)


def copy_truncate(path: Path, copy: Path) -> None:
    """What logrotate's copytruncate does."""
    copy.write_bytes(path.read_bytes())
    os.truncate(path, 0)


def numbered(first: int, last: int) -> list[str]:
    """Lines that each carry a number, so that loss, duplicates and reordering show."""
    return [f"2024-11-06 06:33:33 cust_{n % 7} /line/{n} 200 0.316" for n in range(first, last)]


def duplicates(lines: list[bytes]) -> list[bytes]:
    return [line for line, count in Counter(lines).items() if count > 1]


def as_bytes(lines: list[str]) -> list[bytes]:
    return [line.encode() for line in lines]


def load_all(following: Following, *paths: Path, at_once: bool) -> list[LoadJob]:
    if not at_once:
        return [following.load(path) for path in paths]
    jobs = [LoadJob(path, str(path), None, by_content=False) for path in paths]
    for job in jobs:
        following.tailer.load(job)
    while not all(job.has_ended for job in jobs):
        following.settle()
    return jobs
