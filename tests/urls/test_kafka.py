"""URLs of Kafka: what they say, what is refused, and that no password is shown."""

from __future__ import annotations

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.urls import KafkaUrl, entries, masked, parse_queue


def test_a_url_of_kafka_is_taken_apart() -> None:
    url = KafkaUrl.parse(
        "kafka://us%40er:p%2Fw@b1,[::1]:9093,b3:9094/logs?group=G&sasl=PLAIN&ca_file=/etc/ca.pem"
    )
    assert url.brokers == ("b1:9092", "[::1]:9093", "b3:9094")
    assert (url.topic, url.group, url.user, url.password) == ("logs", "G", "us@er", "p/w")
    assert (url.tls, url.sasl, url.ca_file) == (True, "PLAIN", "/etc/ca.pem")
    assert url.place("logs", 3) == "kafka://b1:9092,[::1]:9093,b3:9094/logs/3"


def test_a_url_of_kafka_is_printed_without_its_user_and_password() -> None:
    url = KafkaUrl.parse("kafka://user:s3cret@b1,b2/logs")
    assert str(url) == "kafka://b1:9092,b2:9092/logs?group=tailmetrics"
    assert "s3cret" not in repr(url)
    assert "user" not in repr(url)
    assert masked("at kafka://user:s3cret@b1,b2/logs now") == "at kafka://user:***@b1,b2/logs now"
    assert masked("kafka://b1:9092,b2:9092/logs?ca_file=x") == "kafka://b1:9092,b2:9092/logs?ca_file=x"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("kafka://user:secret@b1:9092", "no topic"),
        ("kafka://user:secret@b1:9092/", "no topic"),
        ("kafka://user:12?secret@b1/logs", "no topic"),
        ("kafka://user:12/secret@b1/logs", "an @ behind the brokers, or a #"),
        ("kafka://user:12#secret@b1/logs", "an @ behind the brokers, or a #"),
        ("kafka://user:12?secret/logs", "no topic"),
        ("kafka://user:secret@b1/secret logs", "a topic with other signs than Kafka takes"),
        ("kafka://user:secret@/logs", "a URL without brokers"),
        ("kafka://user:secret@b1,/logs", "a broker without host"),
        ("kafka://user:secret@b1:x/logs", "brokers that cannot be read"),
        ("kafka://user:secret@b1/logs?secret=1", "a parameter other than group, lines, tls, sasl, ca_file"),
        ("kafka://user:secret@b1/logs?group=", "an empty group"),
        ("kafka://user:secret@b1/logs?tls=yes", "a tls that is none of true, false"),
        ("kafka://u:secret@b1/logs?sasl=MD5", "a sasl that is none of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN"),
        ("kafka://b1/logs?sasl=PLAIN", "sasl or password_file without a user"),
        ("kafka://u:secret@b1/logs?password_file=x", "a password and a password_file"),
        ("kafka://b1/logs?key_file=x", "one of certificate_file and key_file without the other"),
        ("kafka://b1/logs?tls=false&ca_file=x", "tls=false and a file for TLS"),
        ("kafka:b1/logs", "no URL"),
    ],
)
def test_a_url_of_kafka_that_cannot_be_used_is_explained(url: str, found: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_queue(url)
    assert str(error.value).startswith(f"LOG_FILE_PATH: found {found}")
    assert "expected kafka://user:password@host:9092,host2:9092/topic?group=tailmetrics" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.log, b.log", ("a.log", "b.log")),
        ("kafka://b1:9092,b2:9092/t?group=G,a.log", ("kafka://b1:9092,b2:9092/t?group=G", "a.log")),
        ("a.log,kafka://b1, b2/t,kafka://b3/u", ("a.log", "kafka://b1,b2/t", "kafka://b3/u")),
        ("nginx=kafka://u:p@b1,b2,b3/t", ("nginx=kafka://u:p@b1,b2,b3/t",)),
        ("kafka://b1,amqp://h/?queue=q", ("kafka://b1", "amqp://h/?queue=q")),
    ],
)
def test_the_brokers_of_one_url_stay_together_in_a_list(text: str, found: tuple[str, ...]) -> None:
    assert entries(text) == found


def test_a_glob_becomes_a_pattern_of_whole_names() -> None:
    url = KafkaUrl.parse("kafka://b1/logs-*.web")
    assert (url.is_glob, url.topic_pattern) == (True, r"^logs-.*\.web$")
