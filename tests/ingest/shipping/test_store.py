"""Lines of files come to a topic, in order and without a gap, whatever happens on the way."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tailmetrics.errors import SettingsError, StoreUnavailable
from tailmetrics.service import run_ship
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch
from tailmetrics.stores import open_store
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tests import servers
from tests.builders import at, batch_of, source_of
from tests.ingest.shipping.shipping import SECONDS, Ship, await_lines, shipping
from tests.integration.running import await_that
from tests.kafka import Kafka
from tests.queues.kafka.reading import reading

pytestmark = pytest.mark.servers

LINE = b"2024-11-06 06:33:33 cust_1 /%08d 200 0.5\n"


def lines(begin: int, end: int) -> bytes:
    return b"".join(LINE % number for number in range(begin, end))


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


@pytest.fixture
def ship(tmp_path: Path, kafka: Kafka) -> Iterator[Ship]:
    ship = Ship(tmp_path, kafka.url(kafka.new_topic(4, name=f"shipped-{tmp_path.name}")))
    yield ship
    ship.kill()


def topic_of(tmp_path: Path) -> str:
    return f"shipped-{tmp_path.name}"


def test_files_are_in_the_topic_as_they_are_after_rotations_and_a_restart(
    tmp_path: Path, kafka: Kafka, ship: Ship
) -> None:
    topic, log = topic_of(tmp_path), ship.logs / "a.log"
    log.write_bytes(lines(0, 5000) + b"unfin")
    ship.start()
    await_lines(kafka, topic, 5000, ship.said)
    append(log, b"ished\n")
    log.rename(ship.logs / "a.log.1")
    log.write_bytes(lines(5000, 5100))
    await_lines(kafka, topic, 5101, ship.said)
    assert ship.end() == 0
    shutil.copy(log, ship.logs / "a.log.2")  # while nobody looks it is copied, and truncated
    log.write_bytes(lines(5100, 5300))
    ship.start()
    files = await_lines(kafka, topic, 5301, ship.said)
    assert ship.end() == 0
    assert sorted(files.values(), key=len) == [
        lines(5000, 5100),
        lines(5100, 5300),
        lines(0, 5000) + b"unfinished\n",
    ]


def test_each_file_is_in_one_partition_though_others_are_added(tmp_path: Path, kafka: Kafka) -> None:
    topic = kafka.new_topic(4)
    logs = [tmp_path / f"{number}.log" for number in range(8)]
    for begin, partitions in ((0, 4), (10, 9)):
        if partitions > 4:
            kafka.add_partitions(topic, partitions)
        for log in logs:
            append(log, lines(begin, begin + 10))
        with shipping(tmp_path, kafka.url(topic)):
            await_lines(kafka, topic, 8 * (begin + 10))
    places = {(message.key(), message.partition()) for message in kafka.messages(topic)}
    assert len(places) == 8
    assert {partition for _, partition in places} <= set(range(4))


def test_that_another_topic_gets_no_lines_that_were_sent_before_is_said(tmp_path: Path, kafka: Kafka) -> None:
    said = []
    for begin in (0, 10):
        topic = kafka.new_topic(1)
        append(tmp_path / "a.log", lines(begin, begin + 10))
        with capture_logs() as logged, shipping(tmp_path, kafka.url(topic)):
            await_that(lambda topic=topic: bool(list(kafka.messages(topic))), SECONDS)
        said.append(any("another topic" in line["event"] for line in logged))
    assert said == [False, True]


def test_what_a_reader_stores_is_what_stands_in_the_files_once(
    tmp_path: Path, kafka: Kafka, ship: Ship
) -> None:
    memory, log = Memory(), ship.logs / "a.log"
    log.write_bytes(lines(0, 3000))
    ship.start()
    with reading(kafka.url(topic_of(tmp_path)), InMemoryStore(memory)):
        for part in range(3, 6):
            await_that(lambda: memory.records.height > 0, SECONDS, ship.said)
            ship.kill()
            append(log, lines(1000 * part, 1000 * (part + 1)))
            log.rename(ship.logs / f"a.log.{part}")
            log.touch()
            ship.start()
        await_that(lambda: memory.records.height >= 6000, SECONDS, ship.said)
    assert ship.end() == 0
    assert sorted(memory.records["path"]) == [f"/{number:08}" for number in range(6000)]


def test_a_log_in_no_known_format_is_sent_line_by_line(tmp_path: Path, kafka: Kafka) -> None:
    topic = kafka.new_topic()
    (tmp_path / "a.log").write_bytes(b"nothing\nthat is known\n\xff\n")
    with shipping(tmp_path, kafka.url(topic) + "?lines=one", log_format="auto"):
        await_lines(kafka, topic, 3)
    assert [each.value() for each in kafka.messages(topic)] == [b"nothing\n", b"that is known\n", b"\xff\n"]


def test_a_line_that_the_topic_does_not_take_is_marked_and_said(tmp_path: Path, kafka: Kafka) -> None:
    topic = kafka.new_topic(max_message_bytes="100000")
    (tmp_path / "a.log").write_bytes(b"a\n" + b"x" * 150_000 + b"\nb\n")
    with capture_logs() as said, shipping(tmp_path, kafka.url(topic)):
        await_that(lambda: len(list(kafka.messages(topic))) == 3, SECONDS)
    headers = [dict(each.headers()) for each in kafka.messages(topic)]
    assert [each.get("tailmetrics-too-long") for each in headers] == [None, b"1", None]
    assert [each["tailmetrics-end"] for each in headers] == [b"2", b"150003", b"150005"]
    [warning] = [each for each in said if "their beginnings are sent" in each["event"]]
    assert (warning["lines"], warning["topic_takes_bytes"]) == (1, 100_000)


def test_a_topic_that_comes_later_is_waited_for(tmp_path: Path, kafka: Kafka) -> None:
    topic = f"later-{tmp_path.name}"
    (tmp_path / "a.log").write_bytes(lines(0, 10))
    with capture_logs() as said, shipping(tmp_path, kafka.url(topic)) as supervisor:
        await_that(lambda: supervisor.state().store_error is not None, SECONDS)
        assert f"there is no topic {topic!r}" in str(supervisor.state().store_error)
        kafka.new_topic(name=topic)
        assert list(await_lines(kafka, topic, 10).values()) == [lines(0, 10)]
        await_that(lambda: supervisor.state().store_error is None, SECONDS)
    events = [each["event"] for each in said]
    assert "the topic refuses this service, trying again until it is mended" in events


class _AwayAtFirst(InMemoryStore):
    """A store that does not answer when a position is to be stored for the first time."""

    is_away = True

    def write(self, batches: Sequence[Batch]) -> None:
        if self.is_away and any(batch.checkpoint.position for batch in batches):
            self.is_away = False
            raise StoreUnavailable("away")
        super().write(batches)


def test_while_positions_cannot_be_stored_nothing_is_sent_twice(tmp_path: Path, kafka: Kafka) -> None:
    topic, memory = kafka.new_topic(), Memory()
    (tmp_path / "a.log").write_bytes(lines(0, 10))
    with shipping(tmp_path, kafka.url(topic), _AwayAtFirst(memory)) as supervisor:
        await_that(lambda: [each.lag_bytes for each in supervisor.sources()] == [0], SECONDS)
    assert [message.value() for message in kafka.messages(topic)] == [lines(0, 10)]


@pytest.mark.nightly
def test_positions_wait_for_brokers_that_are_away_and_the_end_does_not(tmp_path: Path) -> None:
    with servers.running(Kafka) as kafka:
        topic = kafka.new_topic(2)
        ship = Ship(tmp_path, kafka.url(topic))
        log = ship.logs / "a.log"
        log.write_bytes(lines(0, 100))
        ship.start()
        try:
            await_lines(kafka, topic, 100, ship.said)
            kafka.stop()
            append(log, lines(100, 200))
            ship.await_said("the topic is away, trying again")
            assert ship.end() == 0
            append(log, lines(200, 300))
            ship.start()
            kafka.start()
            files = await_lines(kafka, topic, 300, ship.said)
            assert ship.end() == 0
        finally:
            ship.kill()
        assert list(files.values()) == [lines(0, 300)]


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_kills_rotations_and_brokers_that_die_lose_and_double_nothing(tmp_path: Path) -> None:
    chance, parts, size = random.Random(3), 20, 50_000
    with servers.running(Kafka) as kafka:
        topic = kafka.new_topic(3)
        ship = Ship(tmp_path, kafka.url(topic))
        log = ship.logs / "a.log"
        try:
            for part in range(parts):
                ship.start()
                append(log, lines(size * part, size * (part + 1)))
                await_lines(kafka, topic, size * part + chance.randrange(size), ship.said)
                if part % 3 == 1:
                    kafka.stop()
                    kafka.start()
                ship.kill()
                if part % 2:
                    log.rename(ship.logs / f"a.log.{part}")
            ship.start()
            append(ship.logs / "last.log", lines(size * parts, size * parts + 1))
            files = await_lines(kafka, topic, size * parts + 1, ship.said)
            assert ship.end() == 0
        finally:
            ship.kill()
    sent = sorted(line for content in files.values() for line in content.splitlines(keepends=True))
    assert sent == [LINE % number for number in range(size * parts + 1)]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "SHIP_TO: found none, expected a topic"),
        ({"log_file_path": "kafka://b/t"}, "found a queue or a topic, expected files"),
        ({"log_file_path": "amqp://b/?queue=q"}, "found a queue or a topic, expected files"),
    ],
)
def test_what_cannot_be_shipped_is_said(values: dict[str, str], said: str) -> None:
    ship_to = {"ship_to": "kafka://b/t"} if values else {}
    with pytest.raises(SettingsError, match=said):
        run_ship(load_settings(None, **values, **ship_to))


def test_a_store_of_records_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.sqlite"
    with contextlib.closing(open_store(load_settings(None, store_url=url))) as store:
        batch = batch_of(store.register(source_of()), [(at("2024-10-01 00:00:00"), "a", "/", 200, 1.0)])
        store.write([batch])
    settings = load_settings(None, ship_to="kafka://b/t", ship_store_url=url, metrics_port=0)
    with pytest.raises(
        SettingsError, match=r"SHIP_STORE_URL: found records in .* \(1\), expected a store of"
    ):
        run_ship(settings)


def test_many_topics_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"SHIP_TO: found .* expected one topic, not a glob"):
        load_settings(None, ship_to="kafka://b/logs*")
