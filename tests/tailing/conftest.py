"""Logs that are followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tailing.following import Following


@pytest.fixture
def follow() -> Iterator[Callable[..., Following]]:
    """Starts to follow a pattern; everything is closed at the end."""
    started: list[Following] = []

    def start(pattern: Path | str, **settings: Any) -> Following:
        started.append(Following(pattern, **settings))
        return started[-1]

    yield start
    for following in started:
        following.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"
