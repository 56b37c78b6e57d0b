"""Logs, and what follows them in this process; everything is ended whatever a test does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.clock import SteppedClock
from tests.faults.living import Living
from tests.integration.conftest import new_service, service

__all__ = ["new_service", "service"]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder for logs."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def log(logs: Path) -> Path:
    return logs / "x.log"


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    return SteppedClock(tmp_path)


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Callable[..., Living]]:
    """Starts to follow a pattern; not yet with `start=False`."""
    started: list[Living] = []

    def begin(
        pattern: Path | str, *, start: bool = True, kind: type[Living] = Living, **settings: Any
    ) -> Living:
        started.append(kind(tmp_path / f"living-{len(started)}", pattern, **settings))
        if start:
            started[-1].start()
        return started[-1]

    yield begin
    for living in started:
        living.stop()
