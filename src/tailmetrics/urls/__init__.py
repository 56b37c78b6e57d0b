"""URLs of stores, queues and topics: parsed once, and their secrets kept out of what is printed."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tailmetrics.errors import SettingsError
from tailmetrics.urls.hosts import bracketed
from tailmetrics.urls.kafka import EXAMPLE as TOPIC_EXAMPLE
from tailmetrics.urls.kafka import KafkaUrl, entries, is_kafka
from tailmetrics.urls.secrets import masked

__all__ = [
    "ANY_ADDRESS",
    "EXAMPLE",
    "FILE_STORE_SCHEMES",
    "STANDARD_INPUT",
    "STORE_SCHEMES",
    "KafkaUrl",
    "QueueUrl",
    "StoreUrl",
    "bracketed",
    "entries",
    "is_kafka",
    "is_loopback",
    "masked",
    "parse_queue",
    "parse_target",
    "spool_pattern",
]

# What is listened on for all addresses of a machine, and the one that is asked for it.
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # not bound to here
STANDARD_INPUT = "-"  # as an entry of LOG_FILE_PATH


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on a host."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


FILE_STORE_SCHEMES = ("duckdb", "sqlite")
STORE_SCHEMES = (*FILE_STORE_SCHEMES, "postgresql", "mysql", "mariadb", "influxdb", "clickhouse")
_INFLUXDB_URL = re.compile(
    r"influxdb://([^\s/?#@]+)?(/[^\s/?#]*)?(\?(org=[^\s&#]+|tls=(true|false))(&(org=[^\s&#]+|tls=(true|false)))*)?"
)


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Where records are kept: a file, whose path is `database`, or a server.

    All parts are decoded. Printed it shows no secret.
    """

    text: str = field(repr=False)
    scheme: str
    database: str
    host: str | None = None
    port: int | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    parameters: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> StoreUrl:
        """Raises ValueError, which says what was expected and nothing of the URL."""
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in STORE_SCHEMES:
            raise ValueError(
                "a URL that begins with " + ", ".join(f"{known}://" for known in STORE_SCHEMES) + "; such as "
                "duckdb:///data/tailmetrics.duckdb or postgresql://user:password@host:5432/database"
            )
        if scheme in FILE_STORE_SCHEMES:
            if not re.fullmatch(r"/.+", rest):
                raise ValueError("three slashes and a relative path, or four slashes and an absolute one")
            return cls(url, scheme, rest[1:])
        if server := cls._server(url, scheme):
            return server
        if scheme == "influxdb":
            raise ValueError(
                "influxdb://host:8086/bucket?org=NAME (&tls=true for https), or influxdb:// and INFLUXDB_*; "
                "the token in INFLUXDB_TOKEN"
            )
        raise ValueError(
            f"{scheme}://user:password@host:port/database, signs such as / and @ in the password written "
            "as %2F and %40"
        )

    @classmethod
    def _server(cls, url: str, scheme: str) -> StoreUrl | None:
        try:
            parts = urlsplit(url, allow_fragments=False)
            port = parts.port
        except ValueError:
            return None
        if scheme == "influxdb":
            fits = _INFLUXDB_URL.fullmatch(url) is not None
        else:
            # Behind the host an @ is the end of a password that a / has cut off, and a # is none of a host.
            names = re.fullmatch(r"/[^@]*[^@/][^@]*", parts.path, re.DOTALL)
            fits = names is not None and bool(parts.hostname or parts.query)
        if not fits:
            return None
        return cls(
            text=url,
            scheme=scheme,
            database=unquote(parts.path[1:]),
            host=parts.hostname,
            port=port,
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            parameters=parse_qs(parts.query),
        )

    @property
    def is_file(self) -> bool:
        """Whether it is a file of this machine, not a server."""
        return self.scheme in FILE_STORE_SCHEMES

    @property
    def path(self) -> Path:
        """The file of a store that is one."""
        return Path(self.database)

    def __str__(self) -> str:
        return masked(self.text)


EXAMPLE = "amqp://user:password@host:5672/vhost?queue=logs"
_PARAMETERS = {"queue", "first_line"}
_LONGEST_QUEUE_BYTES = 255
_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class QueueUrl:
    """A queue of a broker; `first_line_is_name` says that messages begin with the name of their log."""

    scheme: str
    host: str
    port: int
    vhost: str
    queue: str
    first_line_is_name: bool
    user: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def parse(cls, url: str, setting: str = "LOG_FILE_PATH") -> QueueUrl:
        """Raises SettingsError, which shows nothing of the URL behind its scheme.

        A password that is not percent-encoded may have become any other part of it.
        """
        scheme, separator, _ = url.partition("://")
        if scheme.lower() not in _PORTS or not separator:
            found = f"the scheme {scheme!r}" if separator and scheme.isalnum() else "no URL"
            raise _wrong(setting, found, f"{EXAMPLE} or {TOPIC_EXAMPLE}")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _wrong(setting, "a URL that cannot be read") from None
        # The user and the password were cut off before their end.
        if "@" in parts.path + parts.query or "#" in url:
            raise _wrong(setting, "an @ behind the host, or a #")
        if not parts.hostname:
            raise _wrong(setting, "a URL without host")
        parameters = parse_qs(parts.query, keep_blank_values=True)
        if not parameters.keys() <= _PARAMETERS:
            raise _wrong(setting, "a parameter other than queue and first_line")
        queue = parameters.get("queue", [""])[-1]
        if not queue:
            raise _wrong(setting, "no queue")
        if len(queue.encode()) > _LONGEST_QUEUE_BYTES:
            raise _wrong(setting, f"the name of a queue of more than {_LONGEST_QUEUE_BYTES} bytes")
        first_line = parameters.get("first_line", ["log"])[-1]
        if first_line not in {"log", "name"}:
            raise _wrong(setting, "a first_line that is neither log nor name")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            vhost=unquote(parts.path[1:]) or "/",
            queue=queue,
            first_line_is_name=first_line == "name",
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
        )

    def __str__(self) -> str:
        """The address as it may be shown: without user and password."""
        vhost = quote(self.vhost, safe="") if self.vhost != "/" else ""
        return (
            f"{self.scheme}://{bracketed(self.host)}:{self.port}/{vhost}?queue={quote(self.queue, safe='')}"
        )


def _wrong(setting: str, found: str, expected: str = EXAMPLE) -> SettingsError:
    problem = (
        f"{setting}: found {found}, expected {expected}, with &first_line=name when messages begin with the "
        "name of their log; in the user, the password and names / ? # , @ : [ ] and % are written as "
        "%2F %3F %23 %2C %40 %3A %5B %5D and %25"
    )
    return SettingsError([problem])


def parse_queue(url: str, setting: str = "LOG_FILE_PATH") -> QueueUrl | KafkaUrl:
    """The URL of a queue of RabbitMQ or a topic of Kafka. Raises SettingsError."""
    return KafkaUrl.parse(url, setting) if is_kafka(url) else QueueUrl.parse(url, setting)


def parse_target(url: str, setting: str) -> QueueUrl | KafkaUrl:
    """The same of one that is sent to, which is a single one. Raises SettingsError."""
    address = parse_queue(url, setting)
    if isinstance(address, KafkaUrl) and address.is_glob:
        raise SettingsError([f"{setting}: found the glob {address.topic!r}, expected one topic"])
    return address


def spool_pattern(folder: Path, *whose: str) -> str:
    """The files of a folder in which standard input is kept; others, whose it is not, have other names."""
    mark = hashlib.blake2b("\0".join(whose).encode(), digest_size=4).hexdigest()
    return f"{glob.escape(str(folder))}/stdin-{mark}-*.log"
