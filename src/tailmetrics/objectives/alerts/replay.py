"""What alerts a document would have raised over a time that is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.alerts.ledger import Ledger
from tailmetrics.objectives.alerts.rules import Rules
from tailmetrics.objectives.alerts.silences import silenced_by
from tailmetrics.objectives.alerts.states import Book, evaluated
from tailmetrics.objectives.definitions import Document
from tailmetrics.stores.base import Reads
from tailmetrics.windows import from_us, to_us

_READ_ON: Final = timedelta(hours=6)


async def replayed(store: Reads, document: Document, start: datetime, end: datetime) -> AsyncIterator[Alert]:
    """Alerts as they would have begun to fire and been resolved, evaluated from `start` up to `end`.

    As if each request had been stored at its own time. Rules about sources say nothing, as only requests are
    stored; silences are left out, maintenance is not. Raises StoreError.
    """
    rules = Rules(document)
    ledger = Ledger(store, rules.windows, rules.bucket_us)
    interval = timedelta(seconds=document.interval)
    now, book = start, Book()
    await ledger.update(to_us(now))
    while now <= end:
        until = min(now + _READ_ON, end)
        await ledger.read_on(to_us(until))
        while now <= until:
            ledger.move(to_us(now))
            at = from_us(ledger.at_us)
            silencer = partial(silenced_by, silences=(), maintenance=document.maintenance, at=at)
            book = evaluated(book, rules.conditions(ledger), at, silencer)
            for alert in reversed(book.history):
                yield alert
            book = replace(book, history=())
            now += interval
