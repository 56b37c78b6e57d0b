"""How Kafka's client is set, and what its errors mean to who reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.client import configuration, translated
from tailmetrics.urls import KafkaUrl


def test_a_client_signs_in_as_the_url_says(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "ca.pem").write_text("")
    files = f"ca_file={tmp_path}/ca.pem&password_file={tmp_path}/password"
    values = configuration(KafkaUrl.parse(f"kafka://user@b1,b2/logs?{files}"), "ingest")
    assert values["bootstrap.servers"] == "b1:9092,b2:9092"
    assert values["security.protocol"] == "SASL_SSL"
    assert (values["sasl.mechanism"], values["sasl.username"]) == ("SCRAM-SHA-512", "user")
    assert values["sasl.password"] == "s3cret"
    assert values["ssl.ca.location"] == f"{tmp_path}/ca.pem"


def test_a_client_without_user_needs_nothing_more() -> None:
    values = configuration(KafkaUrl.parse("kafka://b1/logs"), "ingest")
    assert values["security.protocol"] == "PLAINTEXT"
    assert not [name for name in values if name.startswith(("sasl", "ssl"))]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(QueueError, match=r"cannot read .*/none: No such file"):
        configuration(KafkaUrl.parse(f"kafka://user@b1/logs?password_file={tmp_path}/none"), "ingest")


@pytest.mark.parametrize(
    ("code", "text", "is_final"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "there is no topic 'logs'; correct the name, or make it", True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "may not use the topic 'logs'; give it", True),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "may not use the group 'tailmetrics'", True),
        (KafkaError._AUTHENTICATION, "refuse the user, the password or the way to sign in", True),
        (KafkaError._ALL_BROKERS_DOWN, "the brokers cannot be reached", False),
        (KafkaError._TIMED_OUT, "the brokers cannot be reached", False),
    ],
)
def test_errors_say_what_to_do(code: int, text: str, is_final: bool) -> None:
    with (
        pytest.raises(QueueError, match=text) as raised,
        translated(KafkaUrl.parse("kafka://u:s3cret@b1/logs")),
    ):
        raise KafkaException(KafkaError(code))
    assert raised.value.is_final is is_final
    assert "s3cret" not in str(raised.value)


def test_an_answer_that_does_not_come_is_brokers_that_are_away() -> None:
    expected = pytest.raises(QueueError, match="the brokers cannot be reached")
    with expected as away, translated(KafkaUrl.parse("kafka://b/logs")):
        raise TimeoutError
    assert not away.value.is_final
