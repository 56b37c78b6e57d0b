from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.queues.broker import Broker, Queue

_numbers = itertools.count()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture
def queue(broker: Broker) -> Iterator[Queue]:
    """A durable queue that is empty."""
    queue = Queue(broker, f"logs-{next(_numbers)}")
    yield queue
    queue.close()
