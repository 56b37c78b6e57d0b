"""A connection to RabbitMQ: the only module that knows its client library."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailmetrics.errors import QueueError, SettingsError
from tailmetrics.urls import QueueUrl

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

_CONNECT_SECONDS = 5.0
_HEARTBEAT_SECONDS = 30
_NOT_FOUND, _ACCESS_REFUSED, _RESOURCE_LOCKED, _PRECONDITION_FAILED = 404, 403, 405, 406
_NOT_ALLOWED = 530
_PERSISTENT = 2
_TIME_KIND, _TIME_BYTES = b"T", 9  # in a table of headers


@dataclass(frozen=True, slots=True)
class Received:
    """One delivery of a message. `timestamp` is the sender's, in seconds since 1970.

    The client gives text that is no UTF-8 as bytes.
    """

    tag: int
    body: bytes
    message_id: str | bytes | None
    redelivered: bool
    headers: dict[str, Any]
    timestamp: int | None


def require_client() -> None:
    """Raises SettingsError when the client library is not installed."""
    try:
        import pika  # noqa: F401, PLC0415  # an extra
    except ImportError as error:
        problem = (
            "a queue needs RabbitMQ's client, which is not installed: pip install 'tailmetrics[rabbitmq]'"
        )
        raise SettingsError([problem]) from error
    # What it logs is said in the errors here, once and in words of this program.
    logging.getLogger("pika").addHandler(logging.NullHandler())
    logging.getLogger("pika").propagate = False
    _read_all_headers()


def _read_all_headers() -> None:
    """Have the client take headers whose time Python has no date for, which are of no use here.

    It reads all headers before it hands out a message, and an error there ends the connection, each time that
    the message is delivered again.
    """
    from pika import data  # noqa: PLC0415  # an extra

    if data.decode_value.__module__ == __name__:
        return
    decode = data.decode_value

    def decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
        try:
            return decode(encoded, offset)  # type: ignore[no-any-return]
        except (OSError, OverflowError, ValueError):
            if encoded[offset : offset + 1] != _TIME_KIND:
                raise
            return None, offset + _TIME_BYTES

    data.decode_value = decode_value


class Connection:
    """An open channel. Methods belong to one thread, but `wake`.

    Every method raises QueueError when the broker is away or refuses; the connection is of no use then.
    """

    def __init__(self, address: QueueUrl, connection: BlockingConnection, channel: BlockingChannel) -> None:
        self._address = address
        self._connection = connection
        self._channel = channel
        self._cancelled = False
        self._prefetch = 0

    @property
    def broker_name(self) -> str:
        """What the broker calls itself, the same under each of its addresses; else the address."""
        # The client keeps what the broker said of itself, but its blocking connection does not show it.
        properties = getattr(self._connection._impl, "server_properties", None) or {}
        name = properties.get("cluster_name", b"")
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return text or f"{self._address.host}:{self._address.port}"

    def require_queue(self, *, create: bool = False) -> None:
        """Look whether the queue is there, or make it, durable, when it is not and `create` is set."""
        with _translated(self._address):
            if create and self._is_missing():
                self._channel.queue_declare(self._address.queue, durable=True)
            else:
                self._channel.queue_declare(self._address.queue, passive=True)

    def _is_missing(self) -> bool:
        """Whether there is no such queue, of whatever kind. The broker closes the channel that asks."""
        from pika import exceptions  # noqa: PLC0415  # an extra

        channel = self._connection.channel()
        try:
            channel.queue_declare(self._address.queue, passive=True)
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            return True
        channel.close()
        return False

    def consume(self, prefetch: int, received: Callable[[Received], None]) -> None:
        """Have each message handed to `received` within `process`, at most `prefetch` unacknowledged."""

        def take(_channel: object, method: Any, properties: Any, body: bytes) -> None:
            received(
                Received(
                    tag=method.delivery_tag,
                    body=body,
                    message_id=properties.message_id,
                    redelivered=method.redelivered,
                    headers=properties.headers or {},
                    timestamp=properties.timestamp,
                )
            )

        with _translated(self._address):
            self._prefetch = prefetch
            self._channel.basic_qos(prefetch_count=prefetch)
            self._channel.add_on_cancel_callback(self._note_cancel)
            self._channel.basic_consume(self._address.queue, take)

    def process(self, seconds: float) -> None:
        """Take what comes for at most so long; returns at once after a message, or when it is woken."""
        with _translated(self._address):
            self._connection.process_data_events(seconds)
        if self._cancelled:
            raise QueueError(f"{self._address}: the queue was deleted, or its node went away", is_final=False)

    def wake(self) -> None:
        """Let `process` return soon; may be called from any thread."""
        # The connection may be closed meanwhile, which whoever uses it will notice.
        with contextlib.suppress(Exception):
            self._connection.add_callback_threadsafe(lambda: None)

    def acknowledge(self, tags: Sequence[int], *, surely: bool) -> None:
        """Acknowledge deliveries; with `surely` return only when the broker has taken note of it."""
        with _translated(self._address):
            for tag in tags:
                self._channel.basic_ack(tag)
            if surely:
                # The broker answers in order: what it was told before, it has heard.
                self._channel.basic_qos(prefetch_count=self._prefetch)

    def confirm_publishes(self) -> None:
        """Have the broker confirm each message that is published from now on."""
        with _translated(self._address):
            self._channel.confirm_delivery()

    def publish(self, body: bytes, message_id: str, timestamp: int, headers: dict[str, str]) -> None:
        """Send one message to the queue; returns when the broker has it."""
        import pika  # noqa: PLC0415  # an extra

        properties = pika.BasicProperties(
            content_type="text/plain",
            delivery_mode=_PERSISTENT,
            message_id=message_id,
            timestamp=timestamp,
            headers=headers,
        )
        with _translated(self._address):
            self._channel.basic_publish("", self._address.queue, body, properties, mandatory=True)

    def _note_cancel(self, _frame: object) -> None:
        self._cancelled = True


@contextmanager
def connected(address: QueueUrl, purpose: str) -> Iterator[Connection]:
    """A connection, closed at the end. Raises QueueError that says what to do."""
    require_client()
    import pika  # noqa: PLC0415  # an extra

    options = None
    if address.scheme == "amqps":
        options = pika.SSLOptions(ssl.create_default_context(), address.host)
    parameters = pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.user, address.password, erase_on_connect=True),
        heartbeat=_HEARTBEAT_SECONDS,
        socket_timeout=_CONNECT_SECONDS,
        stack_timeout=2 * _CONNECT_SECONDS,
        ssl_options=options,
        client_properties={"connection_name": f"tailmetrics {purpose}"},
    )
    with _translated(address):
        connection = pika.BlockingConnection(parameters)
    try:
        with _translated(address):
            channel = connection.channel()
        yield Connection(address, connection, channel)
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            connection.close()


@contextmanager
def _translated(address: QueueUrl) -> Iterator[None]:
    from pika import exceptions  # noqa: PLC0415  # an extra
    from pika.adapters.utils.connection_workflow import (  # noqa: PLC0415  # an extra
        AMQPConnectorException,
    )

    try:
        yield
    except exceptions.ChannelClosedByBroker as error:
        raise QueueError(f"{address}: {_of_channel(address, error.reply_code, error.reply_text)}") from None
    except (exceptions.ProbableAuthenticationError, exceptions.AuthenticationError):
        raise QueueError(f"{address}: the broker refuses the user or the password in the URL") from None
    except exceptions.ConnectionClosedByBroker as error:
        raise QueueError(
            f"{address}: {_of_connection(address, error.reply_code, error.reply_text)}",
            is_final=error.reply_code in {_ACCESS_REFUSED, _NOT_ALLOWED},
        ) from None
    except exceptions.ProbableAccessDeniedError:
        raise QueueError(
            f"{address}: the broker refuses the virtual host {address.vhost!r}: it does not exist, or the "
            "user has no permissions there (rabbitmqctl add_vhost, set_permissions)"
        ) from None
    except exceptions.UnroutableError:
        raise QueueError(f"{address}: {_missing(address)}") from None
    except exceptions.NackError:
        raise QueueError(f"{address}: the broker did not take the message; its queue may be full") from None
    except (exceptions.AMQPError, AMQPConnectorException, OSError) as error:
        raise QueueError(
            f"{address}: the broker cannot be reached ({_reason(error)}); is it running there?",
            is_final=False,
        ) from None


def _missing(address: QueueUrl) -> str:
    return (
        f"there is no queue {address.queue!r} in the virtual host {address.vhost!r}; correct the name, or "
        "make it: --create of `tailmetrics publish` and `generate`, or rabbitmqadmin declare queue"
    )


def _of_channel(address: QueueUrl, code: int, text: str) -> str:
    if code == _NOT_FOUND:
        return _missing(address)
    if code == _ACCESS_REFUSED:
        return "the user may not use the queue; give it permissions with rabbitmqctl set_permissions"
    if code == _RESOURCE_LOCKED:
        return "the queue is exclusive to another connection; use another queue"
    if code == _PRECONDITION_FAILED and "larger than" in text:
        return f"the message is larger than the broker takes (its max_message_size): {text}; split the log"
    return f"the broker closed the channel: {code} {text}"


def _of_connection(address: QueueUrl, code: int, text: str) -> str:
    if code == _ACCESS_REFUSED:
        return "the broker refuses the user or the password in the URL"
    if code == _NOT_ALLOWED:
        return f"the broker refuses the virtual host {address.vhost!r}: {text}"
    return f"the broker closed the connection: {code} {text}"


def _reason(error: BaseException) -> str:
    """The innermost of what an error was made of, as it has seldom a text of its own."""
    while (inner := next((each for each in error.args if isinstance(each, BaseException)), None)) is not None:
        error = inner
    for name in ("exceptions", "exception"):
        nested = getattr(error, name, None)
        if isinstance(nested, BaseException):
            return _reason(nested)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
