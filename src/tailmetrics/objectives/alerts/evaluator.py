"""Evaluates the rules of an objectives file again and again, for as long as a service runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timezone

from tailmetrics.errors import StoreError, TailmetricsError
from tailmetrics.objectives.alerts.alert import Alert
from tailmetrics.objectives.alerts.keeper import Keeper, Superseded
from tailmetrics.objectives.alerts.lease import BEAT_SECONDS, Lease
from tailmetrics.objectives.alerts.ledger import Ledger
from tailmetrics.objectives.alerts.rules import Rules
from tailmetrics.objectives.alerts.sender import Sender
from tailmetrics.objectives.alerts.silences import silenced_by, silences_at
from tailmetrics.objectives.alerts.states import Book, evaluated
from tailmetrics.objectives.definitions import Document
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import Store
from tailmetrics.telemetry.log import EventLog
from tailmetrics.windows import from_us, to_us

log = EventLog()

_LOOK_SECONDS = BEAT_SECONDS / 2  # from one look at the lease to the next
_FIRST_REST_SECONDS = 1.0  # after a failure, then twice as long each time, up to the interval
_LONGEST_REST_SECONDS = 60
_SETTLING_SECONDS = 2.0  # after the end of a bucket, until its last lines are committed


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class Evaluator:
    """Evaluates the document that is in force.

    With `lease` only while this process holds it. `is_waiting` says of the `sources` whether lines of them
    are still to come, which end no alert. `observe` is told how many seconds each evaluation took.
    """

    def __init__(
        self,
        store: Store,
        document: Callable[[], Document],
        sources: Callable[[], Awaitable[Sequence[SourceStatus]]],
        *,
        lease: Lease | None = None,
        is_waiting: Callable[[Sequence[SourceStatus]], bool] = lambda _: False,
        observe: Callable[[float], None] = lambda _: None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.keeper = Keeper(store)
        self.sender = Sender(self.keeper, document, clock)
        self.problem: str | None = None  # why the last evaluation failed
        self._store = store
        self._document = document
        self._sources = sources
        self._lease = lease
        self._is_waiting = is_waiting
        self._observe = observe
        self._clock = clock
        self._leads = asyncio.Event()
        self._rules = Rules(Document())
        self._ledger = Ledger(store, {}, self._rules.bucket_us)
        self._read: Document | None = None

    @property
    def is_leading(self) -> bool:
        """Whether it is this process that evaluates."""
        return self._leads.is_set()

    async def run(self) -> None:
        """Go on until cancelled; no failure ends it."""
        try:
            await asyncio.gather(self._keep_lease(), self._evaluate(), self.sender.run(self._leads))
        finally:
            await self.sender.close()
            if self._lease is not None:
                with contextlib.suppress(StoreError):
                    await self._lease.release()

    async def step(self) -> Book:
        """Evaluate once. Raises Superseded when another process does, and StoreError."""
        began = time.perf_counter()
        document = self._document()
        self._obey(document)
        # Before the look at counts: what has arrived by now is in these.
        sources = await self._sources()
        is_complete = not self._is_waiting(sources)
        await self._ledger.update(to_us(self._clock()))
        at = from_us(self._ledger.at_us)
        silences = await silences_at(self._store, at)
        conditions = await asyncio.to_thread(self._rules.conditions, self._ledger, sources)

        def silencer(alert: Alert) -> str | None:
            return silenced_by(alert, silences, document.maintenance, at)

        book = await self.keeper.change(
            lambda book: evaluated(
                book, conditions, at, silencer, document.receivers, is_complete=is_complete
            )
        )
        self._observe(time.perf_counter() - began)
        return book

    def _obey(self, document: Document) -> None:
        if document is self._read:
            return
        rules = Rules(document)
        if (rules.windows, rules.bucket_us) != (self._rules.windows, self._rules.bucket_us):
            self._ledger = Ledger(self._store, rules.windows, rules.bucket_us)
        self._rules, self._read = rules, document

    async def _keep_lease(self) -> None:
        if self._lease is None:
            self._leads.set()
            return
        while True:
            try:
                is_held = await self._lease.is_held()
            except Exception as error:  # noqa: BLE001  # nobody waits for it, and it goes on
                self._say(error)
            else:
                if is_held and not self.is_leading:
                    self.keeper.forget()  # others may have sent what it knows of
                if is_held != self.is_leading:
                    log.info("alerts are evaluated here" if is_held else "alerts are evaluated elsewhere")
                (self._leads.set if is_held else self._leads.clear)()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _evaluate(self) -> None:
        rest = _FIRST_REST_SECONDS
        while True:
            await self._leads.wait()
            interval = _LONGEST_REST_SECONDS
            try:
                interval = self._document().interval
                await self.step()
            except Superseded:
                if self._lease is not None:
                    self._leads.clear()
                await asyncio.sleep(_FIRST_REST_SECONDS)
            except Exception as error:  # noqa: BLE001  # nobody waits for it, and it goes on
                self._say(error)
                await asyncio.sleep(min(rest, interval))
                rest *= 2
            else:
                if self.problem is not None:
                    log.info("alerts are evaluated again")
                self.problem, rest = None, _FIRST_REST_SECONDS
                settled = min(_SETTLING_SECONDS, interval / 2)
                await asyncio.sleep(interval - (time.time() - settled) % interval)

    def _say(self, error: Exception) -> None:
        text = str(error) if isinstance(error, TailmetricsError) else f"{type(error).__name__}: {error}"
        if text != self.problem:
            log.warning("alerts are not evaluated", error=text)
        self.problem = text
