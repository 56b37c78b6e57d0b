"""The commands that send to a topic."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tailmetrics.cli.commands import main
from tailmetrics.cli.options import Exit
from tests.kafka import Kafka
from tests.paths import DATA

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_each_log_is_sent_as_its_lines_to_the_end(tmp_path: Path, kafka: Kafka) -> None:
    whole = (DATA / "requests-10k.log").read_bytes()
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(whole))
    (tmp_path / "b.log").write_bytes(b"nothing that is known\nunfinished")
    (tmp_path / "empty.log").touch()
    topic = kafka.new_topic(4)
    result = run("publish", "a.log.gz", "b.log", "empty.log", "--to", kafka.url(topic))
    assert result.stdout.splitlines() == [
        f"a.log.gz: {len(whole):,} bytes sent",
        "b.log: 32 bytes sent",
        "empty.log: empty, not sent",
    ]
    sent: dict[str, bytes] = {}
    for message in kafka.messages(topic):
        headers = dict(message.headers())
        name = headers["tailmetrics-file"].decode()
        assert int(headers["tailmetrics-offset"]) == len(sent.get(name, b""))
        sent[name] = sent.get(name, b"") + message.value()
    assert sent == {"a.log.gz": whole, "b.log": b"nothing that is known\nunfinished"}


def test_a_log_that_is_sent_twice_is_two_sources(tmp_path: Path, kafka: Kafka) -> None:
    (tmp_path / "a.log").write_bytes(b"a\n")
    topic = kafka.new_topic()
    for _ in range(2):
        assert run("publish", "a.log", "--to", kafka.url(topic)).exit_code == Exit.DONE
    assert len({message.key() for message in kafka.messages(topic)}) == 2


def test_generated_lines_go_to_a_topic_that_is_made(kafka: Kafka) -> None:
    url = kafka.url("generated")
    done = run("generate", "--to", url, "--create", "--max-logs", 3000, "--batch-size", 1500, "--interval", 0)
    assert done.exit_code == Exit.DONE, done.output
    messages = list(kafka.messages("generated"))
    assert sum(message.value().count(b"\n") for message in messages) == 3000
    assert {(message.key(), message.headers()) for message in messages} == {(None, None)}


def test_generated_tests_have_the_name_of_their_log(kafka: Kafka) -> None:
    topic = kafka.new_topic()
    options = ("--max-logs", 5, "--interval", 0, "--log-format", "results")
    assert run("generate", "--to", kafka.url(topic), *options).exit_code == Exit.DONE
    [message] = kafka.messages(topic)
    assert message.value().count(b"Test:") == 5
    assert dict(message.headers())["tailmetrics-file"].startswith(b"test_")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--to", "kafka://127.0.0.1:1/logs*"), Exit.CONFIGURATION, "found the glob 'logs*', expected one"),
        (("--to", "kafka://127.0.0.1:1/logs"), Exit.UNAVAILABLE, "the brokers cannot be reached"),
        (("--to", "kafka://127.0.0.1:1/logs", "--name-first"), Exit.USAGE, "--name-first: found it with a"),
    ],
)
def test_what_cannot_be_sent_to_is_said(
    tmp_path: Path, arguments: tuple[str, ...], status: Exit, said: str
) -> None:
    (tmp_path / "a.log").write_bytes(b"a\n")
    result = run("publish", "a.log", *arguments)
    assert (result.exit_code, said in result.output) == (status, True), result.output
