"""Messages of a real broker, from the queue into the store."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tailmetrics.api.app import create_app
from tailmetrics.queues import QueueUrl
from tests.api.serving import serving
from tests.integration.running import await_that, free_port
from tests.queues.broker import Broker, Queue
from tests.queues.consuming import AWAIT_SECONDS, consuming, log_of, paths, rows

RESULTS = b"# Test: apples Test\n# Who is apples?\n# Result: PASS\n# Test: pears\n# Result: FAIL\n"


def test_each_message_is_a_log_and_is_acknowledged_when_it_is_stored(tmp_path: Path, queue: Queue) -> None:
    queue.send(log_of(1, 3), log_of(2, 2))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(5)
        queue.send(log_of(3))
        running.await_counts(6)
    assert paths(tmp_path) == ["/1/0", "/1/1", "/1/2", "/2/0", "/2/1", "/3/0"]
    assert queue.waiting() == 0


def test_messages_of_another_format_are_named_and_dated_by_header_or_first_line(
    tmp_path: Path, queue: Queue
) -> None:
    queue.send(RESULTS, headers={"file-name": "test_1700000000.log"})
    queue.send(b"test_1700000001.log\r\n" + RESULTS, headers={"first-line": "name"})
    queue.send(RESULTS, timestamp=1_700_000_002, message_id="third")
    with consuming(tmp_path, f"results={queue.url}") as running:
        running.await_counts(6)
    found = rows(
        tmp_path, "SELECT DISTINCT path, epoch(timestamp)::BIGINT AS time FROM records ORDER BY time"
    )
    assert found == [
        ("test_1700000000.log", 1_700_000_000),
        ("test_1700000001.log", 1_700_000_001),
        ("third", 1_700_000_002),
    ]


def test_the_address_may_say_that_the_first_line_is_the_name(tmp_path: Path, queue: Queue) -> None:
    queue.send(b"\xef\xbb\xbftest_5.log\n" + RESULTS)
    with consuming(tmp_path, f"results={queue.url}&first_line=name") as running:
        running.await_counts(2)
    assert rows(tmp_path, "SELECT DISTINCT path FROM records") == [("test_5.log",)]


def test_a_message_with_the_same_id_counts_once(tmp_path: Path, queue: Queue) -> None:
    queue.send(log_of(1), log_of(1), message_id="a")
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(1)
        queue.send(log_of(1), message_id="a")
        queue.send(log_of(2), message_id="b")
        running.await_counts(2)
    with consuming(tmp_path, queue.url) as running:
        queue.send(log_of(1), message_id="a")
        queue.send(log_of(3), message_id="c")
        running.await_counts(3)
    assert queue.waiting() == 0


def test_the_same_id_with_other_content_is_another_log(tmp_path: Path, queue: Queue) -> None:
    queue.send(log_of(1), log_of(2), message_id="1")
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(2)


def test_equal_logs_sent_on_purpose_count_each(tmp_path: Path, queue: Queue) -> None:
    queue.send(log_of(1), log_of(1))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(2)
        queue.send(log_of(1))
        running.await_counts(3)


def test_a_message_that_was_never_stored_counts_when_it_is_delivered_again(
    tmp_path: Path, queue: Queue
) -> None:
    queue.send(log_of(1))
    queue.take_and_return()
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(1)
        # The first was acknowledged for sure, so this is another one, whatever its flag says.
        await_that(lambda: acknowledged(running) == 1, AWAIT_SECONDS)
        queue.send(log_of(1))
        running.await_counts(2)


def acknowledged(running) -> int:  # type: ignore[no-untyped-def]
    """Messages without an id of which the store knows that they will not come again."""
    sources = running.store._writer.sources.values()
    return sum(source.position > source.checkpoint.head_length for source in sources)


def test_an_empty_message_is_taken_and_nothing_is_stored(tmp_path: Path, queue: Queue) -> None:
    queue.send(b"", log_of(1))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(1)
    assert queue.waiting() == 0
    assert rows(tmp_path, "SELECT count(*) FROM sources") == [(1,)]


@pytest.mark.parametrize(
    ("body", "rejects"), [(b"no log at all", 1), (bytes(range(256)) * 3, 4), (b"\0" * 3_000_000, 1)]
)
def test_what_cannot_be_read_is_rejected_and_acknowledged(
    tmp_path: Path, queue: Queue, body: bytes, rejects: int
) -> None:
    queue.send(body, message_id="poison")
    queue.send(log_of(1))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(1, rejects)
    assert queue.waiting() == 0
    names = rows(tmp_path, "SELECT DISTINCT path FROM rejects JOIN sources USING (source_key)")
    assert names == [(f"{queue.name}/poison",)]


def test_a_message_of_200_megabytes_is_one_log(tmp_path: Path, queue: Queue) -> None:
    line = b"2024-10-10 08:00:00 customer_1 /%s 200 0.1\n" % (b"x" * 10_000)
    queue.send(line * (200_000_000 // len(line)))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(200_000_000 // len(line))
    assert queue.waiting() == 0


def test_a_message_of_three_days_ago_is_a_message(tmp_path: Path, queue: Queue) -> None:
    queue.send(RESULTS, timestamp=int(time.time()) - 3 * 86_400)
    with consuming(tmp_path, f"results={queue.url}") as running:
        running.await_counts(2)
    [(age,)] = rows(tmp_path, "SELECT DISTINCT round((epoch(now()) - epoch(timestamp)) / 86400) FROM records")
    assert age == 3


def test_a_process_that_ends_within_a_large_message_goes_on_there(tmp_path: Path, queue: Queue) -> None:
    lines = 50_000
    queue.send(log_of(7, lines), message_id="large")
    with consuming(
        tmp_path, queue.url, chunk_bytes=4096, max_line_bytes=4096, stream_max_size=500
    ) as running:
        await_that(lambda: running.counts()[0] > 0, AWAIT_SECONDS)
        running.ingestion.stop()
        begun = running.counts()[0]
    assert 0 < begun < lines
    with consuming(tmp_path, queue.url, chunk_bytes=10_000, max_line_bytes=4096) as running:
        running.await_counts(lines)
    assert rows(tmp_path, "SELECT count(DISTINCT path) FROM records") == [(lines,)]


def test_more_messages_than_are_remembered_leave_no_more_positions(tmp_path: Path, queue: Queue) -> None:
    queue.send(*(log_of(number) for number in range(200)))
    for number in range(200):
        queue.send(log_of(number), message_id=str(number))
    with consuming(tmp_path, queue.url, max_sources_remembered=50) as running:
        running.await_counts(400)
    with consuming(tmp_path, queue.url, max_sources_remembered=50) as running:
        queue.send(log_of(1), message_id="x")
        queue.send(log_of(1))
        running.await_counts(402)
    [(positions,)] = rows(tmp_path, "SELECT count(*) FROM sources")
    assert positions <= 2 * 50 + 2


def test_a_queue_that_is_not_there_is_named_and_read_once_it_is(tmp_path: Path, broker: Broker) -> None:
    with consuming(tmp_path, broker.url("nowhere")) as running:
        status = running.await_error("there is no queue 'nowhere' in the virtual host '/'")
        assert status.state == "unreadable"
        queue = Queue(broker, "nowhere")
        queue.send(log_of(1))
        running.await_counts(1)
        assert running.status().last_error is None
        queue.delete()
        running.await_error("there is no queue 'nowhere'")
        queue.close()


@pytest.mark.parametrize("user", ["guest", "nobody"])
def test_wrong_credentials_are_told_and_not_shown(
    tmp_path: Path, broker: Broker, capsys: pytest.CaptureFixture[str], user: str
) -> None:
    error = "the broker refuses the user or the password in the URL"
    with consuming(tmp_path, broker.url("logs", user, "s3cret")) as running:
        status = running.await_error(error)
        with serving(
            create_app(running.settings, running.store, running.ingestion, running.metrics)
        ) as client:
            shown = client.get("/ready").text + client.get("/metrics").text
    output = capsys.readouterr()
    assert error in shown
    assert "s3cret" not in str(status) + shown + output.out + output.err


def test_a_virtual_host_that_is_not_there_is_named(tmp_path: Path, broker: Broker) -> None:
    with consuming(tmp_path, broker.url("logs", vhost="elsewhere")) as running:
        running.await_error("the broker refuses the virtual host 'elsewhere'")


def test_a_broker_that_is_away_is_told_in_ready_and_metrics(tmp_path: Path) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/?queue=logs"
    with consuming(tmp_path, url) as running:
        running.await_error("the broker cannot be reached (ConnectionRefusedError")
        with serving(
            create_app(running.settings, running.store, running.ingestion, running.metrics)
        ) as client:
            ready = client.get("/ready")
            metrics = client.get("/metrics").text
    [source] = ready.json()["sources"]
    assert (ready.status_code, source["state"], source["path"]) == (
        200,
        "unreadable",
        url.replace("guest:guest@", ""),
    )
    assert f'tailmetrics_source_up{{path="{source["path"]}",source=""}} 0.0' in metrics


def test_messages_in_another_format_are_told_of_their_queue(tmp_path: Path, queue: Queue) -> None:
    queue.send(log_of(1, 2), log_of(2, 3))
    with consuming(tmp_path, f"json={queue.url}") as running:
        await_that(lambda: "5 of the latest 5 lines" in str(running.ingestion.sources()), AWAIT_SECONDS)
        [status] = running.ingestion.sources()
    [warning] = status.warnings
    assert (status.source_id, status.format, warning.kind) == ("", "json", "rejects")
    assert warning.text.startswith(f"5 of the latest 5 lines of {status.path} (100%) could not be read")
    assert warning.text.endswith("; LOG_FILE_PATH says how they are read")


def test_messages_are_not_listed_as_files(tmp_path: Path, queue: Queue) -> None:
    queue.send(log_of(1), log_of(2))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(2)

        def stored_states() -> set[str]:
            return {status.state for status in asyncio.run(running.store.status()).sources}

        # The last that was stored may be from before there was a connection.
        await_that(lambda: stored_states() <= {"live"}, AWAIT_SECONDS, lambda: str(stored_states()))
        assert [status.path for status in running.ingestion.sources()] == [str(QueueUrl.parse(queue.url))]
