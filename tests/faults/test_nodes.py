"""One file under two names of nodes: after a node was renamed or moved, and while two nodes follow it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailmetrics.errors import PositionConflict
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import Settings, load_settings
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tests import servers
from tests.integration.running import await_that
from tests.tailing.following import append, numbered

STORES: dict[str, Callable[[Path], str]] = {
    "duckdb": lambda folder: f"duckdb:///{folder}/store.duckdb",
    "sqlite": lambda folder: f"sqlite:///{folder}/store.sqlite",
    "postgresql": lambda _: servers.postgresql().new_database(),
    "mariadb": lambda _: servers.mariadb().new_database(),
}
SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in ("mariadb", "postgresql")]
SHARED = ["sqlite", *SERVERS]  # where two processes may write


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param](tmp_path)


class Node:
    """The ingestion of one node into a store of its own opening."""

    def __init__(self, url: str, node_id: str, pattern: Path | str) -> None:
        self.settings: Settings = load_settings(
            None,
            store_url=url,
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

    def stop(self) -> None:
        self.ingestion.stop()
        self.store.close()


@contextlib.contextmanager
def running(url: str, node_id: str, pattern: Path | str) -> Iterator[Node]:
    node = Node(url, node_id, pattern)
    try:
        yield node
    finally:
        node.stop()


@pytest.mark.parametrize("url", ["duckdb", *SHARED], indirect=True)
class TestARenamedNode:
    def test_goes_on_where_it_was(self, url: str, log: Path) -> None:
        append(log, *numbered(0, 100))
        with running(url, "before", log) as node:
            node.await_end_of(log)
        append(log, *numbered(100, 120))
        for name in ("after", "once-more"):
            with running(url, name, log) as node:
                node.await_end_of(log)
                assert node.count() == 120

    def test_reads_the_rest_of_logs_that_rotated_meanwhile(self, url: str, log: Path) -> None:
        append(log, *numbered(0, 100))
        with running(url, "before", log) as node:
            node.await_end_of(log)
        append(log, *numbered(100, 120))
        log.rename(log.with_suffix(".log.1"))
        append(log, *numbered(120, 150))
        with running(url, "after", log) as node:
            node.await_end_of(log)
            await_that(lambda: node.count() >= 150, 30.0)
            assert node.count() == 150


@pytest.mark.parametrize("url", SHARED, indirect=True)
class TestTwoNodesOnOneFile:
    def test_that_start_together_count_it_once_and_one_ends_with_words(self, url: str, log: Path) -> None:
        append(log, *numbered(0, 5000))
        number = 5000
        with running(url, "one", log) as one, running(url, "two", log) as two:

            def one_has_ended() -> bool:
                nonlocal number
                append(log, *numbered(number, number + 10))
                number += 10
                return one.ended.is_set() or two.ended.is_set()

            await_that(one_has_ended, 60.0, lambda: f"{one.ingestion.state()} {two.ingestion.state()}")
            failure = one.ingestion.failure or two.ingestion.failure
            assert isinstance(failure, PositionConflict)
            assert "reads this source: stop one of them" in str(failure)
        with running(url, "one", log) as one:
            one.await_end_of(log)
            assert one.count() == number

    def test_a_log_that_comes_later_counts_once(self, url: str, logs: Path, log: Path) -> None:
        with running(url, "one", log) as one, running(url, "two", log) as two:
            await_that(lambda: one.ingestion.state().name == "running", 30.0)
            await_that(lambda: two.ingestion.state().name == "running", 30.0)
            draft = logs / "draft"
            append(draft, *numbered(0, 1000))
            draft.rename(log)
            await_that(lambda: one.count() >= 1000, 30.0)
        with running(url, "one", log) as one:
            one.await_end_of(log)
            assert one.count() == 1000


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_logs_of_two_machines_with_one_inode_and_one_header_both_count(
    url: str, logs: Path, log: Path
) -> None:
    """The machines are one after the other, with a log of the same inode that begins with the same line."""
    header, size = "# a header", 0
    append(log, header, *numbered(0, 50))
    with running(url, "one", log) as one:
        one.await_end_of(log)
        size = one.count()
    os.truncate(log, 0)
    append(log, header, *numbered(100, 170))
    with running(url, "two", log) as two:
        two.await_end_of(log)
        assert two.count() == size + 71
