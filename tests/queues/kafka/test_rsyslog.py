"""rsyslog follows files and sends their lines to Kafka, and they are read from there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tests.integration.running import await_that
from tests.kafka import Kafka
from tests.queues.kafka.reading import SECONDS, reading

pytestmark = pytest.mark.servers

LINES = int(os.environ.get("RSYSLOG_LINES", "2000"))  # of each of two files
_CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="omkafka")
template(name="envelope" type="list" option.jsonf="on") {{
    property(outname="timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="file" name="$!metadata!filename" format="jsonf")
    property(outname="message" name="msg" format="jsonf")
}}
ruleset(name="ship") {{
    action(type="omkafka" broker=["{broker}"] topic="{topic}" template="envelope" confParam=["linger.ms=20"]
           resubmitOnFailure="on" action.resumeRetryCount="-1")
}}
input(type="imfile" file="{folder}/*.log" tag="shop" addMetadata="on" ruleset="ship")
"""


def test_each_line_of_rsyslog_counts_once_with_its_host_and_file(kafka: Kafka, tmp_path: Path) -> None:
    memory, topic = Memory(), kafka.new_topic(3)
    for name in ("a", "b"):
        lines = (f"2024-11-06 06:33:33 {name} /{number} 200 0.5\n" for number in range(LINES))
        (tmp_path / f"{name}.log").write_text("".join(lines))
    configuration = tmp_path / "rsyslog.conf"
    configuration.write_text(_CONFIGURATION.format(folder=tmp_path, broker=kafka.addresses, topic=topic))
    command = ["/usr/sbin/rsyslogd", "-n", "-f", configuration, "-i", tmp_path / "pid"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        url = kafka.url(topic)
        with reading(url, InMemoryStore(memory), log_format="auto", log_customer="envelope:file"):
            await_that(
                lambda: memory.records.height >= 2 * LINES,
                20 * SECONDS,
                lambda: f"{memory.records.height} {memory.rejects[:3]} {(tmp_path / 'said').read_text()}",
            )
    finally:
        process.terminate()
        process.wait(SECONDS)
    assert memory.rejects == []
    found = memory.records.group_by("customer_id").agg("path").sort("customer_id")
    assert found["customer_id"].to_list() == [f"{tmp_path}/{name}.log" for name in ("a", "b")]
    for paths in found["path"]:
        assert sorted(int(path[1:]) for path in paths) == list(range(LINES))
    hosts = {json.loads(message.value())["host"] for message in kafka.messages(topic)}
    assert hosts == {socket.gethostname().partition(".")[0]}
