from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from tests import servers
from tests.objectives.notifications.alertmanager import Alertmanager
from tests.objectives.notifications.hook import Hook, serving


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook that takes all, unless a test says otherwise."""
    with serving() as served:
        yield served


@pytest.fixture
def alertmanager(hook: Hook) -> Iterator[Alertmanager]:
    """An empty Alertmanager that tells the webhook what it lets through."""
    servers.require_mark()
    with servers.running(functools.partial(Alertmanager, hook=hook.url)) as server:
        yield server
