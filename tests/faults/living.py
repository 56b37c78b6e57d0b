"""Tailer, dataflow and DuckDB store in this process, and what is in the store when they have ended."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import load_settings
from tailmetrics.status import SourceStatus
from tailmetrics.stores import open_store
from tailmetrics.stores.base import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.integration.running import await_that
from tests.tailing.following import append, numbered

HOLD_SECONDS = 0.2
_MARKER = "marker"  # the customer of lines that tell of a look at all files


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the store has it."""

    source: int
    offset: int
    timestamp: datetime
    customer_id: str
    path: str
    status_code: int
    duration: float | None

    @property
    def number(self) -> int:
        """The number of the line, which its path carries."""
        return int(self.path.rpartition("/")[2])

    def line(self) -> str:
        """The line that this record was made of, as `numbered` writes it."""
        return f"{self.timestamp} {self.customer_id} {self.path} {self.status_code} {self.duration}"


@dataclass(frozen=True, slots=True)
class RejectRow:
    """A reject as the store has it; `field` is what its reason names first."""

    offset: int
    field: str
    line: str


class Living:
    """The ingestion of a service on real files and a real store: started, stopped, started again.

    `wrap` is given each opened store and returns what the ingestion uses in its place.
    """

    def __init__(self, folder: Path, pattern: Path | str, **settings: Any) -> None:
        settings.setdefault("rotated_hold_seconds", HOLD_SECONDS)
        settings.setdefault("poll_interval_seconds", 0.02)
        settings.setdefault("stream_max_wait_time_in_seconds", 0.05)
        self.folder = folder
        self._markers = folder / "markers"
        self._markers.mkdir(parents=True)
        self._marked = itertools.count()
        self.settings = load_settings(
            None,
            log_file_path=f"{pattern},requests={self._markers}/*.marker",
            store_url=f"duckdb:///{folder}/store.duckdb",
            node_id="test",
            **settings,
        )
        self.store: Store | None = None
        self.ingestion: Supervisor | None = None
        self.gave_up = False

    def start(self) -> None:
        self.store = self.wrap(open_store(self.settings))
        self.ingestion = Supervisor(self.settings, self.store, Metrics(), on_give_up=self._note_end)
        self.ingestion.start()

    def wrap(self, store: Store) -> Store:
        return store

    def _note_end(self) -> None:
        self.gave_up = True

    def stop(self) -> None:
        if self.ingestion is not None and self.store is not None:
            self.ingestion.stop()
            self.store.close()
            self.ingestion = self.store = None

    def restart(self) -> None:
        self.stop()
        self.start()

    # -- while it runs ---------------------------------------------------------------------------------

    @property
    def running(self) -> Supervisor:
        assert self.ingestion is not None
        return self.ingestion

    def count(self) -> int:
        """Records and rejects in the store, without markers."""
        assert self.store is not None
        status = asyncio.run(self.store.status())
        return status.records + status.rejects - self._count_of_markers()

    def _count_of_markers(self) -> int:
        return sum(1 for _ in self._markers.iterdir())

    def await_count(self, count: int, seconds: float = 60.0) -> None:
        await_that(
            lambda: self.count() >= count,
            seconds,
            lambda: f"{self.count()} of {count}\n{self.behind()}",
        )

    def await_look(self, times: int = 1) -> None:
        """Wait until all files were looked for and read, by writing a log that was not there before."""
        for _ in range(times):
            marker = self._markers / f"{next(self._marked)}.marker"
            draft = marker.with_suffix(".draft")
            append(draft, f"2024-11-06 06:33:33 {_MARKER} /line/0 200 0.316")
            draft.rename(marker)
            await_that(lambda path=str(marker): self._is_committed(path), 60.0, self.behind)

    def _is_committed(self, path: str) -> bool:
        return any(
            status.path == path and status.position > 0 and not status.lag_bytes
            for status in self.running.sources()
        )

    def status_of(self, path: Path) -> SourceStatus:
        """What is said of the source that is now at a path."""
        return next(status for status in self.running.sources() if status.path == str(path))

    def behind(self) -> str:
        """What is said of the first sources that are behind, for who waited in vain."""
        lagging = [str(status) for status in self.running.sources() if status.lag_bytes or status.last_error]
        return "\n".join([f"{len(lagging)} behind", str(self.running.state()), *lagging[:5]])

    def await_size(self, path: Path) -> None:
        """Wait until the present size of a file was seen, and read."""
        size = path.stat().st_size
        await_that(
            lambda: any(s.path == str(path) and s.size == size for s in self.running.sources()),
            60.0,
            self.behind,
        )

    # -- what is in the store --------------------------------------------------------------------------

    def content(self, count: int) -> tuple[list[Row], list[RejectRow]]:
        """Records and rejects after `count` of both came, two more looks, a new start, and two looks again.

        A later look or a new start must add nothing, so what they add is there to be found.
        """
        if self.ingestion is None:
            self.start()
        self.await_count(count)
        self.await_look(2)
        self.restart()
        self.await_look(2)
        self.stop()
        with duckdb.connect(f"{self.folder}/store.duckdb", read_only=True) as connection:
            records = connection.execute(
                'SELECT source_key, "offset", timestamp, customer_id, path, status_code, duration '
                f"FROM records WHERE customer_id <> '{_MARKER}' ORDER BY source_key, \"offset\""
            ).fetchall()
            rejects = connection.execute(
                "SELECT \"offset\", regexp_extract(reason, '^\\w+'), line FROM rejects "
                'ORDER BY source_key, "offset"'
            ).fetchall()
        return [Row(*row) for row in records], [RejectRow(*row) for row in rejects]

    def must_have(self, numbers: Iterable[int], rejects: Iterable[RejectRow] = ()) -> None:
        """Fail unless each numbered line is there once, whole and in order, and just these rejects are."""
        expected, expected_rejects = sorted(numbers), sorted(rejects, key=repr)
        rows, found_rejects = self.content(len(expected) + len(expected_rejects))
        check_numbers([row.number for row in rows], expected)
        check_whole(rows)
        check_order(rows)
        assert sorted(found_rejects, key=repr) == expected_rejects, "rejects"


def check_numbers(found: Iterable[int], expected: Iterable[int]) -> None:
    """Fail and say which numbers are missing, doubled or were never written."""
    counts, wanted = Counter(found), Counter(expected)
    assert not wanted - counts, f"lost {sorted((wanted - counts).elements())[:20]}"
    assert not counts - wanted, f"too many {sorted((counts - wanted).elements())[:20]}"


def check_whole(rows: Iterable[Row]) -> None:
    """Fail when a record is not of the very line that was written."""
    for row in rows:
        assert row.line() == numbered(row.number, row.number + 1)[0], "torn"


def check_order(rows: Iterable[Row]) -> None:
    """Fail when numbers do not rise with the offsets of a source, or lines overlap."""
    for row, following in itertools.pairwise(rows):
        if row.source == following.source:
            assert row.number < following.number, "out of order"
            assert following.offset - row.offset > len(row.line()), "overlapping"
