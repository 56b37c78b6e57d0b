"""What each part of the program is told of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailmetrics.urls import KafkaUrl, QueueUrl


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """How the lines of a source are read.

    `name` is as canonical_format gives it, `zone` an IANA name, `duration_unit` that of durations written
    without one (s, ms, us or ns; empty: as the format says). `customer` are fields in order of preference;
    empty: as the format says. `asks_unit` says that the format was found, and that no line told the unit of
    its durations: those that may be of any are refused, where the format knows of such.
    """

    name: str
    zone: str
    regex: str
    nginx_regex: str
    json_fields: str
    timestamp_format: str
    duration_unit: str
    customer: tuple[str, ...]
    exclude: tuple[str, ...]
    keep_query: bool
    path_patterns: tuple[str, ...]
    max_line_bytes: int
    chunk_bytes: int
    asks_unit: bool = False


@dataclass(frozen=True, slots=True)
class LogPath:
    """A path or glob, and how its lines are read.

    It is given by LOG_FILE_PATH, or by a `table` of LOG_SOURCES, such as `sources.toml, source 2`.
    """

    pattern: str
    log_format: FormatOptions
    table: str | None = None

    @property
    def given_by(self) -> str:
        """Where it stands, before what is wrong with it."""
        return "LOG_FILE_PATH" if self.table is None else f"LOG_SOURCES: {self.table}"


@dataclass(frozen=True, slots=True)
class LogQueue:
    """An entry of LOG_FILE_PATH or LOG_SOURCES that is a queue, and how its messages are read."""

    url: QueueUrl
    log_format: FormatOptions


@dataclass(frozen=True, slots=True)
class LogTopic:
    """An entry of LOG_FILE_PATH or LOG_SOURCES that is a topic, and how its messages are read."""

    url: KafkaUrl
    log_format: FormatOptions


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Which queues are read, and how much of them at a time."""

    queues: tuple[LogQueue, ...]
    prefetch: int
    max_line_bytes: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """Which topics are read, how much at a time, and where partitions begin that are there at start."""

    topics: tuple[LogTopic, ...]
    log_start: Literal["beginning", "end", "oldest"]
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """How lines are gathered into commits, and how many messages are known again."""

    max_lines: int
    max_wait_seconds: float
    max_messages_remembered: int


@dataclass(frozen=True, slots=True)
class TailingOptions:
    """Which logs are followed, and how their files are looked for, read and let go.

    `log_format` is for files which no entry of LOG_FILE_PATH names. With `any_lines` those of a file whose
    format nobody knows are cut at their ends.
    """

    log_paths: tuple[LogPath, ...]
    log_format: FormatOptions
    log_start: Literal["beginning", "end", "oldest"]
    backlog_order: Literal["fair", "oldest"]
    chunk_bytes: int
    max_line_bytes: int
    max_open_files: int
    poll_interval_seconds: float
    rotated_hold_seconds: float
    any_lines: bool = False
