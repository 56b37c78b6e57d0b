"""A store in memory, requests in it, and what they are counted by that knows nothing of ledgers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tests.builders import Record, batch_of, source_of

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Requests:
    """What was written to a store, beside it."""

    def __init__(self, store: InMemoryStore | None = None) -> None:
        self.memory = Memory()
        self.store = InMemoryStore(self.memory) if store is None else store
        self.records: list[Record] = []
        self._source = self.store.register(source_of())

    def write(self, records: Sequence[Record]) -> None:
        """Commit requests; a batch each, so that their spans are told apart."""
        for record in records:
            start = self.store.position(self._source.source_id)
            self.store.write([batch_of(self._source, [record], start)])
        self.records += records

    def commit(self, records: Sequence[Record]) -> None:
        """Commit requests as one batch."""
        start = self.store.position(self._source.source_id)
        self.store.write([batch_of(self._source, records, start)])
        self.records += records

    def counted(self, customer: str, end: datetime, length: timedelta) -> tuple[int, int]:
        """Requests of a window, and those that failed."""
        inside = [each for each in self.records if each[1] == customer and end - length <= each[0] < end]
        return len(inside), sum(not 1 <= status < 400 for _, _, _, status, _ in inside)


def minute_of(
    moment: datetime, customer: str, good: int, bad: int, *, duration: float | None = 0.1
) -> list[Record]:
    """Requests that are spread over the minute that begins at a moment, the bad ones first."""
    statuses = [500] * bad + [200] * good
    step = MINUTE / max(1, len(statuses))
    return [(moment + step * place, customer, "/", status, duration) for place, status in enumerate(statuses)]


def minutes(start: datetime, number: int) -> Iterable[datetime]:
    return (start + MINUTE * place for place in range(number))
