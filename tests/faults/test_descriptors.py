"""A process that may open few files, beside many logs and many clients: all is read, and all is answered."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.faults.test_processes import state_of
from tests.integration.running import Service, await_that
from tests.tailing.following import append, numbered

_LINUX_DEFAULT = (1024, 20_000)
_NO_MORE = (1024, 1024)
_LOG_BYTES = 100_000  # what the service may write to its own log


def one_line_logs(folder: Path, count: int, line: Callable[[int], str]) -> None:
    for number in range(count):
        append(folder / f"log-{number:05}-x.log", line(number))


def numbered_line(number: int) -> str:
    return numbered(number, number + 1)[0]


@pytest.mark.parametrize("limits", [_LINUX_DEFAULT, _NO_MORE], ids=["hard limit above", "hard limit as low"])
def test_more_logs_than_files_may_be_open_are_all_counted(
    new_service: Callable[[str], Service], logs: Path, limits: tuple[int, int]
) -> None:
    one_line_logs(logs, 1100, numbered_line)
    service = new_service(f"{logs}/*.log")
    service.start(open_files=limits)
    service.await_total(1100)
    append(logs / "log-00000-x.log", *numbered(1100, 1110))
    append(logs / "log-01099-x.log", *numbered(1110, 1120))
    service.await_total(1120)
    assert service.end() == 0
    assert service.numbers() == list(range(1120))
    assert service.errors.stat().st_size < _LOG_BYTES


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("limits", [_LINUX_DEFAULT, _NO_MORE], ids=["hard limit above", "hard limit as low"])
def test_ten_thousand_logs_are_all_counted(
    new_service: Callable[[str], Service], logs: Path, limits: tuple[int, int]
) -> None:
    one_line_logs(logs, 10_000, numbered_line)
    service = new_service(f"{logs}/*.log")
    service.start(open_files=limits)
    service.await_total(10_000, 200)
    assert service.end() == 0
    assert service.numbers() == list(range(10_000))
    assert service.errors.stat().st_size < _LOG_BYTES


def test_logs_of_equal_content_beyond_the_limit_are_each_counted(
    new_service: Callable[[str], Service], logs: Path
) -> None:
    one_line_logs(logs, 1100, lambda _: numbered_line(0))
    service = new_service(f"{logs}/*.log")
    service.start(open_files=_NO_MORE)
    service.await_total(1100)
    assert service.end() == 0
    assert service.numbers() == [0] * 1100


@pytest.mark.parametrize("limits", [_LINUX_DEFAULT, _NO_MORE], ids=["hard limit above", "hard limit as low"])
def test_half_open_connections_keep_no_line_from_being_counted_and_no_question_from_being_answered(
    new_service: Callable[[str], Service], log: Path, limits: tuple[int, int]
) -> None:
    append(log, *numbered(0, 10))
    service = new_service(str(log))
    service.start(open_files=limits)
    with contextlib.ExitStack() as closing:
        for _ in range(1300):
            connection = socket.create_connection(("127.0.0.1", service.port), timeout=10)
            closing.callback(connection.close)
            with contextlib.suppress(OSError):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        append(log, *numbered(10, 20))
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=5) as newcomer:
            assert newcomer.get("/health").status_code == 200
        service.await_total(20)
        append(log.with_name("later.log"), "x")
        assert state_of(service, log) == "live"
    assert service.end() == 0
    assert service.errors.stat().st_size < _LOG_BYTES


@pytest.mark.parametrize("command", ["serve", "ingest"])
def test_half_open_connections_do_not_flood_the_log_of(
    new_service: Callable[[str], Service], log: Path, command: str
) -> None:
    append(log, *numbered(0, 10))
    service = new_service(str(log))
    service.environment["STORE_URL"] = f"sqlite:///{service.folder}/store.sqlite"
    service.environment["METRICS_PORT"] = str(service.port)
    service.start(open_files=(256, 256), command=command)
    with contextlib.ExitStack() as closing:
        for _ in range(300):
            closing.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=10))
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=5) as newcomer:
            assert newcomer.get("/health").status_code == 200
    assert service.end() == 0
    assert service.errors.stat().st_size < _LOG_BYTES


def test_a_limit_that_is_met_all_the_same_is_said_once_and_backed_off_from(
    new_service: Callable[[str], Service], log: Path
) -> None:
    append(log, *numbered(0, 10))
    service = new_service(str(log))
    service.start()
    service.await_total(10)
    service.limit_open_files(spare=5)
    with contextlib.ExitStack() as closing:
        for _ in range(30):
            closing.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=10))
        await_that(lambda: "connections cannot be accepted" in service.said(), 10, service.said)
    service.limit_open_files(spare=500)
    append(log, *numbered(10, 20))
    service.await_total(20)
    assert service.end() == 0
    assert service.said().count("Too many open files") < 10
