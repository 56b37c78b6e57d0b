"""How quickly `tailmetrics ship` brings a log to a topic, beside a producer that has its lines in memory.

Both send to a broker of their own on the loopback with `acks=all`, idempotently, compressed with lz4. The
plain producer sends the lines in blocks of 64 KiB, as ship does, and then each line as a message. Sides take
turns, figures are medians.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx
from confluent_kafka import Producer
from tests.integration.running import free_port
from tests.kafka import Kafka
from tests.servers import running

from ingest import write_log

GOAL = 0.6
BLOCK_BYTES = 64 * 1024
PRODUCER = {"acks": "all", "enable.idempotence": True, "compression.type": "lz4"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", action="store_true", help="only blocks, not each line as a message")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running(Kafka) as kafka:
        log = Path(name) / "requests.log"
        write_log(log, arguments.lines)
        data = log.read_bytes()
        print(f"{arguments.lines:,} lines, {len(data) / 1e6:.0f} MB, {arguments.partitions} partitions")
        sides = {
            "plain, blocks": lambda: plain(kafka, arguments.partitions, blocks(data)),
            "ship": lambda: ship(kafka, arguments.partitions, log, arguments.lines, ""),
            "plain, lines": lambda: plain(kafka, arguments.partitions, data.splitlines(keepends=True)),
            "ship ?lines=one": lambda: ship(kafka, arguments.partitions, log, arguments.lines, "?lines=one"),
        }
        if arguments.blocks:
            sides = dict(list(sides.items())[:2])
        figures: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, measure in sides.items():
                figures[side].append(measure())
        seconds = {}
        for side, measured in figures.items():
            seconds[side] = statistics.median(each[0] for each in measured)
            cpu = statistics.median(each[1] for each in measured)
            rate = arguments.lines / seconds[side]
            print(f"{side:16} {seconds[side]:6.2f} s, {rate / 1e6:5.2f} M lines/s, {cpu:6.2f} s of CPU")
        for plain_side, side in (("plain, blocks", "ship"), ("plain, lines", "ship ?lines=one")):
            if side in seconds:
                share = seconds[plain_side] / seconds[side]
                print(f"{side}: {share:.2f} of the plain producer (goal {GOAL})")


def blocks(data: bytes) -> list[bytes]:
    found, begin = [], 0
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + BLOCK_BYTES) + 1 or len(data)
        found.append(data[begin:end])
        begin = end
    return found


def plain(kafka: Kafka, partitions: int, messages: list[bytes]) -> tuple[float, float]:
    """Seconds, and seconds of CPU, until the broker has all messages."""
    topic = kafka.new_topic(partitions)
    producer = Producer({"bootstrap.servers": kafka.addresses, **PRODUCER})
    producer.list_topics(topic)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    for message in messages:
        while True:
            try:
                producer.produce(topic, message)
                break
            except BufferError:
                producer.poll(0.01)
    while producer.flush(1):
        pass
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    kafka.delete_topic(topic)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ship(kafka: Kafka, partitions: int, log: Path, lines: int, parameters: str) -> tuple[float, float]:
    """Seconds, and seconds of CPU, from the log's appearing until all is in the topic, and that is stored."""
    topic = kafka.new_topic(partitions)
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "warm.log").write_bytes(b"2024-10-10 00:00:00 cust_1 /a 200 0.1\n")
        environment = {
            **os.environ,
            "LOG_FILE_PATH": f"{folder}/*.log",
            "SHIP_TO": kafka.url(topic) + parameters,
            "SHIP_STORE_URL": f"duckdb:///{folder}/ship.duckdb",
            "METRICS_PORT": str(port),
            "LOGGING_LEVEL": "WARNING",
        }
        process = subprocess.Popen([sys.executable, "-m", "tailmetrics", "ship"], env=environment)
        try:
            wait_until_stored(port, 1)
            before, began = cpu_seconds(process.pid), time.perf_counter()
            os.link(log, folder / "requests.log")
            wait_until_stored(port, 1 + lines)
            seconds, cpu = time.perf_counter() - began, cpu_seconds(process.pid) - before
        finally:
            process.terminate()
            process.wait(30)
    kafka.delete_topic(topic)
    return seconds, cpu


def wait_until_stored(port: int, lines: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        except httpx.TransportError:
            metrics = ""
        stored = re.search(r"^tailmetrics_lines_total (\S+)", metrics, re.MULTILINE)
        if stored is not None and float(stored[1]) == lines:
            return
        time.sleep(0.05)
    raise SystemExit("the log was not sent within five minutes")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
