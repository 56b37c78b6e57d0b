"""The profile cluster on a real engine: ./run_tests.sh -m containers

It needs Docker with Compose, 16 GB of memory, and the images of Kafka, ClickHouse and Caddy.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.running import Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

ONE_OF_EACH = ("kafka2", "keeper3", "log_processor_cluster1", "api_cluster2")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("cluster"))
    try:
        started = stack.start("cluster")
        assert started.returncode == 0, started.stderr
        with stack.asking(stack.cluster_port):
            yield stack
    finally:
        stack.script("cleanup.sh", "--yes")
        stack.client.close()


def test_figures_grow_while_one_of_each_is_away_and_when_it_is_back(stack: Stack) -> None:
    stack.await_growth()
    for service in ONE_OF_EACH:
        stack.docker("kill", stack.container(service))
    stack.await_growth()
    before = stack.total()
    for service in ONE_OF_EACH:
        stack.docker("start", stack.container(service))
    for service in ONE_OF_EACH:
        stack.await_health(service)
    stack.await_growth()
    assert stack.total() > before


def test_questions_are_answered_while_a_replica_is_away_and_lines_wait_until_it_is_back(stack: Stack) -> None:
    before = stack.total()
    stack.docker("kill", stack.container("clickhouse11"))
    assert stack.get("/stats?every=none")["total_requests"] >= before
    stack.docker("start", stack.container("clickhouse11"))
    stack.await_health("clickhouse11")
    stack.await_growth()
