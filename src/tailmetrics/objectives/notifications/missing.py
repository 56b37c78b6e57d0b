"""What a receiver needs of this machine and does not find, seen without telling anybody anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Literal

from tailmetrics.errors import NotificationError
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import secrets, templates
from tailmetrics.objectives.notifications.message import Message
from tailmetrics.objectives.notifications.notifier import test_entry

_SECRETS: tuple[Literal["url", "header", "password"], ...] = ("url", "header", "password")


def missing(receiver: Receiver) -> Iterator[str]:
    """A sentence for each secret, template or program that is not there, or not what it should be."""
    for what in _SECRETS:
        try:
            secrets.read(receiver, what)
        except NotificationError as error:  # noqa: PERF203  # each is told
            yield str(error)
    if receiver.template is not None:
        try:
            templates.body(receiver.template, Message.of(test_entry(receiver), None, test=True))
        except NotificationError as error:
            yield str(error)
    if receiver.command and shutil.which(receiver.command[0]) is None:
        yield f"{receiver.command[0]} is no program that this user may run"
