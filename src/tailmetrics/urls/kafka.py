"""The URL of a topic of Kafka, to read from or to write to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from tailmetrics.errors import SettingsError
from tailmetrics.urls.hosts import bracketed

SCHEME: Final = "kafka"
EXAMPLE: Final = "kafka://user:password@host:9092,host2:9092/topic?group=tailmetrics"
_PORT = 9092
_GROUP = "tailmetrics"
_OPEN_URL = re.compile(rf"(?i)\b{SCHEME}://[^/]*\Z")  # a comma may follow, and another broker
_TOPIC = re.compile(r"[A-Za-z0-9._*-]{1,249}")
_MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_FILES_OF_TLS = ("ca_file", "certificate_file", "key_file")
_FILES = (*_FILES_OF_TLS, "password_file")
_PARAMETERS = ("group", "lines", "tls", "sasl", *_FILES)


@dataclass(frozen=True, slots=True)
class KafkaUrl:
    """A topic of a cluster that is known by some of its `brokers`, each `host:port`.

    `topic` may be a glob with `*`. `group` shares the partitions out among those that read. `sasl` is the
    mechanism by which `user` signs in, empty without one; files are paths, empty where none is given.
    `one_line` says that each line is sent as a message of its own. Printed it shows no user and no password.
    """

    brokers: tuple[str, ...]
    topic: str
    group: str = _GROUP
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: bool = False
    sasl: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    password_file: str = ""
    one_line: bool = False

    @classmethod
    def parse(cls, url: str, setting: str = "LOG_FILE_PATH") -> KafkaUrl:
        """Raises SettingsError, which shows nothing of the URL behind its scheme.

        A password that is not percent-encoded may have become any other part of it.
        """
        scheme, separator, rest = url.partition("://")
        if scheme.lower() != SCHEME or not separator:
            raise _wrong(setting, f"the scheme {scheme!r}" if separator and scheme.isalnum() else "no URL")
        authority, _, tail = rest.partition("/")
        # The user and the password were cut off before their end.
        if "@" in tail or "#" in url:
            raise _wrong(setting, "an @ behind the brokers, or a #")
        if "?" in authority:
            raise _wrong(setting, "no topic")
        path, _, query = tail.partition("?")
        user_info, _, hosts = authority.rpartition("@")
        topic = unquote(path)
        if not _TOPIC.fullmatch(topic):
            raise _wrong(setting, "no topic" if not topic else "a topic with other signs than Kafka takes")
        user, _, password = user_info.partition(":")
        parameters = _parameters(setting, query)
        _require_sense(setting, parameters, user, password)
        files = {name: parameters.get(name, "") for name in _FILES}
        return cls(
            brokers=_brokers(setting, hosts),
            topic=topic,
            group=parameters.get("group", _GROUP),
            user=unquote(user),
            password=unquote(password),
            tls=parameters.get("tls") == "true" or any(files[name] for name in _FILES_OF_TLS),
            sasl=parameters.get("sasl", _MECHANISMS[0]) if user else "",
            one_line=parameters.get("lines") == "one",
            **files,
        )

    @property
    def bootstrap(self) -> str:
        """Its brokers, as Kafka's clients take them."""
        return ",".join(self.brokers)

    @property
    def is_glob(self) -> bool:
        """Whether it stands for all topics whose names fit."""
        return "*" in self.topic

    @property
    def topic_pattern(self) -> str:
        """A regular expression for the names of its topics."""
        return "^" + self.topic.replace(".", r"\.").replace("*", ".*") + "$"

    def names(self, topic: str) -> bool:
        """Whether a topic is one of those that it stands for; Kafka's own are of no glob."""
        return re.match(self.topic_pattern, topic) is not None and not topic.startswith("__")

    def place(self, topic: str, partition: int) -> str:
        """How one partition is called wherever people see it."""
        return f"{SCHEME}://{self.bootstrap}/{topic}/{partition}"

    def __str__(self) -> str:
        """The address as it may be shown: without user and password."""
        return f"{SCHEME}://{self.bootstrap}/{self.topic}?group={self.group}"


def is_kafka(url: str) -> bool:
    """Whether a URL is, or was meant to be, one of Kafka."""
    return url.partition(":")[0].lower() == SCHEME


def entries(text: str) -> tuple[str, ...]:
    """The entries of LOG_FILE_PATH, separated by commas; those between the brokers of one URL are its own."""
    found: list[str] = []
    for part in text.split(","):
        stripped = part.strip()
        if not stripped:
            continue
        if found and _OPEN_URL.search(found[-1]) and "://" not in stripped:
            found[-1] += f",{stripped}"
        else:
            found.append(stripped)
    return tuple(found)


def _brokers(setting: str, hosts: str) -> tuple[str, ...]:
    brokers = []
    for each in hosts.split(","):
        try:
            parts = urlsplit(f"//{each.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _wrong(setting, "brokers that cannot be read") from None
        if not host:
            raise _wrong(setting, "a URL without brokers" if not hosts else "a broker without host")
        brokers.append(f"{bracketed(host)}:{port or _PORT}")
    return tuple(brokers)


def _parameters(setting: str, query: str) -> dict[str, str]:
    parameters = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    if not parameters.keys() <= set(_PARAMETERS):
        raise _wrong(setting, f"a parameter other than {', '.join(_PARAMETERS)}")
    if empty := next((name for name, value in parameters.items() if not value), None):
        raise _wrong(setting, f"an empty {empty}")
    for name, expected in (("tls", ("true", "false")), ("sasl", _MECHANISMS), ("lines", ("one", "several"))):
        if parameters.get(name, expected[0]) not in expected:
            raise _wrong(setting, f"a {name} that is none of {', '.join(expected)}")
    return parameters


def _require_sense(setting: str, parameters: Mapping[str, str], user: str, password: str) -> None:
    if ("certificate_file" in parameters) != ("key_file" in parameters):
        raise _wrong(setting, "one of certificate_file and key_file without the other")
    if parameters.get("tls") == "false" and not parameters.keys().isdisjoint(_FILES_OF_TLS):
        raise _wrong(setting, "tls=false and a file for TLS")
    if not user and not parameters.keys().isdisjoint({"sasl", "password_file"}):
        raise _wrong(setting, "sasl or password_file without a user")
    if password and "password_file" in parameters:
        raise _wrong(setting, "a password and a password_file")


def _wrong(setting: str, found: str) -> SettingsError:
    problem = (
        f"{setting}: found {found}, expected {EXAMPLE}, with &tls=true for TLS and &sasl=PLAIN for another "
        f"way to sign in than {_MECHANISMS[0]}; in the user and the password / ? # , @ : [ ] and % are "
        "written as %2F %3F %23 %2C %40 %3A %5B %5D and %25"
    )
    return SettingsError([problem])
