"""Follows many files: finds them, tells which source each is, and hands out chunks in turn."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from tailmetrics.errors import LoadError
from tailmetrics.formats.framing import RESULTS
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, LineChunk, Registration, Source
from tailmetrics.status import SourceState, SourceStatus
from tailmetrics.tailing.discovery import (
    FoundFile,
    RotatedFiles,
    directories_to_watch,
    event_names,
    find_files,
)
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.followers import Followers, Key
from tailmetrics.tailing.identity import start_at_end
from tailmetrics.tailing.known_sources import KnownSources, Relatives
from tailmetrics.tailing.load_jobs import LoadJob
from tailmetrics.tailing.log_file import LogFile, open_finished, open_log
from tailmetrics.tailing.matching import Matcher
from tailmetrics.tailing.orphans import Orphans
from tailmetrics.tailing.reader import Rewritten
from tailmetrics.tailing.rotation import LogNames, is_compressed
from tailmetrics.tailing.wakeup import Wakeup
from tailmetrics.telemetry.log import EventLog

_POLL_SECONDS = 0.05  # from one look to the next at what no event tells of
# Where there are events, so many times as long as a look for files took the processor is waited before
# another, and no more than so many times the interval that is set.
_SCAN_REST, _LONGEST_SCAN_REST = 200, 10
_MOST_LOADS = 64  # at a time: each holds its file open

log = EventLog()


@dataclass(frozen=True, slots=True)
class _Parked:
    """A file that was read to its end and closed; written to again, it is opened again."""

    stamp: tuple[int, int]
    status: SourceStatus


class Tailer:
    """The files of LOG_FILE_PATH and of loads, as chunks of whole lines.

    One a process. All methods may be called from any thread. Without `follow` only loads are served.
    """

    def __init__(
        self, settings: Settings, node_id: str, known: Iterable[Source], *, follow: bool = True
    ) -> None:
        self.wakeup = Wakeup()
        self._settings = settings
        self._log_paths = settings.log_paths if follow else ()
        self._names = LogNames(self._log_paths)
        self._rotated_files = RotatedFiles(self._names)
        self._started = datetime.now(timezone.utc)
        self._at_start = tuple(known)
        self._known = KnownSources(self._at_start)
        self._names.add(source.path for source in self._known)
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._reopening = threading.Event()
        self._followers = Followers()
        self._orphans = Orphans()
        self._matcher = Matcher(
            node_id,
            self._started,
            self._known,
            self._followers,
            self._orphans,
            names=self._names,
            from_beginning=settings.log_start == "beginning",
        )
        self._parked: dict[Key, _Parked] = {}
        self._settled_siblings: dict[Key, int] = {}  # rotated files that need no look until they change
        self._closed: set[int] = set()  # inodes of known files that are not open, whatever their names
        self._empty: dict[Key, FoundFile] = {}
        self._found: dict[str, Key] = {}  # by path
        self._keys: dict[str, Key] = {}  # the same by all names that events may give
        self._folders: set[str] = set()  # of these names
        self._problems: dict[str, tuple[SourceState, str]] = {}  # path -> state and reason
        self._queued_loads: deque[LoadJob] = deque()
        self._jobs: list[LoadJob] = []  # under way, or waiting for another one of them
        self._scan_due_at = 0.0
        self._scanned = False

    # -- what the dataflow asks ------------------------------------------------------------------------

    def next_chunks(self, worker: int = 0, workers: int = 1) -> list[LineChunk | Registration]:
        """What is new, at most one chunk of each source and about CHUNK_BYTES in all; may be empty.

        Each source belongs to one worker of `workers`, so that its chunks stay in order.
        """
        with self._lock:
            self._begin_loads()
            if self._reopening.is_set():
                self._reopen()
            if self._is_scan_due():
                self._scan()
            # All new sources before any line: then after a crash the store knows whatever had been found.
            chunks: list[LineChunk | Registration] = [*self._registrations(worker, workers)]
            room = self._settings.chunk_bytes
            oldest_first = self._settings.backlog_order == "oldest"
            polls = not self.wakeup.has_events
            followers = [
                follower
                for follower in self._followers
                if (polls or follower.stirred or follower.is_restless)
                and follower.worker_hash % workers == worker
            ]
            waiting = deque(sorted(followers, key=Follower.written_ns) if oldest_first else followers)
            while waiting:
                follower = waiting.popleft()
                chunk = self._read(follower)
                if chunk is not None:
                    self._followers.end_turn(follower)
                    chunks.append(chunk)
                    room -= len(chunk.data)
                    if room <= 0 or (oldest_first and chunk.more):
                        break
            self._end_loads()  # whose file was let go, as nothing may happen for long now
            more = any(follower.stirred and follower.unread_bytes for follower in waiting)
            return _followed_by(chunks, more=more)

    def rest_seconds(self) -> float:
        """How long nothing is to be done as long as nothing happens."""
        with self._lock:
            if not self.wakeup.has_events or any(follower.is_restless for follower in self._followers):
                return _POLL_SECONDS
            return max(0.0, self._scan_due_at - time.monotonic())

    def _registrations(self, worker: int, workers: int) -> list[Registration]:
        new = [f for f in self._followers if not f.registered and f.worker_hash % workers == worker]
        for follower in new:
            self._known.put(follower.source)
        return [follower.registration() for follower in new]

    def committed(self, batch: Batch) -> None:
        """Note that a batch is durably in the store."""
        with self._lock:
            self._known.advance(batch.source_id, batch.checkpoint, batch.path)
            follower = self._followers.of_source(batch.source_id)
            if follower is not None:
                follower.committed = batch.checkpoint.position
                follower.look()
            for job in self._jobs:
                if job.source_id == batch.source_id:
                    job.add(batch)
            if self._jobs:
                self._end_loads()
                self.wakeup.wake()

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
                self._let_go(follower)

    # -- what people ask -------------------------------------------------------------------------------

    def statuses(self) -> Sequence[SourceStatus]:
        """Every source that is followed, was read to its end, or is missing."""
        with self._lock:
            problems = [
                SourceStatus("", path, 0, 0, 0, 0, 0, 0, 0.0, state, reason)
                for path, (state, reason) in sorted(self._problems.items())
            ]
            parked = [parked.status for parked in self._parked.values()]
            return [follower.status() for follower in self._followers] + parked + problems

    @property
    def lost_bytes(self) -> int:
        """Unread bytes that a truncation destroyed, no copy of them having been found."""
        return self._orphans.lost_bytes

    def load(self, job: LoadJob) -> None:
        """Read a file to its end, unless the store has it already; the job tells of it."""
        with self._lock:
            self._queued_loads.append(job)
        self.wakeup.wake()

    # -- reading ---------------------------------------------------------------------------------------

    def _read(self, follower: Follower) -> LineChunk | None:
        try:
            written = follower.look()
            hold = self._settings.rotated_hold_seconds
            final = follower.finite or (follower.rotated and follower.quiet_seconds() >= hold)
            chunk = follower.read(final=final) if written or (final and follower.unread_bytes) else None
        except Rewritten:
            self._orphan(follower)
            return None
        except (OSError, LoadError) as error:
            self._note_error(follower, str(error))
            return None
        follower.last_error = None
        if chunk is None:
            follower.stirred = False
            if final and follower.is_committed:
                self._park(follower)
        return chunk

    def _reopen(self) -> None:
        self._reopening.clear()
        self._parked.clear()
        self._settled_siblings.clear()
        for follower in self._followers:
            # What is read to its end only once goes on: its name may be gone.
            if follower.found:
                self._let_go(follower)
                self._restart_loads(follower.source)
        self._scan_due_at = 0.0
        log.info("reopening all files")

    def _note_error(self, follower: Follower, reason: str) -> None:
        if follower.last_error != reason:
            log.warning("cannot read", path=follower.path, error=reason)
        follower.last_error = reason
        if follower.finite:
            for job in self._jobs:
                if job.source_id == follower.source.source_id:
                    job.fail(reason)
            self._let_go(follower)

    def _orphan(self, follower: Follower) -> None:
        """The file holds other bytes than were read: it is a new source, the old one may go on in a copy."""
        source = follower.as_read()
        log.info("truncated", path=follower.path, source=source.source_id, position=source.position)
        if follower.registered:
            self._orphans.add(source, follower.lost_bytes)
        self._let_go(follower)
        self._restart_loads(source)
        self._scan_due_at = 0.0
        self.wakeup.wake()

    def _park(self, follower: Follower) -> None:
        self._let_go(follower)
        state = replace(follower.status(), state="done")
        if follower.found or follower.finite:
            self._parked[follower.key] = _Parked(follower.stamp, state)

    def _let_go(self, follower: Follower) -> None:
        self._followers.remove(follower)
        if follower.registered:
            self._known.put(follower.as_read())
            if not follower.finite:
                self._closed.add(follower.file.inode)
        follower.file.close()

    # -- finding ---------------------------------------------------------------------------------------

    def _is_scan_due(self) -> bool:
        """Take what events tell; whether files are to be looked for."""
        news = self.wakeup.take_news()
        is_due = news.names_changed or time.monotonic() >= self._scan_due_at
        for path in news.written:
            key = self._keys.get(path)
            follower = None if key is None else self._followers.of_file(key)
            if follower is not None:
                follower.stir()
            elif key in self._parked or key in self._empty:
                is_due = True
        if not self.wakeup.has_events:
            return is_due or any(_stamp(file.path) not in (None, file.stamp) for file in self._empty.values())
        return is_due

    def _scan(self) -> None:
        began = time.thread_time()
        found, missing = find_files(self._log_paths)
        self._names.add(file.path for file in found)
        problems: dict[str, tuple[SourceState, str]]
        problems = {path: ("missing", reason) for path, reason in missing.items()}
        unidentified = self._match_names(found)
        self._identify(unidentified, problems)
        if not self._scanned:
            self._scanned = True
            self._adopt_orphans()
        self._look_at_siblings({file.key for file in found})
        self._orphans.give_up_after(self._settings.rotated_hold_seconds)
        self._note_problems(problems)
        self._keep_within_limit()
        if self._log_paths:
            self._watch({file.path: file.key for file in found})
        interval = self._settings.poll_interval_seconds
        if self.wakeup.has_events:
            took = time.thread_time() - began
            interval *= min(max(1.0, _SCAN_REST * took / interval), _LONGEST_SCAN_REST)
        self._scan_due_at = time.monotonic() + interval

    def _watch(self, found: dict[str, Key]) -> None:
        if found != self._found:
            self._found = found
            self._keys = {name: key for path, key in found.items() for name in event_names(path)}
            self._folders = {os.path.dirname(name) for name in self._keys}  # noqa: PTH120  # as many as files
        # Each time, as a folder may have come, or been replaced by another one.
        self.wakeup.watch(directories_to_watch(self._log_paths, self._folders))

    def _match_names(self, found: list[FoundFile]) -> list[FoundFile]:
        """Tell followers their present names; returns the files that nobody follows."""
        keys = {file.key for file in found}
        for follower in self._followers:
            follower.found = follower.key in keys and not follower.finite
            if not follower.found:
                follower.set_rotated()
        for key in [key for key in self._parked if key not in keys]:
            del self._parked[key]
        self._empty = {}
        unidentified = []
        for file in found:
            follower_here = self._followers.of_file(file.key)
            if follower_here is not None:
                follower_here.compare(file.stamp)
                if file.path == follower_here.source.path and not follower_here.finite:
                    follower_here.set_live()
                elif self._names.is_rotation_of(file.path, follower_here.path) and not follower_here.finite:
                    follower_here.set_rotated()
                follower_here.path = file.path
            elif file.size == 0:
                self._empty[file.key] = file
            elif file.key not in self._parked or self._parked[file.key].stamp != file.stamp:
                unidentified.append(file)
        return unidentified

    def _identify(self, files: list[FoundFile], problems: dict[str, tuple[SourceState, str]]) -> None:
        """Follow what is known by its inode first: then a copy can be told from the file it was made of."""
        strangers: list[tuple[FoundFile, LogFile]] = []
        for file in files:
            opened = self._open(file.path, problems)
            if opened is None:
                continue
            source = self._matcher.by_inode(opened, file.path, name_counts=file.format_name == RESULTS)
            if source is None:
                strangers.append((file, opened))
            else:
                self._follow(source, opened, file.path, file.format_name)
        # A log before what rotation made of it, whose name is longer, to tell a copy from what is followed.
        for file, opened in sorted(strangers, key=lambda stranger: len(stranger[0].path)):
            source = self._matcher.by_content(opened, file.path, name_counts=file.format_name == RESULTS)
            if source is None:
                opened.close()
                continue
            is_first_look = source.position == 0 and not self._scanned
            if is_first_look and self._settings.log_start == "end" and source.source_id not in self._known:
                source = start_at_end(source, opened)
            self._follow(source, opened, file.path, file.format_name)
        for file, _ in strangers:  # but read in the order of their names
            if (follower := self._followers.of_file(file.key)) is not None:
                self._followers.end_turn(follower)

    def _open(self, path: str, problems: dict[str, tuple[SourceState, str]]) -> LogFile | None:
        try:
            opened = open_log(path)
        except OSError as error:
            problems[path] = ("unreadable", error.strerror or str(error))
            return None
        except LoadError as error:
            problems[path] = ("unreadable", str(error))
            return None
        # Between the look and the open the name may have passed to another file.
        if self._followers.of_file((opened.device, opened.inode)) or not opened.size():
            opened.close()
            return None
        return opened

    def _follow(
        self, source: Source, opened: LogFile, path: str, format_name: str, *, finite: bool = False
    ) -> Follower:
        registered = source.source_id in self._known
        follower = Follower(
            source,
            opened,
            self._settings,
            path=path,
            format_name=format_name,
            registered=registered,
            finite=finite,
        )
        follower.look()
        if self._names.is_rotation_of(path, source.path):
            follower.set_rotated()
        if registered:
            self._known.put(replace(source, path=path))
        self._orphans.discard(source.source_id)
        self._parked.pop(follower.key, None)
        self._matcher.forget_copy(follower.key)
        self._followers.add(follower)
        log.info("following", path=path, source=source.source_id, position=source.position)
        return follower

    # -- sources whose file is gone ----------------------------------------------------------------------

    def _adopt_orphans(self) -> None:
        """At start, look for what became of the sources that were not found under their names."""
        for source in self._known:
            is_ours = self._names.format_of_rotated(source.path) is not None
            if is_ours and self._followers.of_source(source.source_id) is None:
                self._orphans.add(source)
                self._closed.add(source.inode)

    def _look_at_siblings(self, found: set[Key]) -> None:
        """Follow what rotation made of the logs, whether LOG_FILE_PATH names it or not.

        That is where an orphan goes on, and a file that was made and renamed between two looks. A file that
        was read before is looked at under any other name, too.
        """
        relatives: Relatives | None = None
        for path in self._rotated_files.find(self._closed - {inode for _, inode in found}):
            status = _stat(path)
            key = None if status is None else (status.st_dev, status.st_ino)
            if status is None or key is None or key in found or not status.st_size:
                continue
            if self._settled_siblings.get(key) == status.st_mtime_ns or self._followers.of_file(key):
                continue
            relatives = relatives or Relatives(self._known, self._at_start, self._names, self._started)
            try:
                if self._match_sibling(path, key, status.st_mtime_ns, relatives):
                    self._settled_siblings[key] = status.st_mtime_ns
            except (OSError, LoadError) as error:
                log.debug("cannot look at a rotated file", path=path, error=str(error))

    def _match_sibling(self, path: str, key: Key, modified_ns: int, relatives: Relatives) -> bool:
        """Follow a rotated file when it has something to read; whether all is known of it."""
        is_derived = self._names.is_derived(path)
        # What was modified since the log is followed and is no known source was never read.
        is_new = is_derived and modified_ns > relatives.followed_since_ns(path)
        may_go_on = is_derived and relatives.may_go_on_in(path)
        if not (is_new or may_go_on or self._known.with_inode(key)):
            return not self._orphans
        opened = open_log(path)
        try:
            source = self._matcher.by_inode(opened, path)
            # Before anything was read of a file, its first bytes may be those of many.
            if source is None or not source.position:
                if self._matcher.is_copy_of_followed(opened, path):
                    opened.close()
                    return False
                if is_derived:
                    source = self._matcher.by_rotation(opened, path, is_new=is_new)
            if source is None or self._followers.of_source(source.source_id):
                opened.close()
                return source is None and not self._orphans
            if source.source_id in self._known and opened.size() == source.position:
                opened.close()
                self._orphans.discard(source.source_id)
                return True
        except BaseException:
            opened.close()
            raise
        # A name that tells nothing is not kept: it would not tell the next start whose file this is.
        path = path if is_derived else source.path
        format_name = self._names.format_of_rotated(path) or self._settings.log_format
        follower = self._follow(source, opened, path, format_name)
        follower.found = False
        follower.set_rotated()
        follower.finite = is_compressed(path)
        return True

    def _keep_within_limit(self) -> None:
        """Close the files that were quiet the longest when more are open than may be."""
        excess = len(self._followers) - self._settings.max_open_files
        if excess > 0:
            idle = [
                f for f in self._followers if f.found and f.is_committed and not (f.stirred or f.unread_bytes)
            ]
            for follower in sorted(idle, key=Follower.quiet_seconds, reverse=True)[:excess]:
                self._park(follower)

    def _note_problems(self, problems: dict[str, tuple[SourceState, str]]) -> None:
        for path, (state, reason) in problems.items():
            if self._problems.get(path) != (state, reason):
                log.warning("cannot follow", path=path, state=state, reason=reason)
        self._problems = problems

    # -- loads -----------------------------------------------------------------------------------------

    def _begin_loads(self) -> None:
        while True:
            while self._queued_loads and len(self._jobs) < _MOST_LOADS:
                self._jobs.append(self._queued_loads.popleft())
            for job in self._jobs:
                if job.may_begin:
                    self._begin_load(job)
            self._end_loads()
            if not self._queued_loads or len(self._jobs) == _MOST_LOADS:
                return

    def _begin_load(self, job: LoadJob) -> None:
        try:
            self._open_load(job)
        except OSError as error:
            job.fail(f"{job.display_name}: {error.strerror or error}")
        except LoadError as error:
            job.fail(str(error))

    def _open_load(self, job: LoadJob) -> None:
        opened = open_finished(str(job.path))
        try:
            size = opened.size()
            format_name = job.format_name or self._names.format_of(str(job.path))
            format_name = format_name or self._settings.log_format
            # A result log's name says when it ran: another one of equal content is another run.
            name_counts = format_name == RESULTS
            source = self._matcher.of_load(opened, job, name_counts=name_counts) if size else None
            live = None if source is None else self._followers.of_source(source.source_id)
            if source is None:
                job.begin("", 0, 0)
                job.succeed()
            elif (other := self._load_of(source)) is not None:
                job.wait_for(other)
            elif source.position >= size and (live is None or live.committed >= size):
                job.begin(source.source_id, size, size)
                job.succeed(already_loaded=job.progress().lines == 0)
            elif live is not None:
                job.begin(source.source_id, live.committed, size)
                job.end = size
            else:
                job.begin(source.source_id, source.position, size)
                self._follow(source, opened, source.path, format_name, finite=True)
                # Before it is registered, so that a copy which is to be loaded beside it finds it.
                self._known.put(source)
                return
        except BaseException:
            opened.close()
            raise
        opened.close()

    def _restart_loads(self, source: Source) -> None:
        """Have loads that waited for a follower of the source look anew: what they read may be elsewhere."""
        for job in self._jobs:
            if job.source_id == source.source_id and not job.has_ended:
                job.restart()

    def _load_of(self, source: Source) -> LoadJob | None:
        """The load that is under way of a source."""
        return next(
            (job for job in self._jobs if job.source_id == source.source_id and not job.has_ended), None
        )

    def _end_loads(self) -> None:
        for job in self._jobs:
            if job.has_ended or job.source_id is None:
                continue
            follower = self._followers.of_source(job.source_id)
            if follower is None or (
                job.end is not None
                and (follower.committed >= job.end or (follower.is_committed and not follower.may_read))
            ):
                job.succeed()
        self._jobs = [job for job in self._jobs if not job.has_ended]


def _followed_by(chunks: list[LineChunk | Registration], *, more: bool) -> list[LineChunk | Registration]:
    """The chunks; each that another one follows says that more comes, and need not be committed alone."""
    last = len(chunks) - 1
    return [
        replace(chunk, more=True) if place < last or more else chunk for place, chunk in enumerate(chunks)
    ]


def _stat(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None


def _stamp(path: str) -> tuple[int, int] | None:
    status = _stat(path)
    return None if status is None else (status.st_size, status.st_mtime_ns)
