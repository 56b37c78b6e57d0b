"""Topics over TLS, with a password or a certificate, and what is said of what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tailmetrics.cli.commands import main
from tailmetrics.cli.options import Exit
from tailmetrics.queues.kafka import cluster
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.urls import KafkaUrl
from tests.kafka import PASSWORD, Kafka
from tests.queues.kafka.reading import await_customers, line, reading

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
