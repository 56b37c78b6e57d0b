"""Connections to Kafka: how its client is set, and what its errors mean."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tailmetrics.errors import QueueError, SettingsError, TopicMissing
from tailmetrics.queues.kafka.tls import tls_problem
from tailmetrics.urls import KafkaUrl

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

REQUEST_SECONDS: Final = 5.0
_RECONNECT_MS = 5_000  # the longest pause before a broker is tried again
_HOW_LONG: Final = re.compile(r" \(after \d+ms in state [^)]*\)")
_logger = logging.getLogger("confluent_kafka")


def require_client() -> None:
    """Raises SettingsError when the client library is not installed."""
    try:
        import confluent_kafka  # noqa: F401, PLC0415  # an extra
    except ImportError as error:
        problem = "a topic needs Kafka's client, which is not installed: pip install 'tailmetrics[kafka]'"
        raise SettingsError([problem]) from error
    # What it logs is said in the errors here, once and in words of this program.
    _logger.addHandler(logging.NullHandler())
    _logger.propagate = False


def configuration(url: KafkaUrl, purpose: str) -> dict[str, Any]:
    """What every client of a cluster is given. Raises QueueError when a file of the URL cannot be read."""
    values: dict[str, Any] = {
        "bootstrap.servers": url.bootstrap,
        "client.id": f"tailmetrics-{purpose}",
        "security.protocol": _protocol(url),
        "reconnect.backoff.max.ms": _RECONNECT_MS,
        "logger": _logger,
    }
    if url.sasl:
        values |= {
            "sasl.mechanism": url.sasl,
            "sasl.username": url.user,
            "sasl.password": url.password or _password_of(url),
        }
    files = {
        "ssl.ca.location": url.ca_file,
        "ssl.certificate.location": url.certificate_file,
        "ssl.key.location": url.key_file,
    }
    for file in filter(None, files.values()):
        _read(url, file)
    return values | {name: file for name, file in files.items() if file}


@contextmanager
def translated(url: KafkaUrl, topic: str = "") -> Iterator[None]:
    """Raises QueueError, which says what to do, for what the client raises."""
    from confluent_kafka import KafkaException  # noqa: PLC0415  # an extra

    try:
        yield
    except KafkaException as error:
        raise meaning(url, error.args[0], topic) from None
    except TimeoutError:  # of an answer that is waited for
        raise QueueError(f"{url}: {away_text(url, 'no answer')}", is_final=False) from None
    except ValueError as error:  # of a topic's name
        raise QueueError(f"{url}: {error}") from None


def meaning(url: KafkaUrl, error: KafkaError, topic: str = "") -> QueueError:
    """What an error of the client is, and what to do; `topic` is the one that was asked for."""
    from confluent_kafka import KafkaError as Kind  # noqa: PLC0415  # an extra

    name, reason = topic or url.topic, reason_of(error)
    texts = {
        Kind.TOPIC_AUTHORIZATION_FAILED: f"the user may not use the topic {name!r}; give it the rights to "
        "read and describe (or write) it: kafka-acls.sh --add",
        Kind.GROUP_AUTHORIZATION_FAILED: f"the user may not use the group {url.group!r}; give it the right "
        "to read it (kafka-acls.sh --add --group), or name another with group=",
        Kind.CLUSTER_AUTHORIZATION_FAILED: "the user may not use this cluster; give it rights: "
        "kafka-acls.sh --add",
        Kind._AUTHENTICATION: "the brokers refuse the user, the password or the way to sign in, "
        f"{url.sasl or 'none'} ({reason}); correct them in the URL, or sasl=",
        Kind.SASL_AUTHENTICATION_FAILED: "the brokers refuse the user or the password in the URL",
        Kind.UNSUPPORTED_SASL_MECHANISM: f"the brokers do not know {url.sasl}; set sasl= to what they do",
        Kind._SSL: f"TLS fails ({reason}); look at tls=, ca_file=, certificate_file= and key_file=",
    }
    if error.code() in {Kind.UNKNOWN_TOPIC_OR_PART, Kind._UNKNOWN_TOPIC, Kind._UNKNOWN_PARTITION}:
        return TopicMissing(f"{url}: {missing_topic(name)}")
    if text := tls_problem(url, reason) or texts.get(error.code()):
        return QueueError(f"{url}: {text}")
    away = {Kind._ALL_BROKERS_DOWN, Kind._TRANSPORT, Kind._RESOLVE, Kind._TIMED_OUT, Kind.NETWORK_EXCEPTION}
    if error.code() in away:
        return QueueError(f"{url}: {away_text(url, reason)}", is_final=False)
    return QueueError(f"{url}: {error.name()}: {reason}", is_final=not error.retriable())


def missing_topic(name: str) -> str:
    return (
        f"there is no topic {name!r}; correct the name, or make it: kafka-topics.sh --create, or --create of "
        "`tailmetrics publish` and `generate`"
    )


def away_text(url: KafkaUrl, reason: str) -> str:
    return (
        f"the brokers cannot be reached ({reason}); are they running there, and is that a listener for "
        f"{_protocol(url)} (as the user and tls= in the URL have it)?"
    )


def reason_of(error: KafkaError) -> str:
    """What the client says of an error, without what is another each time."""
    return _HOW_LONG.sub("", error.str())


def _protocol(url: KafkaUrl) -> str:
    return f"{'SASL_' if url.sasl else ''}{'SSL' if url.tls else 'PLAINTEXT'}"


def _password_of(url: KafkaUrl) -> str:
    return _read(url, url.password_file).strip() if url.password_file else ""


def _read(url: KafkaUrl, file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise QueueError(
            f"{url}: cannot read {file}: {error.strerror}; correct the URL or the file"
        ) from None
