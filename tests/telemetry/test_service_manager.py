"""What is told to a service manager, over a real socket as systemd has it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailmetrics.telemetry import service_manager
from tailmetrics.telemetry.service_manager import ServiceManager, notify, watchdog_seconds


class Clock:
    """The time of the module under test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(service_manager, "time", clock)
    return clock


@pytest.fixture(params=["path", "abstract", "parent"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The socket of a service manager, or of a parent that is one."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if request.param == "parent":
        receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.setblocking(False)
            monkeypatch.setenv("NOTIFY_SOCKET", f"fd:{sender.fileno()}")
            yield receiver
        return
    path = str(tmp_path / "notify") if request.param == "path" else f"@tailmetrics-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path.replace("@", "\0"))
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield receiver


def told(manager: socket.socket) -> list[str]:
    """The messages that have come, taken."""
    messages = []
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(manager.recv(4096).decode())
    return messages


def test_a_message_comes_whole(manager: socket.socket) -> None:
    notify("STOPPING=1")
    assert told(manager) == ["STOPPING=1"]


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "vsock:2:1234"])
def test_where_nobody_listens_nothing_is_said(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    notify("READY=1")
    assert len(list(Path("/proc/self/fd").iterdir())) == opened


def test_ready_is_told_once_and_not_before_it_is_true(manager: socket.socket) -> None:
    state = {"ready": False}
    service = ServiceManager(lambda: state["ready"])
    service.turn()
    assert told(manager) == []
    state["ready"] = True
    service.turn()
    state["ready"] = False
    service.turn()
    assert told(manager) == ["READY=1"]


@pytest.mark.parametrize(
    ("microseconds", "of_process", "seconds"),
    [
        ("3000000", None, 3.0),
        ("3000000", "this", 3.0),
        ("3000000", "1", None),
        ("0", None, None),
        ("", None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdog_of_this_process_counts(
    microseconds: str, of_process: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if of_process is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if of_process == "this" else of_process)
    assert watchdog_seconds() == seconds


def test_the_watchdog_hears_three_times_in_its_time(
    manager: socket.socket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    service = ServiceManager()
    for _ in range(30):
        service.turn()
        clock.now += 0.1001
    assert told(manager) == ["READY=1", *["WATCHDOG=1"] * 3]


def test_the_watchdog_hears_nothing_while_the_dataflow_is_overdue(
    manager: socket.socket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    overdue = {"seconds": 2.9}
    service = ServiceManager(overdue_seconds=lambda: overdue["seconds"])
    service.turn()
    assert told(manager) == ["READY=1", "WATCHDOG=1"]
    overdue["seconds"] = 3.0
    clock.now += 10
    service.turn()
    assert told(manager) == []
    overdue["seconds"] = 0.0
    service.turn()
    assert told(manager) == ["WATCHDOG=1"]


def test_without_a_manager_no_turn_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert ServiceManager().turn_seconds is None


def test_with_a_short_watchdog_turns_are_due_often(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    assert ServiceManager().turn_seconds == pytest.approx(0.1)
