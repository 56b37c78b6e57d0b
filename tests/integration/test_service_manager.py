"""The service under a manager such as systemd: what it says at its start, while it runs, and at its end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.running import Service
from tests.tailing.following import append, numbered

WAIT_SECONDS = 30.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(WAIT_SECONDS)
        yield receiver


@pytest.fixture
def managed(new_service: Callable[..., Service], tmp_path: Path) -> Callable[..., Service]:
    """Starts a command that is to say something every 0.3 s."""
    append(tmp_path / "x.log", *numbered(0, 10))

    def start(command: str, **settings: str) -> Service:
        service = new_service(
            NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="300000", METRICS_PORT="0", **settings
        )
        service.start(command=command, wait=False)
        return service

    return start


@pytest.mark.parametrize("command", ["up", "ingest", "serve"])
def test_a_command_is_ready_then_alive_and_then_ends(
    command: str, manager: socket.socket, managed: Callable[..., Service], tmp_path: Path
) -> None:
    store = {} if command == "up" else {"STORE_URL": f"sqlite:///{tmp_path}/x.sqlite"}
    service = managed(command, **store)
    assert [manager.recv(4096) for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]
    assert command == "ingest" or service.client.get("/health").status_code == 200
    assert service.end() == 0, service.said()
    assert b"STOPPING=1" in iter(lambda: manager.recv(4096), b"")
