"""Every option of the program, read in one place: .env.local, then the environment, then flags."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError
from pydantic.functional_validators import AfterValidator, BeforeValidator, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tailmetrics.errors import SettingsError
from tailmetrics.urls import STANDARD_INPUT, QueueUrl, StoreUrl, masked, spool_pattern

FORMAT_NAMES = ("requests", "nginx", "json", "regex", "results")
FormatName = Literal["requests", "nginx", "json", "regex", "results"]
_LIKE_A_QUEUE = re.compile(r"amqps?:|[^/]+:[^/]+@")
_MIB = 1024 * 1024


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


@dataclass(frozen=True, slots=True)
class LogPath:
    """One entry of LOG_FILE_PATH: a path or glob, and the format of its lines."""

    pattern: str
    format_name: str


@dataclass(frozen=True, slots=True)
class LogQueue:
    """An entry of LOG_FILE_PATH that is a queue, and the format of its messages."""

    url: QueueUrl
    format_name: str


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """How lines are read; `zone` is an IANA name."""

    zone: str
    regex: str
    nginx_regex: str
    json_fields: str
    timestamp_format: str
    max_line_bytes: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Which queues are read, and how much of them at a time."""

    queues: tuple[LogQueue, ...]
    prefetch: int
    max_line_bytes: int
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

    `log_format` is that of files which no entry of LOG_FILE_PATH names.
    """

    log_paths: tuple[LogPath, ...]
    log_format: str
    log_start: Literal["beginning", "end"]
    backlog_order: Literal["fair", "oldest"]
    chunk_bytes: int
    max_line_bytes: int
    max_open_files: int
    poll_interval_seconds: float
    rotated_hold_seconds: float


class Settings(BaseSettings):
    """All settings, with defaults that suit one machine. The description of a field is its documentation."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", extra="ignore", frozen=True, populate_by_name=True
    )

    log_file_path: CommaSeparated = Field(
        default=("data/requests.log",),
        description="Files to follow: paths or globs, separated by commas. `nginx=/var/log/nginx/*.log` "
        "gives an entry a format of its own. `amqp://USER:PASSWORD@HOST:5672/VHOST?queue=NAME` is a queue "
        "whose messages are logs, and `-` is standard input.",
    )
    log_format: FormatName = Field(
        default="requests", description="Format of the lines: requests, nginx, json, regex or results."
    )
    log_timezone: str = Field(
        default="UTC", description="Time zone (IANA name) of timestamps that have none."
    )
    log_start: Literal["beginning", "end"] = Field(
        default="beginning", description="Where to begin in a file that is new at start: beginning or end."
    )
    log_regex: str = Field(
        default="",
        description="For LOG_FORMAT=regex: a pattern with the named groups timestamp, customer_id, path, "
        "status_code and, if there is one, duration.",
    )
    log_timestamp_format: str = Field(
        default="",
        description="strftime format of the timestamp for regex and json; empty: ISO 8601, epoch seconds, or "
        "as nginx writes it.",
    )
    log_json_fields: str = Field(
        default="timestamp=timestamp,customer_id=customer_id,path=path,status_code=status_code,duration=duration",
        description="For LOG_FORMAT=json: which key holds which column, column=key separated by commas; a "
        "dot goes into an object.",
    )
    log_nginx_regex: str = Field(
        default="", description="For LOG_FORMAT=nginx: a pattern of one's own, with the groups of LOG_REGEX."
    )
    max_line_bytes: int = Field(
        default=_MIB, ge=64, le=64 * _MIB, description="A longer line is a reject, in bytes."
    )
    chunk_bytes: int = Field(
        default=2 * _MIB, ge=4096, le=64 * _MIB, description="Bytes read from one file at a time, at most."
    )
    poll_interval_seconds: float = Field(
        default=1.0, gt=0, le=3600, description="How often files are looked for when no event tells of them."
    )
    rotated_hold_seconds: float = Field(
        default=10.0,
        ge=0,
        description="How long a rotated or deleted file must have been quiet before it is let go, and its "
        "unfinished last line counted.",
    )
    backlog_order: Literal["fair", "oldest"] = Field(
        default="fair",
        description="When several files have unread lines: fair gives each a turn, oldest reads those first "
        "that were written to the longest ago.",
    )
    max_sources_remembered: int = Field(
        default=10_000,
        ge=1,
        description="Positions of more sources than this are forgotten, the oldest first, when neither a "
        "file like them nor any of their records is left.",
    )
    queue_prefetch: int = Field(
        default=200,
        ge=1,
        le=65535,
        description="Messages of a queue that are taken before they are stored, at most.",
    )
    max_open_files: int = Field(
        default=1024, ge=1, description="Log files held open at the same time, at most."
    )
    max_rejects_kept: int = Field(
        default=100_000,
        ge=100,
        description="Rejects that are kept, at most, and a tenth of them of one source: the first and the "
        "last ones; others are only counted.",
    )
    retention_days: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Records older than this are deleted, at most 100,000 days; 0 keeps everything.",
    )
    node_id: str = Field(
        default_factory=socket.gethostname, min_length=1, max_length=255, description="Name of this machine."
    )

    log_batch_size: int = Field(
        default=10,
        ge=1,
        le=10_000_000,
        description="Lines, or tests of the format results, that the generator appends at once.",
    )
    log_interval_seconds: float = Field(
        default=0.1, ge=0, description="Seconds between two appends of the generator."
    )
    max_logs_to_generate: int = Field(
        default=0,
        ge=0,
        description="Lines, or tests of the format results, after which the generator ends; 0: for ever.",
    )

    store_url: Annotated[str, AfterValidator(lambda url: StoreUrl.parse(url).text)] = Field(
        default="duckdb:///data/tailmetrics.duckdb",
        description="Where records are kept: a file, `duckdb:///PATH` or `sqlite:///PATH` (four slashes "
        "before an absolute path), or a server, `postgresql://USER:PASSWORD@HOST/DATABASE`, and likewise "
        "`mysql`, `mariadb` or `influxdb`.",
    )
    duckdb_memory_limit: str = Field(
        default="256MB", description="Memory DuckDB may use for its buffers, such as 256MB or 2GB."
    )
    duckdb_threads: int = Field(
        default=0, ge=0, le=1024, description="Threads of DuckDB; 0: one a core, one fewer for a load."
    )
    influxdb_url: str = Field(
        default="http://localhost:8086",
        pattern=r"^https?://[^\s/?#@]+/?$",
        description="InfluxDB's address, for STORE_URL=influxdb:// without a host.",
    )
    influxdb_org: str = Field(
        default="", description="InfluxDB's organisation, where STORE_URL has no ?org=NAME."
    )
    influxdb_bucket: str = Field(
        default="tailmetrics",
        description="InfluxDB's bucket of records, where STORE_URL names none. Sources and rejects are in a "
        "second one, its name with _meta.",
    )
    influxdb_token: SecretStr | None = Field(
        default=None, description="InfluxDB's token, which may read and write both buckets."
    )
    workers: int = Field(default=1, ge=1, le=64, description="Workers of the dataflow.")
    stream_max_size: int = Field(
        default=250_000, ge=1, le=10_000_000, description="Lines in one commit, at most."
    )
    stream_max_wait_time_in_seconds: float = Field(
        default=0.5, gt=0, le=3600, description="Seconds that lines wait for a commit to grow, at most."
    )

    api_host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which `tailmetrics ingest` answers about itself."
    )
    metrics_port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="Port on which `tailmetrics ingest` answers /metrics, /health and /ready; 0: none.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="When set, requests that change something need it in the header X-API-Key."
    )
    api_allowed_hosts: CommaSeparated = Field(
        default=(),
        description="Further names under which the API may be asked (Host header), by commas. Where API_HOST "
        "is every address, it may be asked under any IP address.",
    )
    load_max_bytes: int = Field(
        default=10 * 1024 * _MIB, ge=1, description="Largest log that POST /load takes, in bytes."
    )
    load_folder: str = Field(
        default="",
        description="Folder below which POST /load may read files by their path; empty: none.",
    )
    cache_seconds: float = Field(
        default=1.0,
        ge=0,
        description="With a store that other processes write to: how long an answer may be given again, in "
        "seconds. With DuckDB an answer is given again until a record of its customer comes.",
    )
    query_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="Longest time one question may take from its turn on, and wait for its turn before.",
    )
    logging_level: LogLevel = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("log_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError("an IANA time zone such as UTC or Europe/Berlin") from error
        return value

    @field_validator("duckdb_memory_limit")
    @classmethod
    def _memory(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", value):
            raise ValueError("a number with a unit, such as 256MB or 2GB")
        return value

    @field_validator("api_key", "influxdb_token")
    @classmethod
    def _empty_key_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and value.get_secret_value() else None

    @field_validator("log_file_path")
    @classmethod
    def _known_entries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one path or glob")
        for number, entry in enumerate(value, 1):
            _, pattern = _format_and_pattern(entry)
            setting = "LOG_FILE_PATH" if len(value) == 1 else f"LOG_FILE_PATH, entry {number}"
            try:
                if _is_queue(pattern):
                    QueueUrl.parse(pattern, setting)
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _regex_is_given(self) -> Settings:
        if not self.log_regex and any(path.format_name == "regex" for path in self.log_entries):
            raise ValueError(
                "LOG_REGEX: found '', expected a pattern with named groups, as LOG_FORMAT is regex"
            )
        return self

    @property
    def log_paths(self) -> tuple[LogPath, ...]:
        """The files of LOG_FILE_PATH, each with its format; for standard input those it is kept in."""
        files = (entry for entry in self.log_entries if not _is_queue(entry.pattern))
        return tuple(self._kept(entry) if entry.pattern == STANDARD_INPUT else entry for entry in files)

    @property
    def standard_input(self) -> LogPath | None:
        """The files in which standard input is kept for this store, node and format; None without it."""
        entries = (each for each in self.log_entries if each.pattern == STANDARD_INPUT)
        return next(map(self._kept, entries), None)

    def _kept(self, entry: LogPath) -> LogPath:
        pattern = spool_pattern(self.data_folder, str(self.store), self.node_id, entry.format_name)
        return replace(entry, pattern=pattern)

    @property
    def log_queues(self) -> tuple[LogQueue, ...]:
        """The queues of LOG_FILE_PATH, each with the format of its messages."""
        queues = [entry for entry in self.log_entries if _is_queue(entry.pattern)]
        return tuple(LogQueue(QueueUrl.parse(entry.pattern), entry.format_name) for entry in queues)

    @property
    def log_entries(self) -> tuple[LogPath, ...]:
        """All entries of LOG_FILE_PATH, each with its format."""
        parts = map(_format_and_pattern, self.log_file_path)
        return tuple(LogPath(pattern, name or self.log_format) for name, pattern in parts)

    @property
    def format_options(self) -> FormatOptions:
        return FormatOptions(
            zone=self.log_timezone,
            regex=self.log_regex,
            nginx_regex=self.log_nginx_regex,
            json_fields=self.log_json_fields,
            timestamp_format=self.log_timestamp_format,
            max_line_bytes=self.max_line_bytes,
            chunk_bytes=self.chunk_bytes,
        )

    @property
    def queue_options(self) -> QueueOptions:
        return QueueOptions(self.log_queues, self.queue_prefetch, self.max_line_bytes, self.chunk_bytes)

    @property
    def tailing_options(self) -> TailingOptions:
        # Each is a setting of the same name.
        return TailingOptions(**{field.name: getattr(self, field.name) for field in fields(TailingOptions)})

    @property
    def commit_options(self) -> CommitOptions:
        return CommitOptions(
            self.stream_max_size, self.stream_max_wait_time_in_seconds, self.max_sources_remembered
        )

    @property
    def store(self) -> StoreUrl:
        """STORE_URL, in its parts."""
        return StoreUrl.parse(self.store_url)

    @property
    def data_folder(self) -> Path:
        """Where this node keeps what it must not forget: beside a store that is a file, else in `data`."""
        return self.store.path.parent if self.store.is_file else Path("data")

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if isinstance(value, tuple):
                yield name, tuple(map(masked, value))
            else:
                yield name, masked(value) if isinstance(value, str) else value


def load_settings(env_file: Path | None = Path(".env.local"), **flags: Any) -> Settings:
    """Settings from `env_file`, the environment and flags; the last one wins, flags that are None are none.

    Raises SettingsError with a sentence for each value that cannot be used.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        return Settings(_env_file=env_file, **given)  # type: ignore[call-arg]  # pydantic-settings' own parameter
    except ValidationError as error:
        raise SettingsError([_sentence(problem) for problem in error.errors()]) from None


def resolve_node_id(settings: Settings) -> str:
    """The name of this node: as set, else as it was at the first start.

    It is kept in a file beside the data, as the name of a host may change and the sources must not.
    """
    if "node_id" in settings.model_fields_set:
        return settings.node_id
    file = settings.data_folder / "node_id"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return file.read_text(encoding="utf-8").strip() or settings.node_id
    except FileNotFoundError:
        file.write_text(settings.node_id + "\n", encoding="utf-8")
        return settings.node_id


def _format_and_pattern(entry: str) -> tuple[str, str]:
    """An entry of LOG_FILE_PATH, in two; the format is empty where it gives none."""
    name, _, pattern = entry.partition("=")
    return (name, pattern) if name in FORMAT_NAMES and pattern else ("", entry)


def _is_queue(pattern: str) -> bool:
    # URLs of other schemes too, and what is no URL for a sign left out: to take one for a file would show its
    # password.
    return "://" in pattern or _LIKE_A_QUEUE.match(pattern) is not None


def _sentence(problem: Any) -> str:
    reason = str(problem["msg"]).removeprefix("Value error, ")
    key = str(problem["loc"][0]).upper() if problem["loc"] else ""
    if reason.startswith(key):
        return reason  # which is a sentence already
    shown = "***" if "KEY" in key or "PASSWORD" in key or "TOKEN" in key else masked(repr(problem["input"]))
    expected = (reason[0].lower() + reason[1:]).removeprefix("input should be ")
    return f"{key}: found {shown}, expected {expected}"
