"""One file that is being followed: what was read of it, what is committed, how far behind it is."""

from __future__ import annotations

import time
from dataclasses import replace

from tailmetrics.errors import UndecidedFormat
from tailmetrics.formats import has_header
from tailmetrics.formats.detection import decided, head_of
from tailmetrics.formats.framing import ANY_LINES, framing_of
from tailmetrics.formats.w3c.directives import header_after, header_before
from tailmetrics.settings import FormatOptions, TailingOptions
from tailmetrics.sources import TAIL_BYTES, LineChunk, LongLine, Registration, Source
from tailmetrics.status import SourceState, SourceStatus
from tailmetrics.tailing.identity import checkpoint_of, grown_head
from tailmetrics.tailing.log_file import Key, LogFile, PlainFile
from tailmetrics.tailing.reader import LineReader, Rewritten
from tailmetrics.telemetry.log import EventLog

log = EventLog()


class Follower:
    """Reads one source onward, chunk by chunk, from where the store is.

    `registered` says that the store knows the source. A `finite` one is read to its end and no further.
    """

    def __init__(
        self,
        source: Source,
        file: LogFile,
        options: TailingOptions,
        path: str,
        log_format: FormatOptions,
        *,
        registered: bool,
        finite: bool = False,
    ) -> None:
        self.source = source
        self.path = path
        self.log_format = log_format
        self.registered = registered
        self.finite = finite
        self.file = file
        self.committed = source.position
        self.found = not finite  # whether a name in LOG_FILE_PATH leads to it
        self.worker_hash = int(source.source_id[:8], 16)
        self.rotated = finite  # whether it will not grow for ever: renamed, deleted, or read by load
        self.last_error: str | None = None
        self.changed = True  # whether something may have been written since it was looked at
        self.is_silent = False  # whether no event told of what was written
        self._head = file.read(0, source.checkpoint.head_length)
        start = max(0, source.position - TAIL_BYTES)
        before = file.read(start, source.position - start)
        # Since it was identified the file may have been written anew.
        self._is_other = checkpoint_of(source.position, self._head, before) != source.checkpoint
        self._before = before
        self._options = options
        self._header = b""
        self._reader: LineReader | None = None  # until it is known in which format the log is
        self._undecided: tuple[tuple[int, int], UndecidedFormat] | None = None  # as of a size and time
        self._size = source.position  # when it was last looked at
        self._largest_size = source.position
        self.stamp = (-1, -1)  # size and time of change when it was last looked at
        self._read_stamp: tuple[int, int] | None = None  # of the file when nothing more could be read
        self._grew_at = time.monotonic()
        self._behind_since: float | None = None
        self._status: SourceStatus | None = None  # as it was told last

    @property
    def key(self) -> Key:
        """Device and inode of the file that is open, which after a rotation need not be the source's own."""
        return self.file.key

    @property
    def offset(self) -> int:
        """The byte offset up to which the source was read."""
        return self.source.position if self._reader is None else self._reader.offset

    @property
    def unread_bytes(self) -> int:
        return max(0, self._size - self.offset)

    @property
    def is_committed(self) -> bool:
        return self.committed == self.offset

    @property
    def had_turn(self) -> bool:
        """Whether it was read since it was opened, or has nothing to read."""
        return self.offset != self.source.position or not self.may_read

    @property
    def may_park(self) -> bool:
        """Whether to close it loses nothing, and it would not be opened just for another one's sake."""
        return self.found and self.had_turn and self.is_committed

    def refresh(self) -> bool:
        """Note the size of the file; whether it was written to since nothing more could be read."""
        self.stamp = self.file.stamp()
        size = self.stamp[0]
        if size != self._size:
            self._size = size
            self._largest_size = max(self._largest_size, size)
            self._grew_at = time.monotonic()
        if size == self.committed:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = time.monotonic()
        return self.may_read

    def quiet_seconds(self) -> float:
        return time.monotonic() - self._grew_at

    def set_rotated(self) -> None:
        """Note that the file will not grow for ever: the time of quiet before it is let go begins."""
        if not self.rotated:
            self.rotated = True
            self._grew_at = time.monotonic()

    @property
    def written_ns(self) -> int:
        """When the file was written to last, as far as it was looked at; in nanoseconds since 1970."""
        return self.stamp[1]

    @property
    def needs_polling(self) -> bool:
        """Whether it is looked at by the clock, as no event will tell when something is due."""
        return self.rotated or self.is_silent or self.last_error is not None

    def note_stamp(self, stamp: tuple[int, int]) -> None:
        """Look at it soon when the file's size and time of change are not those up to which it was read."""
        if not self.changed and stamp != self._read_stamp:
            self.changed = self.is_silent = True

    def note_event(self) -> None:
        """Look at it soon: an event tells that it was written to."""
        self.changed, self.is_silent = True, False

    @property
    def may_read(self) -> bool:
        """Whether something was written since nothing more could be read."""
        return self.stamp != self._read_stamp

    @property
    def lost_bytes(self) -> int:
        """Bytes that were seen in the file and not read, when its content is gone."""
        return max(0, self._largest_size - self.offset)

    def read(self, *, final: bool = False) -> LineChunk | None:
        """The next chunk, None when there is no whole line. `final` takes an unfinished last line too.

        Raises Rewritten when the file was truncated, written anew or not, and UndecidedFormat.
        """
        if self._size < self.offset or self._is_other:
            raise Rewritten
        offset = self.offset
        size = self._size
        stamp = self.stamp
        reader = self._reader or self._open_reader(is_whole=final)
        lines = None if reader is None else reader.read(TAIL_BYTES, final=final)
        if reader is None or lines is None:
            self._read_stamp = stamp
            return None
        self._read_stamp = None
        self._head = grown_head(self._head, offset, lines.data)
        header = self._header
        if has_header(self.log_format.name) and not lines.too_long:
            self._header = header_after(lines.data, offset, header, self.log_format.max_line_bytes)
        kind = LongLine if lines.too_long else LineChunk
        return kind(
            source_id=self.source.source_id,
            log_format=self.log_format,
            path=self.path,
            offset=offset,
            data=lines.data,
            checkpoint=checkpoint_of(lines.end, self._head, reader.before),
            more=lines.more and lines.end < size,
            written_ns=stamp[1],
            header=header,
        )

    def _open_reader(self, *, is_whole: bool) -> LineReader | None:
        if self._undecided is not None and self._undecided[0] == self.stamp and not is_whole:
            raise self._undecided[1]
        try:
            log_format = decided(head_of(self.file.read), self.log_format, is_whole=is_whole)
        except UndecidedFormat as error:
            if not self._options.any_lines:
                self._undecided = self.stamp, error
                raise
            log_format = replace(self.log_format, name=ANY_LINES)
        if log_format is None:
            return None
        if log_format != self.log_format:
            log.info("format decided", path=self.path, format=log_format.name)
        self.log_format = log_format
        if has_header(log_format.name):
            self._header = header_before(
                self.file.read,
                self.source.position,
                log_format.max_line_bytes,
                backwards=isinstance(self.file, PlainFile),
            )
        self._reader = LineReader(
            self.file,
            self.source.position,
            self._before,
            self._head,
            framing=framing_of(log_format.name),
            chunk_bytes=self._options.chunk_bytes,
            max_line_bytes=self._options.max_line_bytes,
        )
        return self._reader

    def registration(self) -> Registration:
        """By which a new source is made known to the store."""
        self.registered = True
        return Registration(replace(self.source, path=self.path), more=self.unread_bytes > 0)

    def as_read(self) -> Source:
        """The source at the position up to which it was read, which may be ahead of the store."""
        if self._reader is None or self.offset == self.source.position:
            return replace(self.source, path=self.path)
        checkpoint = checkpoint_of(self.offset, self._head, self._reader.before)
        return replace(self.source, checkpoint=checkpoint, path=self.path)

    def state(self) -> SourceState:
        if self.last_error is not None:
            return "unreadable" if self._reader else "undecided"
        if self.finite:
            return "loading"
        return "rotated" if self.rotated else "live"

    def status(self) -> SourceStatus:
        lag = max(0, self._size - self.committed)
        since = self._behind_since
        told = self._status
        # Thousands are asked again and again while nothing happens to them.
        if lag == 0 and told is not None and told.lag_bytes == 0:
            now = (self.committed, self._size, self.path, self.state(), self.last_error, self.log_format.name)
            if now == (told.position, told.size, told.path, told.state, told.last_error, told.format):
                return told
        self._status = SourceStatus(
            source_id=self.source.source_id,
            path=self.path,
            device=self.key[0],
            inode=self.key[1],
            epoch=self.source.epoch,
            position=self.committed,
            size=self._size,
            lag_bytes=lag,
            lag_seconds=0.0 if since is None or lag == 0 else time.monotonic() - since,
            state=self.state(),
            last_error=self.last_error,
            format=self.log_format.name,
        )
        return self._status
