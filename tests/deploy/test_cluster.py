"""The parts of the profile cluster fit together, as far as it can be seen without its images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tailmetrics.cli.commands import main
from tests import kafka
from tests.deploy.test_proxy import program
from tests.paths import ROOT

FOLDER = ROOT / "deploy" / "clickhouse"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
BROKERS = ("kafka1", "kafka2", "kafka3")
KEEPERS = ("keeper1", "keeper2", "keeper3")
REPLICAS = ("clickhouse11", "clickhouse12", "clickhouse21", "clickhouse22")

# What the engine makes of the file of a server.
_ASKED = """
import chdb, json, sys
engine = chdb.connect(f":memory:?config-file={sys.argv[1]}")
def rows(sql):
    return [json.loads(line) for line in str(engine.query(sql, "JSONCompactEachRow")).splitlines()]
print(json.dumps({
    "cluster": rows("SELECT shard_num, host_name, port, internal_replication FROM system.clusters"
                    " WHERE cluster = 'tailmetrics' ORDER BY shard_num, replica_num"),
    "macros": rows("SELECT macro, substitution FROM system.macros"),
}))
"""


def environment_of(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def tree(name: str) -> ET.Element:
    return ET.parse(FOLDER / name).getroot()  # noqa: S314  # the project's own file


def values(name: str, tag: str) -> list[str | None]:
    """The texts of all elements of this tag, in the order of the file."""
    return [element.text for element in tree(name).iter(tag)]


def asked_of_the_environment(name: str) -> set[str]:
    return {element.attrib["from_env"] for element in tree(name).iter() if "from_env" in element.attrib}


@pytest.mark.slow
def test_the_engine_reads_which_server_it_is_and_which_others_there_are() -> None:
    server = "clickhouse21"
    done = subprocess.run(
        [sys.executable, "-c", _ASKED, FOLDER / "server.xml"],
        env={**os.environ, **environment_of(server)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["cluster"] == [[int(name[-2]), name, 9000, 1] for name in REPLICAS]
    assert dict(answer["macros"]) == {"cluster": "tailmetrics", "shard": "2", "replica": server}
    given = [
        (environment_of(name)["CLICKHOUSE_SHARD"], environment_of(name)["CLICKHOUSE_REPLICA"])
        for name in REPLICAS
    ]
    assert given == [(name[-2], name) for name in REPLICAS]


@pytest.mark.parametrize(
    ("name", "services"), [("server.xml", REPLICAS), ("users.xml", REPLICAS), ("keeper.xml", KEEPERS)]
)
def test_what_a_file_takes_from_the_environment_is_given_and_the_file_is_there(
    name: str, services: tuple[str, ...]
) -> None:
    for service in services:
        assert asked_of_the_environment(name) <= environment_of(service).keys()
        assert any(
            volume.startswith(f"./deploy/clickhouse/{name}:") for volume in SERVICES[service]["volumes"]
        )


def test_keepers_know_each_other_and_the_servers_know_the_keepers() -> None:
    assert values("keeper.xml", "hostname") == list(KEEPERS)
    assert values("keeper.xml", "id") == [environment_of(name)["KEEPER_ID"] for name in KEEPERS]
    [zookeeper] = tree("server.xml").iter("zookeeper")
    assert [node.findtext("host") for node in zookeeper] == list(KEEPERS)
    assert {node.findtext("port") for node in zookeeper} == set(values("keeper.xml", "tcp_port"))
    assert all(SERVICES[name]["hostname"] == name for name in (*KEEPERS, *REPLICAS, *BROKERS))


@pytest.mark.parametrize("name", [name for name in SERVICES if "cluster" in name])
def test_a_command_and_its_options_are_those_of_the_program(name: str) -> None:
    command, *options = SERVICES[name]["command"]
    assert isinstance(main, click.Group)
    known = {option for parameter in main.commands[command].params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known


def test_the_user_of_the_address_is_the_one_that_there_is() -> None:
    [users] = tree("users.xml")
    assert [user.tag for user in users if user.get("remove") is None] == ["tailmetrics"]
    assert [user.tag for user in users if user.get("remove")] == ["default"]
    address = environment_of("api_cluster1")["STORE_URL"]
    assert address.startswith("clickhouse://tailmetrics:${CLICKHOUSE_PASSWORD:-}@clickhouse:8123/")
    assert address.endswith("?cluster=tailmetrics")
    for name in REPLICAS:
        assert SERVICES[name]["networks"]["default"]["aliases"] == ["clickhouse"]


def test_a_topic_has_three_replicas_of_which_two_must_have_a_line() -> None:
    for number, name in enumerate(BROKERS, start=1):
        environment = environment_of(name)
        assert environment["KAFKA_NODE_ID"] == str(number)
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"CLIENTS://{name}:9092"
        assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == "3"
        assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
    assert len({environment_of(name)["CLUSTER_ID"] for name in BROKERS}) == 1
    voters = environment_of("kafka1")["KAFKA_CONTROLLER_QUORUM_VOTERS"]
    assert voters == ",".join(f"{number}@{name}:9093" for number, name in enumerate(BROKERS, start=1))
    [topic] = {environment_of(f"log_processor_cluster{number}")["LOG_FILE_PATH"] for number in (1, 2)}
    assert topic.startswith(f"kafka://{','.join(f'{name}:9092' for name in BROKERS)}/logs?")
    assert topic in SERVICES["log_sender_cluster"]["command"]


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """The folders that Kafka's image reads and writes when it starts."""
    for name in ("defaults", "mounted", "final"):
        (tmp_path / name).mkdir()
    (tmp_path / "defaults" / "server.properties").touch()
    for name in ("log4j2.yaml", "tools-log4j2.yaml"):
        (tmp_path / "defaults" / name).write_text("Configuration: {Loggers: {Root: {level: INFO}}}\n")
    yield tmp_path


@pytest.mark.servers
def test_the_program_of_kafkas_image_takes_the_settings_and_formats_a_folder(image: Path) -> None:
    folders = [
        part
        for kind in ("default", "mounted", "final")
        for part in (f"--{kind}-configs-dir", str(image / {"default": "defaults"}.get(kind, kind)))
    ]
    kafka.require_jars()
    done = subprocess.run(
        [*kafka.JAVA, "kafka.docker.KafkaDockerWrapper", "setup", *folders],
        env={**os.environ, **environment_of("kafka2"), "KAFKA_LOG_DIRS": str(image / "data")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    written = (image / "final" / "server.properties").read_text()
    properties = dict(re.findall(r"^([\w.]+)=(.*)$", written, re.MULTILINE))
    assert properties["node.id"] == "2"
    assert properties["default.replication.factor"] == "3"
    assert properties["log.retention.bytes"] == "1073741824"
    cluster = re.search(r"^cluster\.id=(.*)$", (image / "data/meta.properties").read_text(), re.MULTILINE)
    assert cluster is not None and cluster[1] == environment_of("kafka2")["CLUSTER_ID"]


@pytest.mark.slow
def test_the_balancer_asks_the_two_services() -> None:
    path = ROOT / "deploy/proxy/cluster.Caddyfile"
    command = [program("caddy"), "validate", "--config", path, "--adapter", "caddyfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    [upstreams] = re.findall(r"reverse_proxy (.*) \{", path.read_text())
    assert upstreams.split() == ["api_cluster1:8000", "api_cluster2:8000"]
    assert SERVICES["balancer"]["depends_on"].keys() == {"api_cluster1", "api_cluster2"}
    [volume] = SERVICES["balancer"]["volumes"]
    assert volume.startswith("./deploy/proxy/cluster.Caddyfile:")
