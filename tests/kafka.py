"""A real Kafka for tests: brokers on free ports of the loopback, and what tests ask of them."""

from __future__ import annotations

import base64
import contextlib
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests import servers
from tests.certificates import Certificates, made_in
from tests.integration.running import await_that, free_port
from tests.paths import ROOT

USER = "tailmetrics"
LIMITED_USER = "limited"  # who may do what a test allows, and signs in by PLAIN
PASSWORD = "pass/w@rd"  # noqa: S105  # of brokers that live as long as the tests
_URL_PASSWORD = "pass%2Fw%40rd"  # noqa: S105
_SECONDS = 60.0
_JARS = ROOT / "build" / "kafka"
JAVA = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{_JARS}/*")
_PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners={listeners}
listener.security.protocol.map={protocols}
inter.broker.listener.name=PLAIN
controller.listener.names=CONTROLLER
log.dirs={folder}/data
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
offsets.topic.replication.factor={brokers}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={brokers}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.check.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{user}="{password}" \\
  user_{limited}="{password}";
listener.name.sasl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.tls.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.tls.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={folder}/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={ca}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user};User:CN=client
"""
_PROTOCOLS = {
    "PLAIN": "PLAINTEXT",
    "SASL": "SASL_PLAINTEXT",
    "TLS": "SASL_SSL",
    "MUTUAL": "SSL",
    "CONTROLLER": "PLAINTEXT",
}


def require_jars() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "kafka_jars.sh"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


class Broker(servers.Server):
    """One broker, which is a controller too.

    On `sasl_port` clients need a password, on `tls_port` that and TLS, on `mutual_port` a certificate.
    """

    def __init__(self, folder: Path, node: int, certificates: Certificates) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.node = node
        self.sasl_port, self.tls_port, self.mutual_port = free_port(), free_port(), free_port()
        self._controller_port = free_port()
        self._certificates = certificates

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def voter(self) -> str:
        return f"{self.node}@127.0.0.1:{self._controller_port}"

    def format(self, cluster: str, peers: Sequence[Broker]) -> None:
        ports = (self.port, self.sasl_port, self.tls_port, self.mutual_port, self._controller_port)
        named = zip(_PROTOCOLS, ports, strict=True)
        self._certificates.write_keystore(self.folder / "keystore.pem")
        (self.folder / "server.properties").write_text(
            _PROPERTIES.format(
                node=self.node,
                voters=",".join(peer.voter for peer in peers),
                brokers=len(peers),
                listeners=",".join(f"{name}://127.0.0.1:{port}" for name, port in named),
                protocols=",".join(f"{name}:{protocol}" for name, protocol in _PROTOCOLS.items()),
                folder=self.folder,
                ca=self._certificates.ca,
                login="org.apache.kafka.common.security",
                user=USER,
                limited=LIMITED_USER,
                password=PASSWORD,
            )
        )
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        command = ["kafka.tools.StorageTool", "format", "-c", "server.properties", f"--cluster-id={cluster}"]
        self._run([*JAVA, *command, "--add-scram", scram])

    def launch(self) -> None:
        """Start it, and do not wait for it."""
        self._process = self._run_in_background(self._command())

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def said(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _command(self) -> Sequence[str]:
        return [*JAVA, "kafka.Kafka", "server.properties"]

    def _answers(self) -> bool:
        with contextlib.suppress(KafkaException):
            AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=5)
            return True
        return False

    def _as_owner(self, command: Sequence[str]) -> list[str]:
        """It runs as anybody, and its jars may be where another user may not look."""
        return list(command)


class Kafka(servers.Server):
    """A cluster of one broker; several are `brokers`, each of which can be ended by itself."""

    size = 1

    def __init__(self, folder: Path) -> None:
        require_jars()
        super().__init__(folder)
        self.certificates = made_in(folder)
        nodes = range(1, self.size + 1)
        self.brokers = [Broker(folder / str(node), node, self.certificates) for node in nodes]
        # The first sign is none that a program would take for an option.
        self.cluster = "A" + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()[1:22]
        for broker in self.brokers:
            broker.format(self.cluster, self.brokers)
        self._topics = 0

    @property
    def addresses(self) -> str:
        """Of all brokers, as clients take them."""
        return ",".join(broker.address for broker in self.brokers)

    def url(self, database: str, *, user: str = "", password: str = _URL_PASSWORD) -> str:
        """That of a topic; with a user, at the port that asks for a password."""
        if not user:
            return f"kafka://{self.addresses}/{database}"
        addresses = ",".join(f"127.0.0.1:{broker.sasl_port}" for broker in self.brokers)
        return f"kafka://{user}:{password}@{addresses}/{database}"

    def tls_url(
        self,
        topic: str,
        *,
        user: str = USER,
        password: str = _URL_PASSWORD,
        host: str = "127.0.0.1",
        **files: object,
    ) -> str:
        """That of a topic at the port for TLS and a password; without a user at that for certificates.

        `files` are the parameters that name some, in place of that of the CA.
        """
        ports = [broker.tls_port if user else broker.mutual_port for broker in self.brokers]
        addresses = ",".join(f"{host}:{port}" for port in ports)
        login = "".join((user, password and f":{password}", "@")) if user else ""
        parameters = {"ca_file": self.certificates.ca} | files
        return f"kafka://{login}{addresses}/{topic}?tls=true&{urlencode(parameters)}"

    def start(self) -> None:
        for broker in self.brokers:
            broker.launch()
        await_that(self._answers, _SECONDS, lambda: "".join(broker.said() for broker in self.brokers))

    def stop(self) -> None:
        for broker in self.brokers:
            broker.stop()

    def pause(self) -> None:
        for broker in self.brokers:
            broker.pause()

    def go_on(self) -> None:
        for broker in self.brokers:
            broker.go_on()

    def admin(self) -> AdminClient:
        """A client to keep until what it was asked is answered."""
        return AdminClient({"bootstrap.servers": self.addresses, "log_level": 0})

    def new_topic(self, partitions: int = 1, name: str = "", **settings: str) -> str:
        """The name of an empty topic, which every broker knows; settings with `_` for their points."""
        self._topics += 1
        name = name or f"topic-{self._topics}"
        config = {key.replace("_", "."): value for key, value in settings.items()}
        topic = NewTopic(name, partitions, replication_factor=self.size, config=config)
        admin = self.admin()
        admin.create_topics([topic])[name].result(_SECONDS)
        await_that(lambda: self.has_topic(name, partitions), _SECONDS)
        return name

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Let a topic have so many in all, and wait until it has."""
        admin = self.admin()
        admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(_SECONDS)
        await_that(lambda: self.has_topic(topic, partitions), _SECONDS)

    def allow(self, resource: ResourceType, name: str, *operations: AclOperation) -> None:
        """Let LIMITED_USER do that with a topic or a group."""
        admin = self.admin()
        who = f"User:{LIMITED_USER}"
        bindings = [
            AclBinding(resource, name, ResourcePatternType.LITERAL, who, "*", each, AclPermissionType.ALLOW)
            for each in operations
        ]
        for answer in admin.create_acls(bindings).values():
            answer.result(_SECONDS)

    def delete_topic(self, topic: str) -> None:
        admin = self.admin()
        admin.delete_topics([topic])[topic].result(_SECONDS)
        await_that(lambda: not self.has_topic(topic, 0), _SECONDS)

    def delete_before(self, topic: str, offset: int) -> None:
        """Delete the messages of partition 0 before an offset, as retention does."""
        admin = self.admin()
        asked = admin.delete_records([TopicPartition(topic, 0, offset)])
        for answer in asked.values():
            answer.result(_SECONDS)

    def committed(self, group: str, topic: str) -> int:
        """The offset that a group has committed of partition 0; negative where it has none."""
        consumer = Consumer({"bootstrap.servers": self.addresses, "group.id": group})
        with contextlib.closing(consumer):
            [partition] = consumer.committed([TopicPartition(topic, 0)], timeout=_SECONDS)
            return int(partition.offset)

    def has_topic(self, topic: str, partitions: int) -> bool:
        """Whether every broker knows of so many partitions with a leader."""
        for broker in self.brokers:
            admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
            known = admin.list_topics(timeout=_SECONDS).topics.get(topic)
            if known is None or sum(each.leader > 0 for each in known.partitions.values()) < partitions:
                return False
        return True

    def messages(self, topic: str) -> Iterator[Message]:
        """All that are in a topic now, partition after partition; those of transactions when committed."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.addresses,
                "group.id": "tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )
        with contextlib.closing(consumer):
            known = consumer.list_topics(topic, _SECONDS).topics[topic].partitions
            for partition in sorted(known):
                consumer.assign([TopicPartition(topic, partition, 0)])
                while True:
                    message = consumer.poll(_SECONDS)
                    assert message is not None, "the broker does not answer"
                    error = message.error()
                    if error is not None and error.code() == KafkaError._PARTITION_EOF:
                        break
                    assert error is None, error
                    yield message

    def _answers(self) -> bool:
        for broker in self.brokers:
            assert not broker.has_ended(), broker.said()
        with contextlib.suppress(KafkaException):
            return len(self.admin().list_topics(timeout=5).brokers) == self.size
        return False


class Kafkas(Kafka):
    """A cluster of three brokers, of which one may be away."""

    size = 3


def shared() -> Kafka:
    """The broker for all tests, started by the first that needs it."""
    servers.require_mark()
    return servers.started(Kafka)
