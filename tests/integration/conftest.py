"""Starts services, and ends them whatever a test does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.running import Service


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Makes services that follow `tmp_path/x.log`, or what is given; none is started yet."""
    made: list[Service] = []

    def make(log_file_path: str | None = None, **settings: str) -> Service:
        folder = tmp_path / f"service-{len(made)}"
        folder.mkdir()
        made.append(Service(folder, log_file_path or str(tmp_path / "x.log"), **settings))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(new_service: Callable[..., Service]) -> Service:
    return new_service()
