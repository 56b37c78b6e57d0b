"""How fast messages of a topic become committed rows, beside a plain `consume()` loop that only counts them.

The broker is the one of the tests, on this machine, and takes part of it in both; so does ClickHouse's engine
with `--store clickhouse`, behind the tests' front, unless CLICKHOUSE_TEST_URL names a server. Each side runs
in a process of its own, in turn, several times; figures are medians. Seconds are those from the first message
(of the loop) or from the start of the service to the last message, or its commit; imports are not in them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SECONDS = 600.0


def consume(addresses: str, topic: str, messages: int, _store: str) -> float:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": addresses,
            "group.id": f"plain-{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    began = time.perf_counter()
    count = 0
    while count < messages:
        got = len(consumer.consume(10_000, 1.0))
        if not count:
            began = time.perf_counter()
        count += got
    seconds = time.perf_counter() - began
    consumer.close()
    return seconds


def service(addresses: str, topic: str, messages: int, store_url: str) -> float:
    import logging

    from tailmetrics.ingest.supervisor import Supervisor
    from tailmetrics.process import defer_garbage_collection, resume_garbage_collection
    from tailmetrics.settings import load_settings
    from tailmetrics.stores import open_store
    from tailmetrics.telemetry.metrics import Metrics

    logging.disable(logging.INFO)
    defer_garbage_collection()  # as the commands do
    url = f"kafka://{addresses}/{topic}?group=service-{time.time_ns()}"
    settings = load_settings(None, log_file_path=url, log_format="requests", store_url=store_url)
    store = open_store(settings)
    supervisor = Supervisor(settings, store, Metrics())
    resume_garbage_collection()
    began = time.perf_counter()
    supervisor.start()
    while sum(max(0, status.position) for status in supervisor.sources()) < messages:
        time.sleep(0.02)
        if time.perf_counter() - began > SECONDS:
            raise SystemExit(f"not read in {SECONDS:g} s: {supervisor.state()} {supervisor.sources()}")
    seconds = time.perf_counter() - began
    supervisor.stop()
    store.close()
    return seconds


def seconds_of(side: Callable[[str, str, int, str], float], *given: object) -> float:
    """The seconds that a side takes in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(side, given)


def fill(addresses: str, topic: str, messages: int, partitions: int) -> None:
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": addresses,
            "linger.ms": 50,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )
    for number in range(messages):
        line = b"2024-11-06 06:33:%02d cust_%d /api/v1/resource%d 200 0.%03d" % (
            number // 1000 % 60,
            number % 50,
            number % 7,
            number % 997,
        )
        while True:
            try:
                producer.produce(topic, line, partition=number // 1000 % partitions)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--store", choices=("duckdb", "clickhouse"), default="duckdb")
    options = parser.parse_args()
    from tests.kafka import Kafka
    from tests.servers import ClickHouse, running

    with ExitStack() as stack:
        broker = stack.enter_context(running(Kafka))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        engine = stack.enter_context(running(ClickHouse)) if options.store == "clickhouse" else None
        topic = broker.new_topic(options.partitions)
        fill(broker.addresses, topic, options.messages, options.partitions)
        plain, ours = [], []
        for run in range(options.runs):
            given = (broker.addresses, topic, options.messages)
            plain.append(seconds_of(consume, *given, ""))
            store = engine.new_database() if engine else f"duckdb:///{folder}/{run}.duckdb"
            ours.append(seconds_of(service, *given, store))
            print(f"{plain[-1]:.2f} s, {ours[-1]:.2f} s", flush=True)
    loop, stored = statistics.median(plain), statistics.median(ours)
    pairs = [one / other for one, other in zip(plain, ours, strict=True)]
    print(f"plain consume() loop: {options.messages / loop:10,.0f} messages/s")
    print(
        f"into {options.store:16} {options.messages / stored:10,.0f} messages/s, "
        f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f}) of the loop"
    )


if __name__ == "__main__":
    main()
