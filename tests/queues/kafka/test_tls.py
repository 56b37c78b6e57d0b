"""Topics over TLS, with a password or a certificate, and what is said of what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner
from confluent_kafka import KafkaError

from tailmetrics.cli.commands import main
from tailmetrics.cli.options import Exit
from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka import cluster
from tailmetrics.queues.kafka.consumer import TopicConsumer
from tailmetrics.queues.kafka.producer import TopicProducer
from tailmetrics.settings import LogTopic, load_settings
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.urls import KafkaUrl
from tests.builders import format_options
from tests.integration.running import await_that
from tests.kafka import PASSWORD, Kafka
from tests.queues.kafka.reading import SECONDS, await_customers, line, reading

pytestmark = pytest.mark.servers
UrlOf = Callable[[Kafka, str, Path], str]  # that of a topic, with files of a folder


def _by_password(kafka: Kafka, topic: str, _: Path) -> str:
    return kafka.tls_url(topic, sasl="SCRAM-SHA-512")


def _by_password_file(kafka: Kafka, topic: str, folder: Path) -> str:
    file = folder / "password"
    file.write_text(f"{PASSWORD}\n")
    return kafka.tls_url(topic, password="", password_file=file, sasl="PLAIN")


def _by_certificate(kafka: Kafka, topic: str, _: Path) -> str:
    client = kafka.certificates.client
    return kafka.tls_url(topic, user="", certificate_file=client, key_file=client.with_suffix(".key"))


@pytest.mark.parametrize("url_of", [_by_password, _by_password_file, _by_certificate])
def test_lines_are_sent_and_read_over_tls(kafka: Kafka, tmp_path: Path, url_of: UrlOf) -> None:
    url = url_of(kafka, kafka.new_topic(), tmp_path)
    log = tmp_path / "a.log"
    log.write_bytes(line("a") + b"\n")
    sent = CliRunner().invoke(main, ["publish", str(log), "--to", url])
    assert sent.exit_code == Exit.DONE, sent.output
    memory = Memory()
    with reading(url, InMemoryStore(memory)):
        await_customers(memory, ["a"])
    assert cluster.readable_partitions(KafkaUrl.parse(url)) == 1


def _by_another_ca(kafka: Kafka, topic: str, _: Path) -> str:
    return kafka.tls_url(topic, ca_file=kafka.certificates.other_ca)


def _by_another_name(kafka: Kafka, topic: str, _: Path) -> str:
    return kafka.tls_url(topic, host="127.1")  # the same address, and no other as `localhost` may be


def _without_certificate(kafka: Kafka, topic: str, _: Path) -> str:
    return kafka.tls_url(topic, user="")


def _by_a_certificate_of_another_ca(kafka: Kafka, topic: str, _: Path) -> str:
    other = kafka.certificates.other_ca
    return kafka.tls_url(topic, user="", certificate_file=other, key_file=other.with_suffix(".key"))


def _by_another_key(kafka: Kafka, topic: str, _: Path) -> str:
    key = kafka.certificates.other_ca.with_suffix(".key")
    return kafka.tls_url(topic, user="", certificate_file=kafka.certificates.client, key_file=key)


def _by_a_wrong_password(kafka: Kafka, topic: str, _: Path) -> str:
    return kafka.tls_url(topic, password="s3cret")  # noqa: S106  # it is wrong


def _by_a_mechanism_that_is_off(kafka: Kafka, topic: str, _: Path) -> str:
    return kafka.tls_url(topic, sasl="SCRAM-SHA-256")


def _without_tls(kafka: Kafka, topic: str, _: Path) -> str:
    return kafka.tls_url(topic).partition("?")[0]


def _with_tls_where_there_is_none(kafka: Kafka, topic: str, _: Path) -> str:
    return f"{kafka.url(topic)}?ca_file={kafka.certificates.ca}"


def _with_a_file_that_is_missing(kafka: Kafka, topic: str, folder: Path) -> str:
    return kafka.tls_url(topic, ca_file=folder / "none.pem")


def _with_a_file_without_certificate(kafka: Kafka, topic: str, folder: Path) -> str:
    file = folder / "empty.pem"
    file.write_text("nothing\n")
    return kafka.tls_url(topic, ca_file=file)


_PROBLEMS: dict[UrlOf, str] = {
    _by_another_ca: r"found a certificate of the broker 127.0.0.1:\d+ that cannot be trusted, expected one "
    r"for this name, in date and signed by a CA in \S+/other.pem; correct ca_file=, or the name",
    _by_another_name: r"found a certificate of the broker 127.1:\d+ that cannot be trusted",
    _without_certificate: "refuses this client: found no certificate, expected a certificate of a CA that "
    "the brokers trust; correct certificate_file= and key_file=",
    _by_a_certificate_of_another_ca: r"refuses this client: found \S+/other.pem, expected a certificate",
    _by_another_key: r"found \S+/other.key, which cannot be used \(.*key values mismatch\), expected the key "
    r"of \S+/client.pem as PEM, without a passphrase; correct key_file=",
    _by_a_wrong_password: "refuse the user, the password or the way .*invalid credentials.* correct them",
    _by_a_mechanism_that_is_off: "sign in, SCRAM-SHA-256 .*supported mechanisms: PLAIN,SCRAM-SHA-512",
    _without_tls: r"cannot be reached \(.+\); .* is that a listener for SASL_PLAINTEXT \(as",
    _with_tls_where_there_is_none: r"cannot be reached \(.+\); .* is that a listener for SSL \(as",
    _with_a_file_that_is_missing: r"cannot read \S+/none.pem: No such file or directory; correct the URL",
    _with_a_file_without_certificate: r"found no certificate in \S+/empty.pem .*; correct ca_file=",
}


@pytest.mark.parametrize("url_of", _PROBLEMS)
def test_who_sends_is_told_what_is_wrong(kafka: Kafka, tmp_path: Path, url_of: UrlOf) -> None:
    with pytest.raises(QueueError, match=_PROBLEMS[url_of]) as raised:
        TopicProducer(KafkaUrl.parse(url_of(kafka, "topic", tmp_path))).connect()
    assert not any(secret in str(raised.value) for secret in (PASSWORD, "pass%2F", "s3cret"))


@pytest.mark.parametrize("url_of", [_without_certificate, _without_tls])
def test_a_check_tells_what_is_wrong(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url_of: UrlOf
) -> None:
    monkeypatch.setattr(cluster, "REQUEST_SECONDS", 1.0)

    def said() -> str:
        with pytest.raises(QueueError) as raised:
            cluster.readable_partitions(KafkaUrl.parse(url_of(kafka, "topic", tmp_path)))
        return str(raised.value)

    await_that(lambda: re.search(_PROBLEMS[url_of], said()) is not None, SECONDS, said)


def test_a_service_that_may_not_read_shows_why(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "REQUEST_SECONDS", 1.0)
    with reading(_without_certificate(kafka, "topic", tmp_path), InMemoryStore(Memory())) as service:

        def said() -> str:
            return " ".join(each.last_error or "" for each in service.sources())

        await_that(lambda: "found no certificate, expected a certificate of a CA" in said(), SECONDS, said)


def test_what_the_client_says_again_and_again_is_logged_once() -> None:
    topic = LogTopic(KafkaUrl.parse("kafka://b1/logs?tls=true"), format_options("requests"))
    consumer = TopicConsumer(topic, load_settings(None).topic_options, 1, lambda: None)
    told = "ssl://{}/bootstrap: SSL handshake failed: certificate verify failed (after {}ms in state X)"
    with structlog.testing.capture_logs() as events:
        for number in range(3):
            for broker in ("b1:9092", "b2:9092"):
                consumer._hear(KafkaError(KafkaError._SSL, told.format(broker, number)))
            consumer._hear(KafkaError(KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down"))
    assert [event["error"].partition(" that")[0].rpartition(" ")[2] for event in events] == [
        "b1:9092",
        "b2:9092",
    ]
    [status] = consumer.statuses()
    assert "cannot be trusted" in (status.last_error or "")
