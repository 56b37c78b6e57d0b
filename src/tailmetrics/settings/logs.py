"""The settings that say which logs are read, and how their lines are."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr
from pydantic.functional_validators import AfterValidator, field_validator, model_validator
from pydantic_settings import BaseSettings
from typing_extensions import Self

from tailmetrics.errors import SettingsError
from tailmetrics.settings.names import (
    AUTO,
    DEFAULT_LOG,
    REGEX,
    canonical_format,
    format_and_pattern,
    inner_format,
)
from tailmetrics.settings.options import FormatOptions, LogPath, LogQueue, LogTopic, TopicOptions
from tailmetrics.settings.sources import SourceTable, place, read_sources
from tailmetrics.settings.values import CommaSeparated, DurationUnit, LogEntries, TimeZone, is_queue
from tailmetrics.urls import KafkaUrl, QueueUrl, is_kafka, masked, parse_queue

MIB = 1024 * 1024
# As .env.local wrote the default out in earlier versions.
_WRITTEN_OUT = (
    "timestamp=timestamp,customer_id=customer_id,path=path,status_code=status_code,duration=duration"
)


class LogSettings(BaseSettings):
    """Which logs are read, in which format."""

    _tables: tuple[SourceTable, ...] = PrivateAttr(default=())

    log_file_path: LogEntries = Field(
        default=(DEFAULT_LOG,),
        description="Files to follow: paths or globs, separated by commas. `nginx=/var/log/nginx/*.log` "
        "gives an entry a format of its own. `amqp://USER:PASSWORD@HOST:5672/VHOST?queue=NAME` is a queue "
        "whose messages are logs, `kafka://HOST:9092/TOPIC?group=NAME` a topic, and `-` is standard input.",
    )
    log_sources: str = Field(
        default="",
        description="TOML file with a table for each source that has settings of its own, see "
        "docs/formats.md. LOG_FILE_PATH counts beside it only when it is set.",
    )
    log_format: Annotated[str, AfterValidator(canonical_format)] = Field(
        default=AUTO,
        description="Format of the lines: auto finds it by the first ones; a name of docs/formats.md, or a "
        "server's own format string behind `nginx:`, `apache:`, `envoy:` or `haproxy:`.",
    )
    log_timezone: TimeZone = Field(
        default="UTC", description="Time zone (IANA name) of timestamps that have none."
    )
    log_start: Literal["beginning", "end", "oldest"] = Field(
        default="beginning",
        description="Where to begin in a file that is new at start: beginning or end; oldest: at the "
        "beginning, and rotated files that are older than the first start are read, too.",
    )
    log_regex: str = Field(
        default="",
        description="For LOG_FORMAT=regex: a pattern with the named groups timestamp, customer_id, path, "
        "status_code and, if there is one, duration.",
    )
    log_timestamp_format: str = Field(
        default="",
        description="strftime format of the timestamp for regex and json, with %Z for abbreviated zones "
        "that everybody reads alike; empty: ISO 8601, RFC 2822, as nginx writes it, or s, ms, µs or ns since "
        "1970.",
    )
    log_json_fields: str = Field(
        default="",
        description="For LOG_FORMAT=json: which key holds which column, column=key separated by commas; "
        "several keys in order of preference have a vertical bar between them, and a dot goes into an "
        "object; empty: timestamp, customer_id, path, status_code, and duration or one that tells its unit "
        "as duration_ms.",
    )
    log_nginx_regex: str = Field(
        default="", description="For LOG_FORMAT=nginx: a pattern of one's own, with the groups of LOG_REGEX."
    )
    log_duration_unit: DurationUnit = Field(
        default="",
        description="Unit of durations that are written without one: s, ms, us or ns; empty: as the format "
        "says, else seconds.",
    )
    log_customer: CommaSeparated = Field(
        default=(),
        description="Who the customer is: fields in order of preference, such as `user,host,address`, a "
        "header, a key, or a part of the path as `/api/{customer}/`; empty: as the format says.",
    )
    log_exclude: CommaSeparated = Field(
        default=(),
        description="Requests that are not counted: globs of paths such as `/health*`, `agent:GLOB`, or "
        "`bots`.",
    )
    log_keep_query: bool = Field(
        default=False, description="Whether paths keep their query, which may hold secrets: true or false."
    )
    log_path_patterns: CommaSeparated = Field(
        default=(),
        description="Paths that are one: patterns such as `/orders/{id}`, or `auto` for numbers, UUIDs and "
        "long hexadecimal parts.",
    )
    max_line_bytes: int = Field(
        default=MIB, ge=64, le=64 * MIB, description="A longer line is a reject, in bytes."
    )
    chunk_bytes: int = Field(
        default=2 * MIB, ge=4096, le=64 * MIB, description="Bytes read from one file at a time, at most."
    )

    @field_validator("log_json_fields")
    @classmethod
    def _no_default_written_out(cls, value: str) -> str:
        return "" if value == _WRITTEN_OUT else value

    @field_validator("log_file_path")
    @classmethod
    def _known_entries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one path or glob")
        for number, entry in enumerate(value, 1):
            _, pattern = format_and_pattern(entry)
            setting = "LOG_FILE_PATH" if len(value) == 1 else f"LOG_FILE_PATH, entry {number}"
            try:
                if is_queue(pattern):
                    parse_queue(pattern, setting)
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _sources_are_read(self) -> Self:
        self._tables = read_sources(self.log_sources) if self.log_sources else ()
        return self

    @model_validator(mode="after")
    def _regex_is_given(self) -> Self:
        for entry in self.log_entries:
            if entry.log_format.regex or inner_format(entry.log_format.name) != REGEX:
                continue
            if entry.table is not None:
                raise ValueError(
                    f"{entry.given_by}: pattern: found none, expected one, as the format is regex"
                )
            raise ValueError(
                "LOG_REGEX: found '', expected a pattern with named groups, as LOG_FORMAT is regex"
            )
        return self

    @model_validator(mode="after")
    def _patterns_are_read_in_one_way(self) -> Self:
        given: dict[str, LogPath] = {}
        for entry in self.log_entries:
            key = entry.pattern if is_queue(entry.pattern) else os.path.abspath(entry.pattern)  # noqa: PTH100
            other = given.setdefault(key, entry)
            if other.log_format != entry.log_format:
                raise ValueError(
                    f"{entry.given_by}: found {masked(entry.pattern)!r}, which "
                    f"{other.given_by} gives with other settings, expected it once"
                )
        return self

    @property
    def log_paths(self) -> tuple[LogPath, ...]:
        """The files of LOG_FILE_PATH and LOG_SOURCES, each with its format."""
        return tuple(entry for entry in self.log_entries if not is_queue(entry.pattern))

    @property
    def log_queues(self) -> tuple[LogQueue, ...]:
        """The queues of LOG_FILE_PATH and LOG_SOURCES, each with the format of its messages."""
        queues = [each for each in self.log_entries if is_queue(each.pattern) and not is_kafka(each.pattern)]
        return tuple(LogQueue(QueueUrl.parse(entry.pattern), entry.log_format) for entry in queues)

    @property
    def log_topics(self) -> tuple[LogTopic, ...]:
        """The topics of LOG_FILE_PATH and LOG_SOURCES, each with the format of its messages."""
        topics = [entry for entry in self.log_entries if is_kafka(entry.pattern)]
        return tuple(LogTopic(KafkaUrl.parse(entry.pattern), entry.log_format) for entry in topics)

    @property
    def topic_options(self) -> TopicOptions:
        return TopicOptions(self.log_topics, self.log_start, self.chunk_bytes)

    @property
    def log_entries(self) -> tuple[LogPath, ...]:
        """All entries of LOG_FILE_PATH, and behind them those of LOG_SOURCES, each with its format.

        LOG_FILE_PATH has its default only where there is no LOG_SOURCES.
        """
        counts = not self.log_sources or "log_file_path" in self.model_fields_set
        parts = map(format_and_pattern, self.log_file_path if counts else ())
        entries = [LogPath(pattern, self.format_options(name)) for name, pattern in parts]
        for number, table in enumerate(self._tables, 1):
            log_format = replace(self.format_options(table.format_name), **table.options)
            name = place(self.log_sources, number)
            entries += [LogPath(pattern, log_format, name) for pattern in table.path]
        return tuple(entries)

    def format_options(self, name: str | None = None) -> FormatOptions:
        """How lines of a format are read; of LOG_FORMAT when there is no name."""
        return FormatOptions(
            name=name or self.log_format,
            zone=self.log_timezone,
            regex=self.log_regex,
            nginx_regex=self.log_nginx_regex,
            json_fields=self.log_json_fields,
            timestamp_format=self.log_timestamp_format,
            duration_unit=self.log_duration_unit,
            customer=self.log_customer,
            exclude=self.log_exclude,
            keep_query=self.log_keep_query,
            path_patterns=self.log_path_patterns,
            max_line_bytes=self.max_line_bytes,
            chunk_bytes=self.chunk_bytes,
        )
