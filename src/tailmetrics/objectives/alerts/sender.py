"""Sends what alerts give rise to, beside their evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from tailmetrics.errors import StoreError
from tailmetrics.objectives.alerts.keeper import Keeper
from tailmetrics.objectives.definitions import Document
from tailmetrics.objectives.notifications.notifier import Notifier, settled
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_LOOK_SECONDS: Final = 1.0  # from one look at what is to be sent to the next


class Sender:
    """Sends each receiver one message at a time; none holds up another one, nor evaluation.

    What was sent before the store had noted it is sent again, under the same id.
    """

    def __init__(
        self, keeper: Keeper, document: Callable[[], Document], clock: Callable[[], datetime]
    ) -> None:
        self._keeper = keeper
        self._document = document
        self._clock = clock
        self._notifier: tuple[Document, Notifier] | None = None
        self._sending: dict[str, asyncio.Task[None]] = {}

    async def run(self, leads: asyncio.Event) -> None:
        """Go on until cancelled, while it is this process that evaluates."""
        while True:
            await leads.wait()
            try:
                notifier = await self._notifier_of(self._document())
            except Exception as error:  # noqa: BLE001  # nobody waits for it, and it goes on
                self._say(error)
            else:
                for receiver in self._document().receivers:
                    sending = self._sending.get(receiver.name)
                    if sending is None or sending.done():
                        task = asyncio.create_task(self._try(notifier, receiver.name))
                        self._sending[receiver.name] = task
            await asyncio.sleep(_LOOK_SECONDS)

    async def send_due(self) -> None:
        """Send each receiver what is due next, if anything is. Raises Superseded and StoreError."""
        document = self._document()
        notifier = await self._notifier_of(document)
        await asyncio.gather(*(self._send(notifier, receiver.name) for receiver in document.receivers))

    async def close(self) -> None:
        """End what is being sent, and the connections."""
        for task in self._sending.values():
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)
        if self._notifier is not None:
            await self._notifier[1].close()

    async def _notifier_of(self, document: Document) -> Notifier:
        """That of the document in force; what is sent by the one before arrives first."""
        if self._notifier is not None and self._notifier[0] is document:
            return self._notifier[1]
        await asyncio.gather(*self._sending.values())
        self._sending.clear()
        before, notifier = self._notifier, Notifier(document.receivers, document.external_url)
        self._notifier = document, notifier
        if before is not None:
            await before[1].close()
        return notifier

    async def _send(self, notifier: Notifier, receiver: str) -> None:
        book = self._keeper.book
        if book.evaluated_at is None:
            return  # or one that evaluates again would send what another has sent
        attempt = await notifier.send_next(receiver, book.outbox, book.alerts, self._clock())
        if attempt is not None:
            now = self._clock()
            await self._keeper.change(lambda book: replace(book, outbox=settled(book.outbox, [attempt], now)))

    async def _try(self, notifier: Notifier, receiver: str) -> None:
        try:
            await self._send(notifier, receiver)
        except Exception as error:  # noqa: BLE001  # nobody waits for it, and the next one is another try
            self._say(error)

    def _say(self, error: Exception) -> None:
        if not isinstance(error, StoreError):  # which evaluation tells of
            log.error("notifications are not sent", error=f"{type(error).__name__}: {error}")
