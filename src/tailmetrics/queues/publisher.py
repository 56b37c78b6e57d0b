"""Sends logs to a queue, each as one message, and knows of each that the broker has it."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack

import tenacity

from tailmetrics.errors import QueueError
from tailmetrics.queues.broker import Connection, connected
from tailmetrics.queues.messages import FIRST_LINE_HEADER, NAME_HEADER
from tailmetrics.urls import QueueUrl

_TRY_AGAIN_SECONDS = 60.0  # a broker that is restarted is back by then
_PAUSE_SECONDS = 0.5


class Publisher:
    """A context in which logs are sent; its queue must be there, or is made with `create`.

    Raises QueueError when the broker is away at the beginning, or later for a minute, or refuses.
    """

    def __init__(self, address: QueueUrl, *, create: bool = False, name_first: bool = False) -> None:
        self._address = address
        self._create = create
        self._name_first = name_first
        self._parts = ExitStack()
        self._connection: Connection | None = None

    def __enter__(self) -> Publisher:
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def send(self, name: str, log_bytes: bytes) -> None:
        """Send one log; returns when the broker has it.

        When the connection is lost it is sent again under the same id, so that it counts once.
        """
        if self._name_first:
            headers = {FIRST_LINE_HEADER: "name"}
            body = f"{name}\n".encode("utf-8", "backslashreplace") + log_bytes
        else:
            headers = {NAME_HEADER: name.encode("utf-8", "backslashreplace").decode()}
            body = log_bytes
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_fixed(_PAUSE_SECONDS),
            stop=tenacity.stop_after_delay(_TRY_AGAIN_SECONDS),
            reraise=True,
        )
        retrying(self._send, body, str(uuid.uuid4()), int(time.time()), headers)

    def _send(self, body: bytes, message_id: str, timestamp: int, headers: dict[str, str]) -> None:
        connection = self._connection or self._connect()
        try:
            connection.publish(body, message_id, timestamp, headers)
        except QueueError:
            self._connection = None
            self._parts.close()
            raise

    def _connect(self) -> Connection:
        with ExitStack() as parts:
            connection = parts.enter_context(connected(self._address, "publish"))
            connection.require_queue(create=self._create)
            connection.confirm_publishes()
            self._parts = parts.pop_all()
        self._connection = connection
        return connection


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, QueueError) and not error.is_final
