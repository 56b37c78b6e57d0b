"""What Kafka's client says by itself of the brokers, and what follows from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.client import away_text, meaning, reason_of
from tailmetrics.urls import KafkaUrl

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_REASON_SECONDS = 1.0


class Complaints:
    """What a client says by itself of the brokers, in its words and in ours."""

    def __init__(self, url: KafkaUrl) -> None:
        self._url = url
        self._reason = ""
        self._refusal: QueueError | None = None
        self._away_since: float | None = None

    @property
    def is_refusal(self) -> bool:
        """Whether one of what was said since `forget` does not pass by itself."""
        return self._refusal is not None

    def note(self, error: KafkaError) -> None:
        """As the client's `error_cb`."""
        from confluent_kafka import KafkaError as Kind  # noqa: PLC0415  # an extra

        found = meaning(self._url, error)
        if error.code() == Kind._ALL_BROKERS_DOWN:
            self._away_since = self._away_since or time.monotonic()
        elif found.is_final:
            self._refusal = found
        else:
            self._reason = reason_of(error)

    def forget(self) -> None:
        self._refusal = self._away_since = None

    def check(self) -> None:
        """Raise what has kept the client from its work since `forget`: not one broker of several.

        Those that refuse a user are away at first, and say why a moment later.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._away_since is not None and time.monotonic() - self._away_since > _REASON_SECONDS:
            raise self.away()

    def explained(self, error: QueueError) -> QueueError:
        """An error, or what was said since `forget` where that says more."""
        if self._refusal is not None:
            return self._refusal
        return error if error.is_final or self._away_since is None else self.away()

    def away(self, otherwise: str = "no answer") -> QueueError:
        return QueueError(f"{self._url}: {away_text(self._url, self._reason or otherwise)}", is_final=False)
