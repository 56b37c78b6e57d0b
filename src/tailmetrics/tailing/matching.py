"""Telling which source a file is: one that is known, a copy of one that is read elsewhere, or a new one."""

from __future__ import annotations

import contextlib
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from tailmetrics.errors import LoadError
from tailmetrics.sources import HEAD_BYTES, Source
from tailmetrics.tailing.followers import Followers
from tailmetrics.tailing.identity import (
    begins_like,
    holds,
    is_beginning,
    is_copy,
    new_source,
    start_at,
    uploaded_source,
)
from tailmetrics.tailing.load_jobs import LoadJob
from tailmetrics.tailing.log_file import LogFile, open_log
from tailmetrics.tailing.rotation import are_other_runs
from tailmetrics.telemetry.log import EventLog

log = EventLog()


class Matcher:
    """Decides by device and inode first, then by content; a name only tells that a copy is no stranger."""

    def __init__(self, node_id: str, followers: Followers, *, from_beginning: bool) -> None:
        self._node_id = node_id
        self._followers = followers
        self._known = followers.known
        self._orphans = followers.orphans
        self._names = followers.names
        self._from_beginning = from_beginning  # whether logs are read from there, so that all lines are known

    def by_inode(self, opened: LogFile, path: str, *, name_counts: bool = False) -> Source | None:
        """The known source that lies in this very file, if nobody reads it elsewhere.

        When its name counts, one that tells another time is a new file that was given the same inode.
        """
        for source in self._known.with_inode(opened.key):
            if name_counts and are_other_runs(path, source.path):
                continue
            if self._is_free(source) and holds(opened, source.checkpoint):
                if source.source_id not in self._known:
                    log.info("read by another node before", path=path, node=source.node_id)
                    self._known.put(source)
                return source
        return None

    def by_content(self, opened: LogFile, path: str, *, name_counts: bool = False) -> Source | None:
        """The source of a file of LOG_FILE_PATH that `by_inode` does not know; None when it is left alone.

        A copy is taken for its original only when the original was truncated or removed, or when rotation
        derived the name: while the original is there, such a copy is left alone, until it is the longer one.
        When its name counts, one that tells another time is no copy. Of a copy of a finished log that
        is there, and is none of LOG_FILE_PATH, only the rest is read.
        """
        if self.is_copy_of_followed(opened, path, name_counts=name_counts):
            return None
        elsewhere = self._followers.intact(self._names.family(path))
        for source in self._with_content_of(opened, elsewhere):
            if name_counts and are_other_runs(path, source.path):
                continue
            if self._is_free(source) and not _is_there(source):
                return source
            if self._names.is_rotation_of(path, source.path):
                if self._is_outgrown(source, opened):
                    return start_at(source.position, self.new(opened, path), opened)
                return None if source.position else self._rest_of_copy(opened, path)
        copied = self._rest_of_copy(opened, path)
        if copied is None and not name_counts:  # which would make it another run
            copied = self._copy_of_finished(opened, path)
        return copied or self.new(opened, path)

    def by_rotation(self, opened: LogFile, path: str, *, is_new: bool) -> Source | None:
        """The source of a file that only rotation can have named; None when it is nothing to be followed."""
        source = self.by_inode(opened, path) or self._of_content(opened, path)
        if source is None or (source.position == 0 and not self._is_free(source)):
            # Of what is being read from its beginning little is known: a header, which many logs may have.
            source = self._rest_of_copy(opened, path) or source
        if source is None and is_new:
            return self.new(opened, path)
        return source

    def of_load(self, opened: LogFile, job: LoadJob, *, name_counts: bool) -> Source:
        """The source of a file to be loaded, as far as it was read.

        When its name counts, a file of equal content is another one while both are there.
        """
        if job.by_content:
            return self._of_upload(opened, job.display_name, name_counts=name_counts)
        live = self._followers.of_file(opened.key)
        if live is not None:
            return live.as_read()
        if name_counts:
            return self._of_named(opened, job.display_name)
        return self._of_finished(opened, job.display_name)

    def new(self, opened: LogFile, path: str) -> Source:
        source = new_source(opened, path, self._node_id, self._known.with_inode(opened.key))
        return replace(source, followed_since=self._known.followed_since)

    def is_copy_of_followed(self, opened: LogFile, path: str, *, name_counts: bool = False) -> bool:
        """Whether a file is a copy of one that is followed, by its bytes and its name.

        What to do about it shows when the original is truncated, or the copy grows: until then it is looked
        at again and again.
        """
        for relative in self._followers.of_family(self._names.family(path)):
            if name_counts and are_other_runs(path, relative.path):
                continue
            if relative.file is not opened and is_copy(opened, relative.file):
                self._followers.copies[opened.key] = relative.source.source_id
                return True
        return False

    def _of_upload(self, opened: LogFile, name: str, *, name_counts: bool) -> Source:
        """The source of all these bytes; of a log that was loaded when it was shorter only the rest."""
        made = uploaded_source(opened, name, self._node_id, name_counts=name_counts)
        if (known := self._known.get(made.source_id)) is not None:
            return known
        made = replace(made, followed_since=self._known.followed_since)
        size = opened.size()
        found = [
            source
            for source in self._with_content_of(opened)
            if not name_counts or Path(name).name == Path(source.path).name
        ]
        if not found:
            return (None if name_counts else self._begun_by(opened)) or made
        # One that is being loaded first: what it brings is known when it has ended.
        source = min(found, key=lambda source: self._is_free(source) or not _is_upload(source))
        follower = self._followers.of_source(source.source_id)
        if source.position == size:
            return source
        if follower is None:
            # An earlier load stays what it was, or its content would be unknown the next time.
            stays = _is_upload(source) or _is_there(source)
            return start_at(source.position, made, opened) if stays else source
        if _is_upload(source) or is_copy(opened, follower.file):
            return source
        # The log that is followed has all of its lines, and this one what comes behind them.
        # It may be truncated by now; what was read will be committed.
        read = follower.as_read()
        common = read.position if holds(opened, read.checkpoint) else source.position
        if is_copy(follower.file, opened):
            common = max(common, follower.file.size())
        return start_at(common, made, opened)

    def _of_named(self, opened: LogFile, path: str) -> Source:
        """The source of a file by its inode, or of its content when that file is gone."""
        source = self.by_inode(opened, path, name_counts=True)
        if source is None:
            known = self._with_content_of(opened)
            source = next(
                (each for each in known if not are_other_runs(path, each.path) and not _is_there(each)), None
            )
        return self.new(opened, path) if source is None else replace(source, path=path)

    def _of_finished(self, opened: LogFile, path: str) -> Source:
        """The source of a file by its inode or, whatever its name, by that whose bytes it has most of."""
        known = self._with_content_of(opened)
        own = next((source for source in known if self._is_free(source) and _is_of(source, opened)), None)
        size = opened.size()
        for source in known:
            if own is not None and source.position <= own.position:
                break
            follower = self._followers.of_source(source.source_id)
            if follower is not None:
                # While it is read, little of it is known: what begins like it may be a stranger.
                if is_copy(opened, follower.file) or is_copy(follower.file, opened):
                    return source
                continue
            if source.position == size:
                return source
            original = _intact(source)
            if original is None and own is None:
                return replace(source, path=path)
            if original is not None:
                with contextlib.closing(original):
                    if own is None and is_copy(opened, original):
                        return source
            # Either may yet grow in its own way, so only what both have is taken for read.
            return start_at(source.position, self.new(opened, path), opened)
        if own is None:
            return self._begun_by(opened) or self.new(opened, path)
        return replace(own, path=path)

    def _begun_by(self, opened: LogFile) -> Source | None:
        """The source of a log that is there and begins with all of a file, which is long enough to tell."""
        size = opened.size()
        if size < HEAD_BYTES or not self._from_beginning:
            return None
        for source in self._known.with_head_of(opened):
            follower = self._followers.of_source(source.source_id)
            if follower is not None:
                if is_beginning(opened, follower.file):
                    return follower.as_read()
            elif source.position >= size and (original := _intact(source)) is not None:
                with contextlib.closing(original):
                    if is_beginning(opened, original):
                        return source
        return None

    def _of_content(self, opened: LogFile, path: str) -> Source | None:
        """The source whose bytes a rotated file has; not another log whose reading has just begun.

        All that is known of that are its first bytes, and many logs may have the same header.
        """
        for source in self._with_content_of(opened):
            if source.position or self._is_free(source) or self._names.is_rotation_of(path, source.path):
                return source
        return None

    def _with_content_of(self, opened: LogFile, besides: Set[str] = frozenset()) -> list[Source]:
        """The known sources whose bytes a file has, but none that was empty when it was read last.

        With nothing every file begins. Of one that is being read, or was, more will be known soon.
        """
        return [
            source
            for source in self._known.with_content_of(opened, besides)
            if source.checkpoint.head_length
            or not self._is_free(source)
            or self._orphans.get(source.source_id) is not None
        ]

    def _is_free(self, source: Source) -> bool:
        """Whether nobody reads it."""
        return self._followers.of_source(source.source_id) is None

    def _is_outgrown(self, source: Source, opened: LogFile) -> bool:
        """Whether the file of a source is there, was read to its end, and is shorter than this one."""
        follower = self._followers.of_source(source.source_id)
        if follower is not None:
            is_there = holds(follower.file, source.checkpoint)
            return is_there and 0 < source.position == follower.file.size() < opened.size()
        original = _intact(source)
        if original is None:
            return False
        with contextlib.closing(original):
            return 0 < source.position == original.size() < opened.size()

    def _rest_of_copy(self, opened: LogFile, path: str) -> Source | None:
        """A source without unread lines, for a copy whose original was read further before its truncation."""
        source_id = self._followers.copies.get(opened.key)
        original = None if source_id is None else self._truncated(source_id)
        if original is None or not self._names.is_rotated(path):
            return None
        size = opened.size()
        if size > original.position or not begins_like(opened, original.checkpoint):
            return None
        return start_at(size, self.new(opened, path), opened)

    def _copy_of_finished(self, opened: LogFile, path: str) -> Source | None:
        """A source behind all bytes of a log that is there, no log to be followed, and was read to its end.

        A log that is followed may be a stranger with the same first lines, and each goes on in its own way.
        """
        for source in self._with_content_of(opened):
            if source.position < HEAD_BYTES or self._names.format_of(source.path):
                continue
            if self._is_free(source) and (original := _intact(source)) is not None:
                with contextlib.closing(original):
                    if original.size() == source.position and is_beginning(original, opened):
                        return start_at(source.position, self.new(opened, path), opened)
        return None

    def _truncated(self, source_id: str) -> Source | None:
        """The source as it was read, when its file was truncated since."""
        orphan = self._orphans.get(source_id)
        follower = self._followers.of_source(source_id)
        if orphan is not None or follower is None:
            return orphan
        source = follower.as_read()
        return None if holds(follower.file, source.checkpoint) else source


def _is_upload(source: Source) -> bool:
    return (source.device, source.inode) == (0, 0)


def _is_of(source: Source, opened: LogFile) -> bool:
    return (source.device, source.inode) == opened.key


def _is_there(source: Source) -> bool:
    original = _intact(source)
    if original is None:
        return False
    original.close()
    return True


def _intact(source: Source) -> LogFile | None:
    """The file of a source, opened, when it is still where it was, with the bytes that were read."""
    try:
        original = open_log(source.path)
    except (OSError, LoadError):
        return None
    with contextlib.ExitStack() as closing, contextlib.suppress(LoadError):
        closing.callback(original.close)
        if _is_of(source, original) and holds(original, source.checkpoint):
            closing.pop_all()
            return original
    return None
