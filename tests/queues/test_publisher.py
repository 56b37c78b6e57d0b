"""The commands that send logs to a queue, and what becomes of these."""

from __future__ import annotations

import gzip
import json
import select
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from tailmetrics.cli.commands import main
from tailmetrics.errors import QueueError
from tailmetrics.formats.lines import BYTE_ORDER_MARK
from tailmetrics.queues import QueueUrl
from tailmetrics.queues.broker import Connection, connected
from tailmetrics.queues.publisher import Publisher
from tailmetrics.settings import Settings
from tests.integration.running import await_that, free_port
from tests.queues.broker import Broker, Queue
from tests.queues.consuming import consuming, log_of, paths

RESULTS = (("PASS", "PASS"), ("FAIL", "PASS"), ("FAIL", "FAIL"))  # of apples and pears, in three logs


@pytest.fixture(autouse=True)
def nothing_but_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("API_PORT", str(free_port()))
    yield
    structlog.reset_defaults()  # logging was bound to a stream of the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_each_file_is_sent_as_a_message(tmp_path: Path, queue: Queue) -> None:
    (tmp_path / "a.log").write_bytes(log_of(1, 2))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(log_of(2)))
    (tmp_path / "empty.log").touch()
    result = run("publish", "a.log", "b.log.gz", "empty.log", "--to", queue.url)
    assert result.stdout.splitlines() == [
        "a.log: 70 bytes sent",
        "b.log.gz: 35 bytes sent",
        "empty.log: empty, not sent",
    ]
    first, second = queue.take(), queue.take()
    assert [first.body, second.body, queue.waiting()] == [log_of(1, 2), log_of(2), 0]
    assert [message.headers["file-name"] for message in (first, second)] == ["a.log", "b.log"]
    assert first.delivery_mode == 2
    assert first.message_id != second.message_id


def test_the_name_may_be_the_first_line(tmp_path: Path, queue: Queue) -> None:
    (tmp_path / "a.log").write_bytes(log_of(1))
    run("publish", "a.log", "--name-first", "--to", queue.url)
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(1)
    assert paths(tmp_path) == ["/1/0"]


def test_a_byte_order_mark_behind_the_name_is_no_part_of_the_first_line(tmp_path: Path, queue: Queue) -> None:
    (tmp_path / "a.log").write_bytes(BYTE_ORDER_MARK + log_of(1, 2))
    run("publish", "a.log", "--name-first", "--to", queue.url)
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(2)
    assert paths(tmp_path) == ["/1/0", "/1/1"]


def test_a_log_that_is_sent_twice_counts_twice(tmp_path: Path, queue: Queue) -> None:
    (tmp_path / "a.log").write_bytes(log_of(1))
    run("publish", "a.log", "a.log", "--to", queue.url)
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(2)


def test_a_queue_that_is_not_there_is_named_or_made(tmp_path: Path, broker: Broker) -> None:
    (tmp_path / "a.log").write_bytes(log_of(1))
    error = "there is no queue 'made' in the virtual host '/'; correct the name, or make it: --create of"
    for command in (("publish", "a.log"), ("generate", "--max-logs", 1)):
        refused = run(*command, "--to", broker.url("made"))
        assert (refused.exit_code, error in refused.stderr) == (69, True)
    assert run("publish", "a.log", "--to", broker.url("made"), "--create").exit_code == 0
    made = Queue(broker, "made")
    assert made.waiting() == 1
    made.close()


@pytest.mark.parametrize(
    ("port", "error"), [(None, "refuses the user or the password"), (1, "the broker cannot be reached")]
)
def test_a_broker_that_cannot_be_used_is_explained_without_the_password(
    tmp_path: Path, broker: Broker, port: int | None, error: str
) -> None:
    (tmp_path / "a.log").write_bytes(log_of(1))
    result = run("publish", "a.log", "--to", f"amqp://guest:s3cret@127.0.0.1:{port or broker.port}/?queue=x")
    assert (result.exit_code, error in result.stderr) == (69, True)
    assert "s3cret" not in result.output


def test_a_wrong_address_is_explained_with_an_example_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(log_of(1))
    result = run("publish", "a.log", "--to", "http://localhost/?queue=x")
    expected = "--to: found the scheme 'http', expected amqp://user:password@host:5672/vhost?queue=logs"
    assert (result.exit_code, expected in result.stderr) == (78, True)
    assert " or kafka://user:password@host:9092,host2:9092/topic" in result.stderr


def test_publish_names_a_file_that_is_missing_before_anything_is_sent(tmp_path: Path, queue: Queue) -> None:
    (tmp_path / "a.log").write_bytes(log_of(1))
    result = run("publish", "a.log", "missing.log", "--to", queue.url)
    assert (result.exit_code, queue.waiting()) == (66, 0)
    assert result.stderr.splitlines() == [
        "tailmetrics publish: missing.log cannot be read: No such file or directory",
        "Nothing was sent.",
    ]


def test_a_publisher_without_its_queue_leaves_no_connection_open(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    @contextmanager
    def watched(*arguments: Any) -> Iterator[Connection]:
        with connected(*arguments) as connection:
            try:
                yield connection
            finally:
                ended.append(connection)

    monkeypatch.setattr("tailmetrics.queues.publisher.connected", watched)
    publisher = Publisher(QueueUrl.parse(broker.url("nowhere")))
    with pytest.raises(QueueError, match="nowhere"), publisher:
        pass
    assert len(ended) == 1


def test_the_generator_sends_each_batch_as_a_log(tmp_path: Path, queue: Queue) -> None:
    options = ("--batch-size", 10, "--max-logs", 30, "--interval", 0, "--seed", 1)
    result = run("generate", "--to", queue.url, *options)
    assert (result.exit_code, "30 lines" in result.stderr, queue.waiting()) == (0, True, 3)
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(30)


def test_the_generator_sends_each_batch_of_tests_as_a_log_of_results(tmp_path: Path, queue: Queue) -> None:
    options = ("--batch-size", 10, "--max-logs", 30, "--interval", 0, "--log-format", "results")
    result = run("generate", "--to", queue.url, *options)
    assert (result.exit_code, "30 tests" in result.stderr, queue.waiting()) == (0, True, 3)


class Relay(socketserver.ThreadingTCPServer):
    """Stands between a client and a broker, until it lets nothing through any more."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._port = port
        self.is_silent = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request: Any, _: Any) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as broker:
            ends = {request: broker, broker: request}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if not self.is_silent:
                        ends[end].sendall(data)


@pytest.fixture
def relay(broker: Broker) -> Iterator[Relay]:
    with Relay(broker.port) as opened:
        yield opened
        opened.shutdown()


def test_the_generator_ends_soon_though_the_broker_says_nothing_any_more(queue: Queue, relay: Relay) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{relay.server_address[1]}/?queue={queue.name}"
    command = [sys.executable, "-m", "tailmetrics", "generate", "--interval", "0.01", "--to", url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as generator:
        await_that(lambda: queue.waiting() > 0, 30)
        relay.is_silent = True
        generator.send_signal(signal.SIGTERM)
        _, said = generator.communicate(timeout=30)
    assert (generator.returncode, "ended while the broker does not answer" in said) == (69, True)


def test_check_says_what_is_wrong_with_a_queue(broker: Broker, queue: Queue) -> None:
    good = run("check", "--log-file-path", queue.url)
    bad = run("check", "--log-file-path", broker.url("nowhere"))
    assert (good.exit_code, f"queue={queue.name} can be read" in good.stdout) == (0, True)
    assert (bad.exit_code, "there is no queue 'nowhere'" in bad.stdout) == (78, True)


def test_three_result_logs_over_the_broker_are_counted_as_by_hand(tmp_path: Path, queue: Queue) -> None:
    files = []
    for number, (apples, pears) in enumerate(RESULTS):
        file = tmp_path / f"test_{1_700_000_000 + number}.log"
        file.write_text(
            f"# Test: apples Test\n# This is apples Test\n# Who is apples?\n# Result: {apples}\n"
            f"# Test: pears Test\n# Result: {pears}\n"
        )
        files.append(file)
    assert run("publish", *files, "--to", queue.url).exit_code == 0
    with consuming(tmp_path, f"results={queue.url}") as running:
        running.await_counts(6)
    store = f"duckdb:///{tmp_path}/store.duckdb"
    report = run("report", "--store-url", store, "--format", "json", "--plot", "results.svg")
    found = {
        each["customer_id"]: (each["successful_requests"], each["failed_requests"])
        for each in json.loads(report.stdout)["customers"]
    }
    assert found == {"apples": (1, 2), "pears": (2, 1)}
    picture = (tmp_path / "results.svg").read_text()
    assert all(f">{text}<" in picture for text in ("apples", "pears", "3 passed, 3 failed, uptime 50.00 %"))
