"""Loads of finished files: which wait, which are under way, and when each has ended."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator

from tailmetrics.errors import LoadError
from tailmetrics.formats.detection import is_of
from tailmetrics.formats.framing import RESULTS
from tailmetrics.settings import FormatOptions
from tailmetrics.sources import Batch
from tailmetrics.tailing.followers import Followers
from tailmetrics.tailing.load_jobs import LoadJob
from tailmetrics.tailing.log_file import open_finished
from tailmetrics.tailing.matching import Matcher

_MOST_LOADS = 64  # at a time: each holds its file open


class LoadQueue:
    """A limited number of loads at a time; it is true while any is under way.

    Not thread-safe: called under the tailer's lock. `log_format` is that of files which no entry of
    LOG_FILE_PATH names.
    """

    def __init__(self, log_format: FormatOptions, followers: Followers, matcher: Matcher) -> None:
        self._log_format = log_format
        self._followers = followers
        self._matcher = matcher
        self._queued: deque[LoadJob] = deque()
        self._jobs: list[LoadJob] = []  # under way, or waiting for another one of them

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, job: LoadJob) -> None:
        self._queued.append(job)

    def begin(self) -> None:
        """Begin what may begin: open its file and have it followed."""
        while True:
            while self._queued and len(self._jobs) < _MOST_LOADS:
                self._jobs.append(self._queued.popleft())
            for job in self._jobs:
                if job.may_begin:
                    try:
                        with contextlib.ExitStack() as closing:
                            self._begin(job, closing)
                    except OSError as error:
                        job.fail(f"{job.display_name}: {error.strerror or error}")
                    except LoadError as error:
                        job.fail(str(error))
            self.end()
            if not self._queued or len(self._jobs) == _MOST_LOADS:
                return

    def end(self) -> None:
        """End what is read and committed to its end."""
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

    def committed(self, batch: Batch) -> None:
        """Count what was committed, and end what it was the last of."""
        for job in self._of_source(batch.source_id):
            job.add(batch)
        self.end()

    def fail(self, source_id: str, reason: str) -> None:
        """End the loads of a source whose file cannot be read."""
        for job in self._of_source(source_id):
            job.fail(reason)

    def restart(self, source_id: str) -> None:
        """Have loads that waited for a follower of the source look anew: what they read may be elsewhere."""
        for job in self._of_source(source_id):
            job.restart()

    def _of_source(self, source_id: str) -> Iterator[LoadJob]:
        return (job for job in self._jobs if job.source_id == source_id and not job.has_ended)

    def _begin(self, job: LoadJob, closing: contextlib.ExitStack) -> None:
        """Open a file and tell whose it is; `closing` closes it unless it is followed."""
        opened = open_finished(str(job.path), job.display_name)
        closing.callback(opened.close)
        size = opened.size()
        log_format = job.log_format or self._followers.names.format_of(str(job.path)) or self._log_format
        # A result log's name says when it ran: another one of equal content is another run.
        name_counts = is_of(RESULTS, opened.read, log_format)
        source = self._matcher.of_load(opened, job, name_counts=name_counts) if size else None
        if source is None:
            job.begin("", 0, 0)
            job.succeed()
            return
        live = self._followers.of_source(source.source_id)
        if (other := next(self._of_source(source.source_id), None)) is not None:
            job.wait_for(other)
        elif source.position >= size and (live is None or live.committed >= size):
            job.begin(source.source_id, size, size)
            job.succeed(already_loaded=job.progress().lines == 0)
        elif live is not None:
            job.begin(source.source_id, live.committed, size)
            job.end = size
        else:
            job.begin(source.source_id, source.position, size)
            self._followers.follow(source, opened, source.path, log_format, finite=True)
            closing.pop_all()
            # Before it is registered, so that a copy which is to be loaded beside it finds it.
            self._followers.known.put(source)
