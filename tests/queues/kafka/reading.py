"""A service that reads a topic into a store in memory, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Producer

from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import load_settings
from tailmetrics.sources import unpacked
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import Store
from tailmetrics.stores.in_memory import Memory
from tailmetrics.telemetry.metrics import Metrics
from tests.integration.running import await_that
from tests.kafka import Kafka

SECONDS = 30.0
_LINE = "2024-11-06 06:33:33 {customer} /a 200 0.5"


def line(customer: str) -> bytes:
    """A line of the format `requests`."""
    return _LINE.format(customer=customer).encode()


def send(kafka: Kafka, topic: str, values: Sequence[bytes | None], partition: int = 0, **more: Any) -> None:
    """Have messages in a partition, each with the same key and headers if any are given."""
    producer = Producer({"bootstrap.servers": kafka.addresses, "linger.ms": 5, "compression.type": "lz4"})
    for value in values:
        producer.produce(topic, value, partition=partition, **more)
    assert producer.flush(SECONDS) == 0


@contextmanager
def reading(url: str, store: Store, **settings: Any) -> Iterator[Supervisor]:
    """A service that reads a URL until the context ends."""
    values = {"log_file_path": url, "log_format": "requests", "node_id": "node"} | settings
    supervisor = Supervisor(load_settings(None, **values), store, Metrics())
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
    assert supervisor.failure is None


def customers(memory: Memory) -> list[str]:
    """The customers of all records, in the order in which these were stored."""
    return memory.records["customer_id"].to_list()


def places(memory: Memory) -> list[tuple[int, int]]:
    """The offset in Kafka and the line of each record."""
    return [unpacked(place) for place in memory.records["offset"]]


def await_customers(memory: Memory, expected: Sequence[str]) -> None:
    """Wait for so many records, and expect these, in any order."""
    await_that(lambda: memory.records.height >= len(expected), SECONDS, lambda: str(customers(memory)))
    assert sorted(customers(memory)) == sorted(expected)


def status_of(supervisor: Supervisor, path: str) -> SourceStatus | None:
    """What the service says of a source by the end of its path."""
    return next((each for each in supervisor.sources() if each.path.endswith(path)), None)


def await_lag(supervisor: Supervisor, path: str, messages: int = 0) -> SourceStatus:
    """Wait until a partition is so many messages behind."""

    def is_so() -> bool:
        status = status_of(supervisor, path)
        return status is not None and status.lag_messages == messages and status.size > 0

    await_that(is_so, SECONDS, lambda: str(supervisor.sources()))
    status = status_of(supervisor, path)
    assert status is not None
    return status
