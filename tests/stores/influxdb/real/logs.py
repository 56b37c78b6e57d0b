"""Logs that grow while they are read, and what a store must then hold."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tailmetrics.stats import RecordsQuery
from tailmetrics.stores import Store
from tests.builders import Record
from tests.stores.conftest import Ask


def line_of(record: Record) -> str:
    moment, customer, path, status, duration = record
    return f"{moment:%Y-%m-%d %H:%M:%S} {customer} {path} {status} {'-' if duration is None else duration}\n"


class GrowingLog:
    """Appends lines of records in pieces that end anywhere, from a thread, until all of them are there."""

    def __init__(self, path: Path, records: Sequence[Record], seconds: float, seed: int) -> None:
        self._data = "".join(map(line_of, records)).encode()
        self._path = path
        self._pause_seconds = 0.02
        self._piece = max(1, int(len(self._data) * self._pause_seconds / seconds))
        self._chance = random.Random(seed)
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> GrowingLog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Append what is left at once."""
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        written = 0
        with self._path.open("ab", buffering=0) as log:
            while written < len(self._data):
                size = self._chance.randint(1, 2 * self._piece)
                log.write(self._data[written : written + size])
                written += size
                self._hurry.wait(self._pause_seconds)


def assert_each_once(store: Store, ask: Ask[Any], records: Sequence[Record]) -> None:
    """Every record is in the store, and as often as it was logged."""
    stored = ask(_stored(store))
    expected = Counter(records)
    assert (list((expected - stored).elements()), list((stored - expected).elements())) == ([], [])


async def _stored(store: Store) -> Counter[tuple[datetime, str, str, int, float | None]]:
    found: Counter[tuple[datetime, str, str, int, float | None]] = Counter()
    async for frame in store.records(RecordsQuery()):
        found.update(frame.drop("source", "offset").iter_rows())
    return found
