"""A real RabbitMQ with ports and folders of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika

from tests import servers
from tests.integration.running import await_that

logging.getLogger("pika").setLevel(logging.CRITICAL)  # a broker that is away is no news here

# Not the wrappers, which change the user and the folders.
_PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
_START_SECONDS = 60.0
_CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{port}
distribution.listener.interface = 127.0.0.1
max_message_size = 314572800
vm_memory_high_watermark.relative = 0.9
disk_free_limit.absolute = 50MB
log.file = false
log.console = true
log.console.level = warning
"""


def lasting_port() -> int:
    """A port that can be listened on again after a while.

    It is not one of those that the system gives to connections, by which one who tries to reach a server
    that is away may come to be connected with itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Broker:
    """Starts, kills and restarts one broker; what is durable stays."""

    def __init__(self, folder: Path) -> None:
        servers.require_mark()
        self.port = lasting_port()
        self._folder = folder
        self._names_port = lasting_port()
        configuration = folder / "rabbitmq.conf"
        configuration.write_text(_CONFIGURATION.format(port=self.port))
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"test-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(lasting_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        (folder / "plugins").write_text("[].\n")
        self._names = subprocess.Popen(
            ["epmd", "-port", str(self._names_port), "-address", "127.0.0.1"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "broker.log").open("ab") as stream:
            self._process = subprocess.Popen(
                [_PROGRAM],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        await_that(self._answers, _START_SECONDS, self.said)

    def said(self) -> str:
        return (self._folder / "broker.log").read_text(errors="replace")

    def stop(self) -> None:
        """An orderly end: what is durable is on the disk."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(60)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._names.kill()
        self._names.wait()

    def unacknowledged(self, queue: str) -> int:
        """Messages of a queue that are there, delivered to somebody or not."""
        listing = subprocess.run(
            [_CONTROL, "--quiet", "--no-table-headers", "list_queues", "name", "messages"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return int(dict(line.split("\t") for line in listing.stdout.splitlines())[queue])

    def url(self, queue: str, user: str = "guest", password: str = "guest", vhost: str = "") -> str:  # noqa: S107  # the broker's own
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/{vhost}?queue={queue}"

    def connect(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port))

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            self.connect().close()
            return True
        return False


@dataclass(frozen=True)
class Message:
    body: bytes
    message_id: str | None
    delivery_mode: int
    headers: dict[str, Any]


class Queue:
    """A durable queue of a broker."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.name = name
        self.url = broker.url(name)
        self._connection = broker.connect()
        self._channel = self._connection.channel()
        self._channel.queue_declare(name, durable=True)

    def send(self, *bodies: bytes, **properties: Any) -> None:
        for body in bodies:
            self._channel.basic_publish(
                "", self.name, body, pika.BasicProperties(delivery_mode=2, **properties)
            )

    def take_and_return(self) -> None:
        """Have the next message delivered and given back, so that it is flagged as redelivered."""
        frame, _, _ = self._channel.basic_get(self.name)
        assert frame is not None
        self._channel.basic_reject(frame.delivery_tag, requeue=True)

    def take(self) -> Message:
        """The next message, acknowledged."""
        frame, properties, body = self._channel.basic_get(self.name, auto_ack=True)
        assert frame is not None
        return Message(body, properties.message_id, properties.delivery_mode, properties.headers)

    def waiting(self) -> int:
        """Messages that are not delivered; those not acknowledged are not among them."""
        return int(self._channel.queue_declare(self.name, passive=True).method.message_count)

    def delete(self) -> None:
        self._channel.queue_delete(self.name)

    def close(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):
            self._connection.close()
