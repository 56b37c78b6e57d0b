"""Takes messages of one queue in a thread of its own, and acknowledges those that are stored."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

from tailmetrics.errors import QueueError
from tailmetrics.queues.broker import Connection, Received, connected
from tailmetrics.queues.messages import Message, Place
from tailmetrics.queues.retrying import consume_again
from tailmetrics.settings import LogQueue, QueueOptions
from tailmetrics.status import SourceStatus
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_LONGEST_RETRY_SECONDS = 30.0
_PROCESS_SECONDS = 1.0
_MOST_WAITING_BYTES = 64 * 1024 * 1024  # of messages that wait to be read; more stay with the broker
_PAUSE_SECONDS = 5.0  # between two looks at the connection, while more is not wanted


class QueueConsumer:
    """One queue. Methods may be called from any thread.

    A message that is not acknowledged when the connection is lost will be delivered again.
    """

    def __init__(self, queue: LogQueue, options: QueueOptions, wake: Callable[[], None]) -> None:
        self.failure: BaseException | None = None
        self._queue = queue
        self._options = options
        self._wake = wake
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inbox: deque[Message] = deque()
        # By source, taken from the inbox and not committed yet; a message may have been sent twice.
        self._in_hand: dict[str, list[Message]] = defaultdict(list)
        self._stored: deque[Message] = deque()  # to be acknowledged
        self._gone_for_sure: deque[Message] = deque()  # acknowledged; known by content only
        self._session = 0
        self._broker_name = ""
        self._connection: Connection | None = None
        self._stopping = False
        self._error: QueueError | None = QueueError(f"{queue.url}: not connected yet", is_final=False)
        self._committed_bytes = 0
        self._thread = threading.Thread(target=self._run, name=f"queue-{queue.url.queue}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more messages; those that are stored are still acknowledged until `close`."""
        with self._changed:
            self._inbox.clear()

    def leave(self) -> None:
        """Acknowledge what is stored and go; the broker gives the rest to somebody else."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._wake_connection()

    def await_end(self, seconds: float) -> None:
        """Wait for the end that `leave` has begun, so long at most."""
        self._thread.join(seconds)

    def take(self) -> Message | None:
        """The next message, None when there is none."""
        with self._changed:
            if not self._inbox:
                return None
            message = self._inbox.popleft()
            self._in_hand[message.source_id].append(message)
            self._changed.notify_all()
            return message

    @property
    def has_more(self) -> bool:
        return bool(self._inbox)

    @property
    def name(self) -> str:
        """The URL of the queue, without its password: the path of its status."""
        return str(self._queue.url)

    def is_in_hand(self, source_id: str) -> bool:
        """Whether a message of this queue was taken and is not committed yet."""
        with self._lock:
            return source_id in self._in_hand

    def committed(self, source_id: str, position: int) -> bool:
        """Note what is stored of a message; whether it is one of this queue."""
        with self._changed:
            if source_id not in self._in_hand:
                return False
            messages = self._in_hand[source_id]
            if position >= messages[0].size:
                self._committed_bytes += messages[0].size
                del self._in_hand[source_id]
                self._stored.extend(messages)
                self._changed.notify_all()
        self._wake_connection()
        return True

    def take_acknowledged(self) -> list[Message]:
        """Messages without an id that will not be delivered again, each told once."""
        with self._lock:
            messages = list(self._gone_for_sure)
            self._gone_for_sure.clear()
            return messages

    def status(self) -> SourceStatus:
        with self._lock:
            waiting = [*self._inbox, *itertools.chain.from_iterable(self._in_hand.values())]
            lag_bytes = sum(message.size for message in waiting)
            oldest = min((message.arrived_at for message in waiting), default=None)
            error = self._error
            return SourceStatus(
                source_id="",
                path=self.name,
                device=0,
                inode=0,
                epoch=0,
                position=self._committed_bytes,
                size=self._committed_bytes + lag_bytes,
                lag_bytes=lag_bytes,
                lag_seconds=0.0 if oldest is None else time.monotonic() - oldest,
                state="live" if error is None else "unreadable",
                last_error=None if error is None else str(error),
                format=self._queue.log_format.name,
            )

    def _run(self) -> None:
        try:
            consume_again(
                self._consume, self._note, self._changed, lambda: self._stopping, _LONGEST_RETRY_SECONDS
            )
        except BaseException as error:  # noqa: BLE001  # handed to whoever asks for chunks
            self.failure = error
            self._wake()

    def _consume(self) -> None:
        with connected(self._queue.url, "ingest") as connection:
            connection.require_queue()
            with self._changed:
                self._session += 1
                self._connection = connection
                self._broker_name = connection.broker_name
            try:
                connection.consume(self._options.prefetch, self._received)
                self._note(None)
                while not self._stopping:
                    self._acknowledge(connection)
                    connection.process(0 if self._wait_for_room() else _PROCESS_SECONDS)
                self._acknowledge(connection)
            finally:
                with self._changed:
                    self._connection = None
                    # What waits will be delivered again; what was taken is known again when it is.
                    self._inbox.clear()
                    self._stored.clear()

    def _received(self, received: Received) -> None:
        message = Message(
            received,
            place=Place(self._session, received.tag),
            queue=self._queue,
            broker_name=self._broker_name,
            options=self._options,
        )
        with self._changed:
            # Nothing to store of an empty one.
            (self._stored if message.is_empty else self._inbox).append(message)
        self._wake()

    def _wait_for_room(self) -> bool:
        """Hold back while too much waits to be read; whether it still does."""
        with self._changed:
            if self._waiting_bytes() <= _MOST_WAITING_BYTES:
                return False
            self._changed.wait_for(
                lambda: self._waiting_bytes() <= _MOST_WAITING_BYTES or self._stored or self._stopping,
                _PAUSE_SECONDS,
            )
            return self._waiting_bytes() > _MOST_WAITING_BYTES

    def _waiting_bytes(self) -> int:
        return sum(message.size for message in self._inbox)

    def _acknowledge(self, connection: Connection) -> None:
        with self._changed:
            stored = [message for message in self._stored if message.place.session == self._session]
            self._stored.clear()
        if not stored:
            return
        by_content = [message for message in stored if not (message.has_id or message.is_empty)]
        connection.acknowledge([message.place.tag for message in stored], surely=bool(by_content))
        if by_content:
            with self._changed:
                self._gone_for_sure.extend(by_content)
            self._wake()

    def _wake_connection(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.wake()

    def _note(self, error: QueueError | None) -> None:
        if error is not None and str(error) != str(self._error):
            log.warning("the queue cannot be read, trying again", error=str(error))
        elif error is None:
            log.info("consuming", queue=str(self._queue.url))
        self._error = error
