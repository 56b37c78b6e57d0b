from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from tests.queues.broker import Broker, Queue

_numbers = itertools.count()
_ATTEMPTS = 3


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = started(tmp_path_factory)
    yield broker
    broker.close()


def started(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    """A broker that answers. One of its three ports may have been taken by somebody else meanwhile."""
    for attempt in range(_ATTEMPTS):
        broker = Broker(tmp_path_factory.mktemp("broker"))
        try:
            broker.start()
        except BaseException as error:
            broker.close()
            if attempt == _ATTEMPTS - 1 or not isinstance(error, AssertionError):
                raise
        else:
            return broker
    raise AssertionError("no attempt was made")


@pytest.fixture
def queue(broker: Broker) -> Iterator[Queue]:
    """A durable queue that is empty."""
    queue = Queue(broker, f"logs-{next(_numbers)}")
    yield queue
    queue.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
