"""Follows many files: has them found, hands out their chunks in turn, and notes what is committed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from tailmetrics.errors import LoadError
from tailmetrics.settings import TailingOptions
from tailmetrics.sources import Batch, LineChunk, Registration, Source
from tailmetrics.status import SourceStatus
from tailmetrics.tailing.discovery import AllLogs
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.followers import Followers
from tailmetrics.tailing.known_sources import KnownSources
from tailmetrics.tailing.load_jobs import LoadJob
from tailmetrics.tailing.load_queue import LoadQueue
from tailmetrics.tailing.matching import Matcher
from tailmetrics.tailing.reader import Rewritten
from tailmetrics.tailing.rotation import LogNames
from tailmetrics.tailing.scanner import Scanner
from tailmetrics.tailing.wakeup import Wakeup
from tailmetrics.telemetry.log import EventLog

_POLL_SECONDS = 0.05  # from one look to the next at what no event tells of

log = EventLog()


class Tailer:
    """The files of LOG_FILE_PATH and of loads, as chunks of whole lines.

    One a process. All methods may be called from any thread: one lock guards the tailer and all its parts.
    Without `follow` only loads are served. `elsewhere` are sources of other nodes, `logs` tells which
    files are followed here.
    """

    def __init__(
        self,
        options: TailingOptions,
        node_id: str,
        known: Iterable[Source],
        elsewhere: Iterable[Source] = (),
        *,
        follow: bool = True,
        logs: AllLogs | None = None,
    ) -> None:
        self.logs = logs or AllLogs()
        self.wakeup = Wakeup()
        self._options = options
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._reopening = threading.Event()
        self._known = KnownSources(known, datetime.now(timezone.utc), elsewhere, self.logs.followed_since)
        names = LogNames(options.log_paths if follow else ())
        names.add(source.path for source in self._known)
        self._followers = Followers(options, names, self._known)
        matcher = Matcher(node_id, self._followers, from_beginning=options.log_start != "end")
        self._loads = LoadQueue(options.log_format, self._followers, matcher)
        self._scanner = Scanner(options, self._followers, matcher, self.wakeup, self.logs)

    def next_chunks(self, worker: int = 0, workers: int = 1) -> list[LineChunk | Registration]:
        """What is new, at most one chunk of each source and about CHUNK_BYTES in all; may be empty.

        Each source belongs to one worker of `workers`, so that its chunks stay in order.
        """
        with self._lock:
            self._loads.begin()
            if self._reopening.is_set():
                self._reopen()
            if self._scanner.is_due():
                self._scanner.scan()
            else:
                self._scanner.follow_waiting()
            waiting = self._in_turn(worker, workers)
            # All new sources before any line: then after a crash the store knows whatever had been found.
            chunks: list[LineChunk | Registration] = []
            for follower in waiting:
                if not follower.registered:
                    self._known.put(follower.source)
                    chunks.append(follower.registration())
            room = self._options.chunk_bytes
            while waiting and room > 0:
                follower = waiting.popleft()
                chunk = self._read(follower)
                if chunk is not None:
                    self._followers.end_turn(follower)
                    chunks.append(chunk)
                    room -= len(chunk.data)
                    if chunk.more and self._options.backlog_order == "oldest":
                        break
            self._loads.end()  # whose file was let go, as nothing may happen for long now
            more = any(follower.changed and follower.unread_bytes for follower in waiting)
            # What another chunk follows need not be committed alone.
            last = len(chunks) - 1
            return [
                replace(chunk, more=True) if more or place < last else chunk
                for place, chunk in enumerate(chunks)
            ]

    def rest_seconds(self) -> float:
        """How long nothing is to be done as long as nothing happens."""
        with self._lock:
            if (
                not self.wakeup.has_events
                or self._scanner.has_waiting
                or any(follower.needs_polling for follower in self._followers)
            ):
                return _POLL_SECONDS
            return self._scanner.rest_seconds()

    def committed(self, batch: Batch) -> None:
        """Note that a batch is durably in the store."""
        with self._lock:
            self._known.advance(batch.source_id, batch.checkpoint, batch.path)
            follower = self._followers.of_source(batch.source_id)
            if follower is not None:
                follower.committed = batch.checkpoint.position
                follower.refresh()
            if self._loads:
                self._loads.committed(batch)
            if self._loads or self._scanner.has_waiting:
                self.wakeup.wake()

    def load(self, job: LoadJob) -> None:
        """Read a file to its end, unless the store has it already; the job tells of it."""
        with self._lock:
            self._loads.add(job)
        self.wakeup.wake()

    def statuses(self) -> Sequence[SourceStatus]:
        """Every source that is followed, was read to its end, or is missing."""
        with self._lock:
            return self._followers.statuses() + self._scanner.problems()

    @property
    def lost_bytes(self) -> int:
        """Unread bytes that a truncation destroyed, no copy of them having been found."""
        return self._followers.orphans.lost_bytes

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop: no further chunk will come."""
        return self._stopping.is_set()

    def reopen(self) -> None:
        """Close all files soon and look for them anew. Takes no lock: a signal handler may call it."""
        self._reopening.set()
        self.wakeup.wake()

    def stop(self) -> None:
        """Hand out no more chunks; what was read and not committed will be read again next time."""
        self._stopping.set()
        self.wakeup.wake()

    def close(self) -> None:
        """Close all files."""
        self.stop()
        self.wakeup.close()
        with self._lock:
            for follower in self._followers:
                self._followers.close(follower)
            self.logs.close()

    def _in_turn(self, worker: int, workers: int) -> deque[Follower]:
        """Those of a worker that may have something to read, new ones too; the first to be read first."""
        polls = not self.wakeup.has_events
        due = [
            follower
            for follower in self._followers
            if (polls or follower.changed or follower.needs_polling)
            and follower.worker_hash % workers == worker
            # A turn each while others wait to be opened: it is closed for one of them.
            and not (self._scanner.has_waiting and follower.found and follower.had_turn)
        ]
        if self._options.backlog_order == "oldest":
            due.sort(key=lambda follower: follower.written_ns)
        return deque(due)

    def _read(self, follower: Follower) -> LineChunk | None:
        try:
            written = follower.refresh()
            hold = self._options.rotated_hold_seconds
            final = follower.finite or (follower.rotated and follower.quiet_seconds() >= hold)
            chunk = follower.read(final=final) if written or (final and follower.unread_bytes) else None
        except Rewritten:
            self._note_rewritten(follower)
            return None
        except (OSError, LoadError) as error:
            self._note_error(follower, str(error))
            return None
        follower.last_error = None
        if chunk is None:
            follower.changed = False
            if final and follower.is_committed:
                self._followers.park(follower)
        return chunk

    def _note_rewritten(self, follower: Follower) -> None:
        source = self._followers.orphans.add_rewritten(follower)
        self._followers.close(follower)
        self._loads.restart(source.source_id)
        self._scanner.scan_soon()
        self.wakeup.wake()

    def _note_error(self, follower: Follower, reason: str) -> None:
        if follower.last_error != reason:
            log.warning("cannot read", path=follower.path, error=reason)
        follower.last_error = reason
        if follower.finite:
            self._loads.fail(follower.source.source_id, reason)
            self._followers.close(follower)

    def _reopen(self) -> None:
        self._reopening.clear()
        self._followers.forget_parked()
        for follower in self._followers:
            # What is read to its end only once goes on: its name may be gone.
            if follower.found:
                self._followers.close(follower)
                self._loads.restart(follower.source.source_id)
        self._scanner.scan_soon(anew=True)
        log.info("reopening all files")
