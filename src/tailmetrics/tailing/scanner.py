"""Looking for files: those of LOG_FILE_PATH, what rotation made of them, and which source each is."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Set

from tailmetrics.errors import LoadError
from tailmetrics.formats.detection import decided, head_of, is_of
from tailmetrics.formats.framing import RESULTS, Framing, framing_of
from tailmetrics.settings import FormatOptions, TailingOptions
from tailmetrics.status import SourceState, SourceStatus
from tailmetrics.tailing.discovery import (
    NAME_PROBLEM,
    NO_PERMISSION,
    AllLogs,
    FoundFile,
    RotatedFiles,
    directories_to_watch,
    event_names,
    find_file,
    find_files,
)
from tailmetrics.tailing.followers import Followers
from tailmetrics.tailing.identity import start_at_end
from tailmetrics.tailing.known_sources import Relatives
from tailmetrics.tailing.log_file import Key, LogFile, open_log
from tailmetrics.tailing.matching import Matcher
from tailmetrics.tailing.rotation import is_compressed, is_same, is_spool
from tailmetrics.tailing.wakeup import Wakeup
from tailmetrics.telemetry.log import EventLog

# Where there are events, so many times as long as a scan took the processor is waited before another, and no
# more than so many times the interval that is set.
_SCAN_REST, _LONGEST_SCAN_REST = 200, 10

# How long after the start a log may come before its path is taken for a wrong one.
GRACE_SECONDS = 3.0

Problems = dict[str, tuple[SourceState, str]]  # path -> state and reason

log = EventLog()


class Scanner:
    """Finds files and has them followed. Not thread-safe: called under the tailer's lock."""

    def __init__(
        self, options: TailingOptions, followers: Followers, matcher: Matcher, wakeup: Wakeup, logs: AllLogs
    ) -> None:
        self._options = options
        self._followers = followers
        self._names = followers.names
        self._known = followers.known
        self._orphans = followers.orphans
        self._matcher = matcher
        self._wakeup = wakeup
        self._logs = logs
        self._rotated_files = RotatedFiles(followers.names)
        self._left_alone: list[str] = []  # rotated files, until it is said
        self._settled: dict[Key, int] = {}  # rotated files that need no look until they change
        self._empty: dict[Key, FoundFile] = {}
        self._found: dict[str, Key] = {}  # by path
        self._keys: dict[str, Key] = {}  # the same by all names that events may give
        self._folders: set[str] = set()  # of these names
        self._problems: Problems = {}
        self._waiting: deque[FoundFile] = deque()  # for others to be closed
        self._first_look: dict[Key, int] | None = None  # sizes at start of files that are still to be opened
        self._due_at = 0.0
        self._adopted = False
        self._grace_ends_at = time.monotonic() + GRACE_SECONDS

    @property
    def has_waiting(self) -> bool:
        """Whether files are to be opened once others are closed for them."""
        return bool(self._waiting)

    def rest_seconds(self) -> float:
        """How long until the next scan is due as long as nothing happens."""
        return max(0.0, self._due_at - time.monotonic())

    def scan_soon(self, *, anew: bool = False) -> None:
        """Have the next scan due at once; `anew` looks at rotated files of which all was known, too."""
        self._due_at = 0.0
        if anew:
            self._settled.clear()

    def problems(self) -> list[SourceStatus]:
        """Of every path that has no file, an empty one, or one that cannot be read."""
        name = self._names.format_name
        empty = [
            SourceStatus("", file.path, *file.key, 0, 0, 0, 0, 0.0, "empty", format=name(file.path))
            for file in self._empty.values()
            if file.path not in self._problems
        ]
        return empty + [
            SourceStatus("", path, 0, 0, 0, 0, 0, 0, 0.0, state, reason, format=name(path))
            for path, (state, reason) in sorted(self._problems.items())
        ]

    def _state_of(self, path: str, reason: str) -> SourceState:
        """Of a path, or an entry of LOG_FILE_PATH, that has no file to follow."""
        is_file = os.path.exists(path) and not os.path.isdir(path)  # noqa: PTH110, PTH112  # a string
        if is_file or reason in {NAME_PROBLEM, NO_PERMISSION}:
            return "unreadable"
        is_entry = any(entry.pattern == path for entry in self._names.log_paths)
        if is_entry and not self._names.was_seen(path) and time.monotonic() >= self._grace_ends_at:
            return "missing"
        return "awaited"

    def is_due(self) -> bool:
        """Take what events tell; whether files are to be looked for."""
        news = self._wakeup.take_news()
        is_due = news.names_changed or self.rest_seconds() == 0
        for path in news.written:
            key = self._keys.get(path)
            if key is None:
                continue
            if (follower := self._followers.of_file(key)) is not None:
                follower.note_event()
            elif key in self._empty or self._followers.parked_stamp(key) is not None:
                is_due = True
        if is_due or self._wakeup.has_events:
            return is_due
        looks = ((file, find_file(file.path, file.log_format, {})) for file in self._empty.values())
        return any(now is not None and now.stamp != file.stamp for file, now in looks)

    def scan(self) -> None:
        """Look for files, follow those with something to read, and note what cannot be followed."""
        began = time.thread_time()
        log_paths = self._names.log_paths
        found, missing = find_files(log_paths)
        self._names.add(file.path for file in found)
        all_keys = {file.key for file in found}
        found, missing = self._logs.own(found, missing)
        keys = {file.path: file.key for file in found}
        self._followers.let_go(all_keys.difference(keys.values()))
        if self._first_look is None and self._known.has_others:
            self._known.take_over_files([*keys, *self._rotated_files.find()])
        problems: Problems = {
            path: (self._state_of(path, reason), reason) for path, reason in missing.items()
        }
        self._note_waiting(self._match_names(found), problems)
        self._take_waiting(problems)
        # What is not opened yet could be taken for one that is gone.
        if not self._adopted and not self._first_look:
            self._adopted = True
            self._followers.adopt_orphans()
        if self._adopted:
            self._look_at_rotated(all_keys)
        self._orphans.give_up_after(self._options.rotated_hold_seconds)
        self._note_problems(problems)
        self._make_room()
        if log_paths:
            if keys != self._found:
                self._found = keys
                self._keys = {name: key for path, key in keys.items() for name in event_names(path)}
                self._folders = {os.path.dirname(name) for name in self._keys}  # noqa: PTH120  # for each file
            # Each time, as a folder may have come, or been replaced by another one.
            self._wakeup.watch(directories_to_watch(log_paths, self._folders))
        interval = self._options.poll_interval_seconds
        if self._wakeup.has_events:
            took = time.thread_time() - began
            interval *= min(max(1.0, _SCAN_REST * took / interval), _LONGEST_SCAN_REST)
        now = time.monotonic()
        self._due_at = now + interval
        if now < self._grace_ends_at and any(state == "awaited" for state, _ in problems.values()):
            self._due_at = min(self._due_at, self._grace_ends_at)

    def follow_waiting(self) -> None:
        """Follow files that had to wait, as far as others can be closed for them."""
        if not self._waiting:
            return
        problems = dict(self._problems)
        self._take_waiting(problems)
        self._note_problems(problems)
        if not self._adopted and not self._first_look:
            self.scan_soon()

    def _note_waiting(self, files: list[FoundFile], problems: Problems) -> None:
        if self._first_look is None:
            self._first_look = {file.key: self._logs.size_at_start(file) for file in files}
        elif self._first_look:
            keys = {file.key for file in files}
            self._first_look = {key: size for key, size in self._first_look.items() if key in keys}
        self._waiting.clear()
        if self._make_room(len(files)) < len(files):
            # As if all were opened at once: the known ones before copies of them, a log before its rotations.
            files.sort(key=lambda file: 0 if self._known.with_inode(file.key) else len(file.path))
            paths = self._problems.keys() & {file.path for file in files}
            problems.update((path, self._problems[path]) for path in paths)
        self._waiting.extendleft(reversed(files))

    def _take_waiting(self, problems: Problems) -> None:
        room = self._make_room(len(self._waiting))
        files = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        self._identify(files, problems)

    def _make_room(self, wanted: int = 0) -> int:
        room = self._followers.keep_within_limit(wanted)
        for closed in self._followers.take_closed_unread():
            if (file := find_file(closed.path, closed.log_format, {})) is not None:
                self._waiting.append(file)
        return room

    def _match_names(self, found: list[FoundFile]) -> list[FoundFile]:
        """Tell followers their present names; returns the files that nobody follows."""
        self._followers.note_found({file.key for file in found})
        self._empty = {}
        unidentified = []
        for file in found:
            follower = self._followers.of_file(file.key)
            if follower is not None:
                follower.note_stamp(file.stamp)
                if not follower.finite:
                    if is_same(file.path, follower.source.path):
                        follower.rotated = False
                    elif self._names.is_rotation_of(file.path, follower.path):
                        follower.set_rotated()
                follower.path = file.path
            elif file.size == 0:
                self._empty[file.key] = file
            elif not self._followers.is_parked(file.key, file.stamp):
                unidentified.append(file)
        return unidentified

    def _identify(self, files: list[FoundFile], problems: Problems) -> None:
        """Follow what is known by its inode first: then a copy can be told from the file it was made of."""
        unknown: list[tuple[FoundFile, LogFile, bool]] = []
        first_look = self._first_look or {}
        for file in files:
            problems.pop(file.path, None)
            if (opened := self._open(file.path, problems)) is None:
                continue
            name_counts = _name_counts(opened, file)
            source = self._matcher.by_inode(opened, file.path, name_counts=name_counts)
            if source is None:
                unknown.append((file, opened, name_counts))
            else:
                self._followers.follow(source, opened, file.path, file.log_format)
        # A log before what rotation made of it, whose name is longer, to tell a copy from what is followed.
        for file, opened, name_counts in sorted(unknown, key=lambda each: len(each[0].path)):
            source = self._matcher.by_content(opened, file.path, name_counts=name_counts)
            if source is None:
                opened.close()
                continue
            is_new = source.position == 0 and source.source_id not in self._known
            if is_new and file.key in first_look and self._options.log_start == "end":
                framing = _framing_at_start(opened, file.log_format)
                source = start_at_end(source, opened, first_look[file.key], framing)
            self._followers.follow(source, opened, file.path, file.log_format)
        for file, _, _ in unknown:  # but read in the order of their names
            if (follower := self._followers.of_file(file.key)) is not None:
                self._followers.end_turn(follower)
        for file in files:
            first_look.pop(file.key, None)

    def _open(self, path: str, problems: Problems) -> LogFile | None:
        try:
            opened = open_log(path)
        except (OSError, LoadError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
                self._waiting.clear()  # until the next scan
            problems[path] = ("unreadable", reason or str(error))
            return None
        # Between the look and the open the name may have passed to another file.
        if self._followers.of_file(opened.key) or not opened.size():
            opened.close()
            return None
        return opened

    def _look_at_rotated(self, found: Set[Key]) -> None:
        """Follow what rotation made of the logs, whether LOG_FILE_PATH names it or not.

        That is where an orphan goes on, and a file that was made and renamed between two scans. A file that
        was read before is looked at under any other name, too.
        """
        relatives: Relatives | None = None
        closed_elsewhere = self._followers.closed_inodes - {inode for _, inode in found}
        for path in self._rotated_files.find(closed_elsewhere):
            file = find_file(path, self._options.log_format, {})
            if file is None or file.key in found or not file.size:
                continue
            if self._settled.get(file.key) == file.modified_ns or self._followers.of_file(file.key):
                continue
            if not self._logs.owns(file):
                continue
            relatives = relatives or Relatives(self._known, self._names, self._followers.paths())
            try:
                with contextlib.ExitStack() as closing:
                    if self._match_rotated(file, relatives, closing):
                        self._settled[file.key] = file.modified_ns
            except (OSError, LoadError) as error:
                log.debug("cannot look at a rotated file", path=path, error=str(error))
        _log_left_alone(self._left_alone)
        self._left_alone.clear()

    def _match_rotated(self, file: FoundFile, relatives: Relatives, closing: contextlib.ExitStack) -> bool:
        """Follow a rotated file when it has something to read; whether all is known of it.

        `closing` closes it unless it is followed.
        """
        path = file.path
        is_derived = self._names.is_derived(path)
        # What was modified since the log is followed and is no known source was never read.
        is_old = file.modified_ns <= relatives.followed_since_ns(path)
        is_new = is_derived and (not is_old or self._options.log_start == "oldest")
        may_go_on = is_derived and relatives.may_go_on_in(path)
        if not (is_new or may_go_on or self._known.with_inode(file.key)):
            return not self._orphans
        opened = closing.enter_context(contextlib.closing(open_log(path)))
        if not opened.read(0, 1):  # a compressed one may hold nothing, by which it could be told
            return not self._orphans
        source = self._matcher.by_inode(opened, path)
        # Before anything was read of a file, its first bytes may be those of many.
        if source is None or not source.position:
            if self._matcher.is_copy_of_followed(opened, path):
                return False
            if is_derived:
                source = self._matcher.by_rotation(opened, path, is_new=is_new)
        if source is None:
            if is_derived and not self._orphans:
                self._left_alone.append(path)
            return not self._orphans
        if self._followers.of_source(source.source_id):
            return False
        if source.source_id in self._known and opened.size() == source.position:
            self._orphans.discard(source.source_id)
            return True
        # A name that tells nothing is not kept: it would not tell the next start whose file this is.
        path = path if is_derived else source.path
        log_format = self._names.format_of_rotated(path) or self._options.log_format
        follower = self._followers.follow(source, opened, path, log_format, finite=is_compressed(path))
        closing.pop_all()
        follower.found = False
        follower.set_rotated()
        return True

    def _note_problems(self, problems: Problems) -> None:
        for path, problem in problems.items():
            if self._problems.get(path) != problem:
                _log_problem(path, *problem)
        self._problems = problems


def _framing_at_start(opened: LogFile, log_format: FormatOptions) -> Framing:
    """How the log is cut, as far as the lines that are there tell."""
    with contextlib.suppress(LoadError):
        log_format = decided(head_of(opened.read), log_format, is_whole=False) or log_format
    return framing_of(log_format.name)


def _log_left_alone(paths: list[str]) -> None:
    if paths:
        log.info(
            "rotated files from before the first start are left alone; LOG_START=oldest reads them",
            files=len(paths),
            first=paths[0],
            last=paths[-1],
        )


def _log_problem(path: str, state: SourceState, reason: str) -> None:
    if state == "awaited":
        log.info("a log is awaited", path=path, reason=reason)
    else:
        log.warning("cannot follow", path=path, state=state, reason=reason)


def _name_counts(opened: LogFile, file: FoundFile) -> bool:
    """Whether another name makes another log of equal content."""
    return is_spool(file.path) or is_of(RESULTS, opened.read, file.log_format)
