"""Every option of the program, read in one place: .env.local, then the environment, then flags."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr
from pydantic.functional_validators import (
    AfterValidator,
    BeforeValidator,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict
from typing_extensions import Self

from tailmetrics.settings.logs import MIB, LogSettings
from tailmetrics.settings.options import (
    CommitOptions,
    LogPath,
    QueueOptions,
    TailingOptions,
)
from tailmetrics.settings.values import CommaSeparated, HeaderName, Networks
from tailmetrics.urls import STANDARD_INPUT, KafkaUrl, StoreUrl, is_loopback, masked, spool_pattern

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


def _topic(url: str) -> str:
    if url and KafkaUrl.parse(url, "SHIP_TO").is_glob:
        raise ValueError("one topic, not a glob")
    return url


_ABOUT_CLIENTS = ("api_key", "api_key_file", "api_read_key", "api_read_key_file", "api_trusted_user_header")


class Settings(LogSettings):
    """All settings, with defaults that suit one machine. The description of a field is its documentation."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", extra="ignore", frozen=True, populate_by_name=True
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
    objectives: str = Field(
        default="",
        description="TOML file with what was promised to customers, who is told when it is not kept, and "
        "how, see docs/objectives.md; it is read again when it changes.",
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
        "`mysql`, `mariadb`, `clickhouse` or `influxdb`.",
    )
    duckdb_memory_limit: str = Field(
        default="256MB", description="Memory DuckDB may use for its buffers, such as 256MB or 2GB."
    )
    duckdb_threads: int = Field(
        default=0, ge=0, le=1024, description="Threads of DuckDB; 0: one a core, one fewer for a load."
    )
    influxdb_url: str = Field(
        default="http://localhost:8086",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
        description="InfluxDB's address, for STORE_URL=influxdb:// without a host; behind a proxy with the "
        "path that it has there.",
    )
    influxdb_org: str = Field(
        default="", description="InfluxDB's organisation, where STORE_URL has no ?org=NAME."
    )
    influxdb_bucket: str = Field(
        default="tailmetrics",
        description="InfluxDB's bucket of records, where STORE_URL names none. Sources, rejects and "
        "summaries are in a second one, its name with _meta.",
    )
    influxdb_token: SecretStr | None = Field(
        default=None,
        description="InfluxDB's token, which may read and write both buckets; `serve` only reads them.",
    )
    influxdb_ca_file: str = Field(
        default="",
        description="File with the certificates (PEM) of the CAs that may sign InfluxDB's; empty: those that "
        "this machine trusts.",
    )
    workers: int = Field(default=1, ge=1, le=64, description="Workers of the dataflow.")
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes of `tailmetrics ingest`, which divide the logs and take over from one that "
        "dies; `up` is one.",
    )
    ship_to: Annotated[str, AfterValidator(_topic)] = Field(
        default="",
        description="Topic of Kafka to which `tailmetrics ship` sends lines: "
        "`kafka://USER:PASSWORD@HOST:9092,HOST2:9092/TOPIC`, with `?lines=one` each line by itself.",
    )
    ship_store_url: Annotated[str, AfterValidator(lambda url: StoreUrl.parse(url).text)] = Field(
        default="duckdb:///data/ship.duckdb",
        description="Where `tailmetrics ship` keeps how far each file was sent: a store of its own, as "
        "STORE_URL names one.",
    )
    stream_max_size: int = Field(
        default=250_000, ge=1, le=10_000_000, description="Lines in one commit, at most."
    )
    stream_max_wait_time_in_seconds: float = Field(
        default=0.5, gt=0, le=3600, description="Seconds that lines wait for a commit to grow, at most."
    )

    api_host: str = Field(
        default="127.0.0.1",
        description="Address the API listens on. 0.0.0.0 is every address of this machine, under each of "
        "which it may be asked; its names go into API_ALLOWED_HOSTS.",
    )
    api_port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which `tailmetrics ingest` answers about itself."
    )
    metrics_port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="Port on which `tailmetrics ingest` answers /metrics, /health and /ready, the second of "
        "its PROCESSES on the next one, and so on; 0: none.",
    )
    metrics_customers_max: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Customers with series of their own at /metrics/customers, at most, all others being "
        "one; 0: nothing is counted there.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="When set, requests that change something need it in the header X-API-Key."
    )
    api_key_file: str = Field(
        default="",
        description="File with further keys as API_KEY, one a line, a name behind each if wanted. It is read "
        "again when it changes.",
    )
    api_read_key: SecretStr | None = Field(
        default=None,
        description="When set, requests that only read need it, or a key of API_KEY, in the same header.",
    )
    api_read_key_file: str = Field(
        default="", description="File with further keys as API_READ_KEY, as API_KEY_FILE."
    )
    api_trusted_user_header: HeaderName = Field(
        default="",
        description="Header, such as X-Forwarded-User, in which a proxy of API_TRUSTED_PROXIES names a user, "
        "who may read without a key; empty: none.",
    )
    api_trusted_proxies: Networks = Field(
        default=(),
        description="Addresses or networks of proxies, by commas, whose headers about their clients are "
        "believed.",
    )
    api_allowed_hosts: CommaSeparated = Field(
        default=(),
        description="Further names under which the API may be asked (Host header), by commas. Where "
        "API_HOST is no loopback, it may be asked under any IP address.",
    )
    load_max_bytes: int = Field(
        default=10 * 1024 * MIB, ge=1, description="Largest log that POST /load takes, in bytes."
    )
    load_folder: str = Field(
        default="",
        description="Folder below which POST /load may read files by their path; empty: none.",
    )
    cache_seconds: float = Field(
        default=0.25,
        ge=0,
        description="With a store that other processes write to: seconds after which it is asked again "
        "whether anything was committed, while questions come; until then an answer is given again. 0: no "
        "answer is. With DuckDB an answer is given again until a record of its customer comes.",
    )
    query_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="Longest time one question may take from its turn on, and wait for its turn before.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Seconds for which `tailmetrics serve` goes on after a signal to end, with /serving and "
        "/ready at 503, so that a balancer sends it no more; what is being answered then has "
        "QUERY_TIMEOUT_SECONDS. 0: it takes no more at once, and what is being answered has a second.",
    )
    logging_level: LogLevel = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("duckdb_memory_limit")
    @classmethod
    def _memory(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", value):
            raise ValueError("a number with a unit, such as 256MB or 2GB")
        return value

    @field_validator("api_key", "api_read_key", "influxdb_token")
    @classmethod
    def _empty_key_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and value.get_secret_value() else None

    @model_validator(mode="after")
    def _proxies_of_the_header_are_known(self) -> Self:
        if self.api_trusted_user_header and not self.api_trusted_proxies:
            raise ValueError(
                "API_TRUSTED_PROXIES: found none, expected the addresses of those that set "
                f"{self.api_trusted_user_header}, such as 127.0.0.1"
            )
        return self

    @property
    def queue_options(self) -> QueueOptions:
        return QueueOptions(self.log_queues, self.queue_prefetch, self.max_line_bytes, self.chunk_bytes)

    @property
    def tailing_options(self) -> TailingOptions:
        # Each is a setting of the same name, but for the format and what only some commands ask for.
        given = (field.name for field in fields(TailingOptions) if field.default is MISSING)
        values = {name: getattr(self, name) for name in given}
        return TailingOptions(**values | {"log_format": self.format_options()})

    @property
    def commit_options(self) -> CommitOptions:
        return CommitOptions(
            self.stream_max_size, self.stream_max_wait_time_in_seconds, self.max_sources_remembered
        )

    def without_keys(self) -> Self:
        """The same, asking nobody who they are."""
        nobody = {name: self.__class__.model_fields[name].default for name in (*_ABOUT_CLIENTS, "api_host")}
        return self.model_copy(update=nobody)

    @property
    def access_warning(self) -> str | None:
        """What is to be said where other machines reach the API and nobody needs a key; None otherwise."""
        if is_loopback(self.api_host) or any(getattr(self, name) for name in _ABOUT_CLIENTS):
            return None
        return (
            f"API_HOST is {self.api_host} and there is no API_KEY: whoever reaches port {self.api_port} may "
            "read everything and load logs; set API_KEY, and API_READ_KEY for those who only read"
        )

    @property
    def store(self) -> StoreUrl:
        """STORE_URL, in its parts."""
        return StoreUrl.parse(self.store_url)

    @property
    def log_paths(self) -> tuple[LogPath, ...]:
        """The files of LOG_FILE_PATH, each with its format; for standard input those it is kept in."""
        return tuple(
            self._kept(entry) if entry.pattern == STANDARD_INPUT else entry for entry in super().log_paths
        )

    @property
    def standard_input(self) -> LogPath | None:
        """The files in which standard input is kept for this store, node and format; None without it."""
        entries = (each for each in self.log_entries if each.pattern == STANDARD_INPUT)
        return next(map(self._kept, entries), None)

    def _kept(self, entry: LogPath) -> LogPath:
        pattern = spool_pattern(self.data_folder, str(self.store), self.node_id, entry.log_format.name)
        return replace(entry, pattern=pattern)

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
