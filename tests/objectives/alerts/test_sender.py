"""Receivers are told beside each other, whatever one of them does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from tailmetrics.objectives.alerts.keeper import Keeper
from tailmetrics.objectives.alerts.sender import Sender
from tailmetrics.objectives.alerts.states import Book
from tailmetrics.objectives.definitions import Document, Receiver
from tailmetrics.objectives.notifications import http
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.outbox import Outcome
from tailmetrics.stores.in_memory import InMemoryStore
from tests.builders import at
from tests.objectives.alerts.test_states import CONDITION, START, after

NOW = at("2026-03-01T13:00")


def document(*names: str) -> Document:
    hooks = [{"name": name, "kind": "webhook", "url": "http://localhost/"} for name in names]
    return Document.model_validate({"receiver": hooks})


def alerts_of(book: Book, receivers: tuple[Receiver, ...], at_: datetime) -> Book:
    told = [replace(alert, silenced_by=None) for alert in after(Book(), 1, CONDITION).alerts]
    outbox = book.outbox.with_changes(told, receivers, at_)
    return replace(book, evaluated_at=at_, outbox=outbox)


def test_one_that_hangs_holds_up_no_other_and_is_told_one_message_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    async def post(_client: object, receiver: Receiver, _message: Message) -> Outcome:
        told.append(receiver.name)
        if receiver.name == "hangs":
            await asyncio.Event().wait()
        return Outcome("delivered")

    monkeypatch.setattr(http, "post_message", post)
    monkeypatch.setattr("tailmetrics.objectives.alerts.sender._LOOK_SECONDS", 0.001)
    receivers = document("hangs", "answers")

    async def sent() -> Book:
        keeper = Keeper(InMemoryStore())
        sender = Sender(keeper, lambda: receivers, lambda: NOW)
        leads = asyncio.Event()
        leads.set()
        running = asyncio.create_task(sender.run(leads))
        for number in range(3):
            await keeper.change(lambda book: alerts_of(book, receivers.receivers, START))
            while told.count("answers") == number:
                await asyncio.sleep(0.001)
            while any(entry.receiver == "answers" for entry in keeper.book.outbox.entries):
                await asyncio.sleep(0.001)
        running.cancel()
        await sender.close()
        return keeper.book

    book = asyncio.run(asyncio.wait_for(sent(), 20))
    assert (told.count("answers"), told.count("hangs")) == (3, 1)
    assert {entry.receiver for entry in book.outbox.entries} == {"hangs"}


def test_the_receivers_are_those_of_the_document_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    async def post(_client: object, receiver: Receiver, _message: Message) -> Outcome:
        told.append(receiver.name)
        return Outcome("delivered")

    monkeypatch.setattr(http, "post_message", post)
    in_force = [document("one"), document("two")]

    async def sent() -> None:
        keeper = Keeper(InMemoryStore())
        sender = Sender(keeper, lambda: in_force[0], lambda: NOW)
        for _ in range(2):
            receivers = in_force[0].receivers
            await keeper.change(lambda book, receivers=receivers: alerts_of(book, receivers, START))  # type: ignore[misc]
            await sender.send_due()
            in_force.reverse()
        await sender.close()

    asyncio.run(sent())
    assert told == ["one", "two"]
