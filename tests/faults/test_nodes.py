"""One file under two names of nodes: after a node was renamed or moved, and while two nodes follow it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailmetrics.errors import PositionConflict
from tailmetrics.ingest.load import finish
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import Settings, load_settings
from tailmetrics.status import LoadProgress
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tests import servers
from tests.integration.running import await_that
from tests.stores.influxdb import server as influxdb
from tests.tailing.following import append, copy_truncate, numbered

Given = dict[str, str]  # settings that name a store

STORES: dict[str, Callable[[Path], Given]] = {
    "duckdb": lambda folder: {"store_url": f"duckdb:///{folder}/store.duckdb"},
    "sqlite": lambda folder: {"store_url": f"sqlite:///{folder}/store.sqlite"},
    "postgresql": lambda _: {"store_url": servers.postgresql().new_database()},
    "mariadb": lambda _: {"store_url": servers.mariadb().new_database()},
    "influxdb": lambda _: influxdb.given_bucket(),
}
SERVERS = [
    pytest.param(name, marks=pytest.mark.servers)
    for name in ("mariadb", "postgresql", *(["influxdb"] if influxdb.IS_GIVEN else []))
]
SHARED = ["sqlite", *SERVERS]  # where two processes may write
ALL = ["duckdb", *SHARED]

# By the first of the two that does not get through, as each store can tell.
TOLD = (
    r"reads this source: stop one of them|is read by process \d+ on .*, which is alive; stop one of the two"
)


@pytest.fixture(scope="module", autouse=True)
def _buckets_removed() -> Iterator[None]:
    with influxdb.buckets_removed():
        yield


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Given:
    return STORES[request.param](tmp_path)


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """Another folder for logs."""
    folder = tmp_path / "moved"
    folder.mkdir()
    return folder


def move(logs: Path, moved: Path) -> None:
    """What moving logs to another disk does: other inodes, the same bytes and times."""
    for path in list(logs.iterdir()):
        shutil.copy2(path, moved / path.name)
    for path in list(logs.iterdir()):
        path.unlink()


def compress(path: Path) -> Path:
    compressed = path.with_name(f"{path.name}.gz")
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return compressed


class Node:
    """The ingestion of one node into a store of its own opening."""

    def __init__(self, store: Given, node_id: str, pattern: Path | str) -> None:
        self.settings: Settings = load_settings(
            None,
            **store,
            node_id=node_id,
            log_file_path=str(pattern),
            rotated_hold_seconds=0.2,
            poll_interval_seconds=0.02,
            stream_max_wait_time_in_seconds=0.05,
        )
        self.ended = threading.Event()
        self.store: Store = open_store(self.settings)
        self.ingestion = Supervisor(self.settings, self.store, Metrics(), on_give_up=self.ended.set)
        self.ingestion.start()

    def count(self) -> int:
        status = asyncio.run(self.store.status())
        return status.records + status.rejects

    def await_end_of(self, log: Path) -> None:
        """Wait until a log is in the store to its present end, as the ingestion says."""
        size = log.stat().st_size
        await_that(
            lambda: any(
                (status.path, status.position, status.lag_bytes) == (str(log), size, 0)
                for status in self.ingestion.sources()
            ),
            30.0,
            lambda: f"{self.ingestion.sources()} {self.ingestion.state()}",
        )

    def load(self, log: Path, name: str | None = None) -> LoadProgress:
        """Load a log, as an upload where a name is given."""
        return finish(self.ingestion.start_load(log, name or str(log), None), lambda _: None)

    def stop(self) -> None:
        self.ingestion.stop()
        self.store.close()


@contextlib.contextmanager
def running(store: Given, node_id: str, pattern: Path | str) -> Iterator[Node]:
    node = Node(store, node_id, pattern)
    try:
        yield node
    finally:
        node.stop()


@pytest.mark.parametrize("store", ALL, indirect=True)
class TestARenamedNode:
    def test_goes_on_where_it_was(self, store: Given, log: Path) -> None:
        append(log, *numbered(0, 100))
        with running(store, "before", log) as node:
            node.await_end_of(log)
        append(log, *numbered(100, 120))
        for name in ("after", "once-more"):
            with running(store, name, log) as node:
                node.await_end_of(log)
                assert node.count() == 120

    def test_reads_the_rest_of_logs_that_rotated_meanwhile(self, store: Given, log: Path) -> None:
        append(log, *numbered(0, 100))
        with running(store, "before", log) as node:
            node.await_end_of(log)
        append(log, *numbered(100, 120))
        log.rename(log.with_suffix(".log.1"))
        append(log, *numbered(120, 150))
        with running(store, "after", log) as node:
            node.await_end_of(log)
            await_that(lambda: node.count() >= 150, 30.0)
            assert node.count() == 150

    @pytest.mark.parametrize("by_copy", [False, True], ids=["renamed, compressed", "copied and truncated"])
    def test_reads_the_rest_of_all_that_rotation_made_meanwhile(
        self, store: Given, log: Path, *, by_copy: bool
    ) -> None:
        append(log, *numbered(0, 100))
        with running(store, "before", log) as node:
            node.await_end_of(log)
        for last, name in ((120, "x.log.2"), (150, "x.log.1")):
            append(log, *numbered(last - 20, last))
            rotated = log.with_name(name)
            if by_copy:
                copy_truncate(log, rotated)
            else:
                log.rename(rotated)
                compress(rotated)
        append(log, *numbered(150, 200))
        for name in ("after", "once-more"):
            with running(store, name, log) as node:
                node.await_end_of(log)
                await_that(lambda: node.count() >= 190, 30.0, lambda: str(node.count()))
                assert node.count() == 190


@pytest.mark.parametrize("second", ["one", "two"], ids=["under its name", "under another name"])
@pytest.mark.parametrize("store", ALL, indirect=True)
class TestAMovedNode:
    def test_goes_on_where_it_was(
        self, store: Given, logs: Path, log: Path, moved: Path, second: str
    ) -> None:
        append(log, *numbered(0, 100))
        with running(store, "one", log) as node:
            node.await_end_of(log)
        move(logs, moved)
        log = moved / log.name
        for last, name in ((120, second), (140, second), (160, "three")):
            append(log, *numbered(last - 20, last))
            with running(store, name, log) as node:
                node.await_end_of(log)
                assert node.count() == last

    def test_goes_on_in_the_same_folder(self, store: Given, log: Path, second: str) -> None:
        append(log, *numbered(0, 100))
        with running(store, "one", log) as node:
            node.await_end_of(log)
        copy = log.with_name("copy")
        shutil.copy2(log, copy)
        copy.rename(log)
        append(log, *numbered(100, 120))
        with running(store, second, log) as node:
            node.await_end_of(log)
            assert node.count() == 120

    @pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
    def test_reads_the_rest_of_what_was_rotated(
        self, store: Given, logs: Path, log: Path, moved: Path, second: str, *, compressed: bool
    ) -> None:
        append(log, *numbered(0, 100))
        with running(store, "one", log) as node:
            node.await_end_of(log)
            log.rename(logs / "x.log.2")
            append(log, *numbered(100, 200))
            node.await_end_of(log)
        append(log, *numbered(200, 220))
        log.rename(logs / "x.log.1")
        append(log, *numbered(220, 240))
        if compressed:
            compress(logs / "x.log.1")
        move(logs, moved)
        log = moved / log.name
        for _ in range(2):
            with running(store, second, log) as node:
                node.await_end_of(log)
                await_that(lambda: node.count() >= 240, 30.0, lambda: str(node.count()))
                assert node.count() == 240


@pytest.mark.parametrize("store", ALL, indirect=True)
class TestLoads:
    def test_a_log_that_another_node_loaded_is_known_under_any_name(
        self, store: Given, logs: Path, log: Path
    ) -> None:
        append(log, *numbered(0, 100))
        with running(store, "one", logs / "none") as node:
            assert node.load(log).records == 100
        compressed = compress(log)
        with running(store, "two", logs / "none") as node:
            assert (node.load(compressed).already_loaded, node.count()) == (True, 100)

    def test_a_log_that_another_node_loaded_is_followed_from_its_end(self, store: Given, log: Path) -> None:
        append(log, *numbered(0, 100))
        with running(store, "one", log.with_name("none")) as node:
            assert node.load(log).records == 100
        append(log, *numbered(100, 120))
        with running(store, "two", log) as node:
            node.await_end_of(log)
            assert node.count() == 120

    def test_a_log_that_was_sent_to_another_node_adds_nothing(self, store: Given, log: Path) -> None:
        append(log, *numbered(0, 3))
        with running(store, "one", log.with_name("none")) as node:
            assert node.load(log, "sent").records == 3
        with running(store, "two", log.with_name("none")) as node:
            assert (node.load(log, "sent").already_loaded, node.count()) == (True, 3)


@pytest.mark.parametrize("store", SHARED, indirect=True)
class TestTwoNodesOnOneFile:
    def test_that_start_together_count_it_once_and_one_ends_with_words(self, store: Given, log: Path) -> None:
        append(log, *numbered(0, 5000))
        number = 5000
        with running(store, "one", log) as one, running(store, "two", log) as two:

            def one_has_ended() -> bool:
                nonlocal number
                append(log, *numbered(number, number + 10))
                number += 10
                return one.ended.is_set() or two.ended.is_set()

            await_that(one_has_ended, 60.0, lambda: f"{one.ingestion.state()} {two.ingestion.state()}")
            failure = one.ingestion.failure or two.ingestion.failure
            assert isinstance(failure, PositionConflict)
            assert re.search(TOLD, str(failure))
        with running(store, "one", log) as one:
            one.await_end_of(log)
            assert one.count() == number

    def test_a_log_that_comes_later_counts_once(self, store: Given, logs: Path, log: Path) -> None:
        with running(store, "one", log) as one, running(store, "two", log) as two:
            await_that(lambda: one.ingestion.state().name == "running", 30.0)
            await_that(lambda: two.ingestion.state().name == "running", 30.0)
            draft = logs / "draft"
            append(draft, *numbered(0, 1000))
            draft.rename(log)
            await_that(lambda: one.count() >= 1000, 30.0)
        with running(store, "one", log) as one:
            one.await_end_of(log)
            assert one.count() == 1000


@pytest.mark.parametrize("store", SHARED, indirect=True)
def test_a_log_that_is_sent_to_two_nodes_that_run_counts_once(store: Given, log: Path) -> None:
    append(log, *numbered(0, 100))
    nothing = log.with_name("none")
    with running(store, "one", nothing) as one, running(store, "two", nothing) as two:
        await_that(lambda: one.ingestion.state().name == two.ingestion.state().name == "running", 30.0)
        assert one.load(log, "sent").records == 100
        assert two.load(log, "sent").state == "done"
        assert two.count() == 100
        assert not two.ended.is_set()


@pytest.mark.parametrize("header", [[], ["# a header"]], ids=["plain", "with a header"])
@pytest.mark.parametrize("store", SHARED, indirect=True)
def test_logs_of_one_name_on_two_machines_with_one_node_id_both_count(
    store: Given, log: Path, moved: Path, header: list[str]
) -> None:
    other = moved / log.name
    append(log, *header, *numbered(0, 50))
    append(other, *header, *numbered(100, 170))
    for turn in range(2):
        append(log, *numbered(50 + turn, 51 + turn))
        append(other, *numbered(170 + turn, 171 + turn))
        with running(store, "one", log) as one, running(store, "one", other) as two:
            one.await_end_of(log)
            two.await_end_of(other)
            assert one.count() == 120 + 2 * (turn + 1) + 2 * len(header)


@pytest.mark.parametrize("store", SHARED, indirect=True)
def test_logs_of_two_machines_with_one_inode_and_one_header_both_count(
    store: Given, logs: Path, log: Path
) -> None:
    """The machines are one after the other, with a log of the same inode that begins with the same line."""
    header, size = "# a header", 0
    append(log, header, *numbered(0, 50))
    with running(store, "one", log) as one:
        one.await_end_of(log)
        size = one.count()
    os.truncate(log, 0)
    append(log, header, *numbered(100, 170))
    with running(store, "two", log) as two:
        two.await_end_of(log)
        assert two.count() == size + 71
