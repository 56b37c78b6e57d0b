"""Processors and a real InfluxDB, killed and away: each line is there once then, and all answers hold.

The server is one of its own, as others may not be killed. INFLUXDB_TEST_KILLS, _LINES, _QUERIES and _SEED
make runs longer, or one as it was before.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.settings import Settings
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests import servers
from tests.integration.running import Service, await_that
from tests.stores.conftest import Ask
from tests.stores.influxdb.real.logs import GrowingLog, assert_each_once, line_of
from tests.stores.influxdb.server import environment_of, settings_of_bucket
from tests.stores.random_queries import RandomQueries, random_records

KILLS = int(os.environ.get("INFLUXDB_TEST_KILLS", "20"))
LINES = int(os.environ.get("INFLUXDB_TEST_LINES", "20000"))
QUERIES = int(os.environ.get("INFLUXDB_TEST_QUERIES", "200"))
SEED = int(os.environ.get("INFLUXDB_TEST_SEED") or secrets.randbelow(1_000_000))

SECONDS_A_KILL = 4.0
SETTLE_SECONDS = 120.0


@pytest.fixture(scope="module")
def influxdb() -> Iterator[servers.InfluxDB]:
    if servers.influxd() is None:
        pytest.skip("found no influxd to kill, expected one on the path, or INFLUXD=/path/to/influxd")
    with servers.running(servers.InfluxDB) as server:
        yield server


@pytest.fixture
def settings(influxdb: servers.InfluxDB) -> Settings:
    return settings_of_bucket(
        influxdb_url=influxdb.address, influxdb_org=influxdb.org, influxdb_token=influxdb.token
    )


@pytest.fixture
def store(settings: Settings) -> Iterator[InfluxDBStore]:
    """Opened by a process that lives on; it connects when it is asked."""
    opened = InfluxDBStore(settings)
    yield opened
    opened.close()


@pytest.fixture
def new_processor(tmp_path: Path, settings: Settings) -> Iterator[Callable[[], Service]]:
    """Makes processors, each of a log and a node of its own, which commit often; none is started yet."""
    with ExitStack() as made:

        def make() -> Service:
            name = f"processor-{len(list(tmp_path.iterdir()))}"
            folder = tmp_path / name
            folder.mkdir()
            own = {"NODE_ID": name, "STREAM_MAX_SIZE": "500"}
            service = Service(folder, str(folder / "x.log"), **environment_of(settings), **own)
            service.environment["METRICS_PORT"] = str(service.port)  # where `ingest` says that it is ready
            made.callback(service.close)
            return service

        yield make


def kill_at_random_moments(
    influxdb: servers.InfluxDB, processors: Sequence[Service], kills: int, chance: random.Random
) -> None:
    """`kill -9` of a processor, of the server, or of both, which are started again after a while."""
    for _ in range(kills):
        wait_up_to(SECONDS_A_KILL, chance)
        killed = chance.choice([*processors, None])
        with_server = killed is None or chance.random() < 0.2
        if killed is not None:
            killed.kill()
        if with_server:
            influxdb.stop()
            wait_up_to(SECONDS_A_KILL / 2, chance)
        if killed is not None:
            killed.start(command="ingest", wait=False)
        if with_server:
            influxdb.start()


def wait_up_to(seconds: float, chance: random.Random) -> None:
    threading.Event().wait(chance.uniform(0, seconds))


def await_lines(store: InfluxDBStore, ask: Ask[Any], count: int, explain: Callable[[], str]) -> None:
    """Wait until the positions are behind so many lines."""

    def lines() -> int:
        return int(ask(store.status()).records)

    await_that(lambda: lines() >= count, SETTLE_SECONDS, lambda: f"{lines()} of {count} lines\n{explain()}")


@pytest.mark.timeout(SETTLE_SECONDS * 2 + KILLS * SECONDS_A_KILL * 3 + QUERIES)
def test_answers_equal_brute_force_after_two_processors_and_the_server_were_killed_at_random_moments(
    influxdb: servers.InfluxDB, store: InfluxDBStore, new_processor: Callable[[], Service], ask: Ask[Any]
) -> None:
    print(f"INFLUXDB_TEST_SEED={SEED}")  # noqa: T201  # shown when it fails
    chance = random.Random(SEED)
    processors = [new_processor(), new_processor()]
    logs = [random_records(LINES // 2, SEED + place) for place in range(2)]
    with ExitStack() as growing:
        for processor, records in zip(processors, logs, strict=True):
            log = processor.folder / "x.log"
            growing.enter_context(GrowingLog(log, records, KILLS * SECONDS_A_KILL * 0.6, SEED))
            processor.start(command="ingest", wait=False)
        kill_at_random_moments(influxdb, processors, KILLS, chance)
    records = [record for log in logs for record in log]
    await_lines(store, ask, len(records), lambda: "\n".join(processor.said() for processor in processors))
    for processor in processors:
        await_that(processor.is_ready, 30, processor.said)  # the last kill may have been just now
        assert processor.end() == 0
    assert_each_once(store, ask, records)
    RandomQueries(store, ask, records, SEED).check(QUERIES)
    assert all("Traceback" not in processor.said() for processor in processors)


def test_a_server_that_is_killed_and_away_for_a_while_is_waited_for(
    influxdb: servers.InfluxDB, store: InfluxDBStore, new_processor: Callable[[], Service], ask: Ask[Any]
) -> None:
    records = random_records(3_000, SEED)
    service = new_processor()
    log = service.folder / "x.log"
    log.write_text("".join(map(line_of, records[:1_000])))
    service.start()
    service.await_total(1_000)
    influxdb.stop()
    with log.open("a") as stream:
        stream.writelines(map(line_of, records[1_000:2_000]))
    await_that(lambda: service.client.get("/ready").status_code == 503, 30, service.said)
    await_that(lambda: "the store is away" in service.said(), 30, service.said)
    assert service.client.get("/stats").status_code == 503
    influxdb.start()
    service.await_total(2_000, seconds=60)
    influxdb.pause()
    with log.open("a") as stream:
        stream.writelines(map(line_of, records[2_000:]))
    threading.Event().wait(5)
    influxdb.go_on()
    service.await_total(3_000, seconds=60)
    assert service.end() == 0
    assert_each_once(store, ask, records)
    assert "Traceback" not in service.said()


def test_a_processor_that_begins_while_the_server_is_away_waits_for_it(
    influxdb: servers.InfluxDB, store: InfluxDBStore, new_processor: Callable[[], Service], ask: Ask[Any]
) -> None:
    records = random_records(1_000, SEED)
    processor = new_processor()
    (processor.folder / "x.log").write_text("".join(map(line_of, records)))
    influxdb.stop()
    try:
        processor.start(command="ingest", wait=False)
        await_that(lambda: "influxdb" in processor.said().lower(), 30, processor.said)
    finally:
        influxdb.start()
    await_lines(store, ask, len(records), processor.said)
    await_that(processor.is_ready, 30, processor.said)
    assert processor.end() == 0
    assert_each_once(store, ask, records)
