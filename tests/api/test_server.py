from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from tailmetrics.api.server import HttpServer
from tests.integration.running import await_that


@pytest.fixture
def port() -> Iterator[int]:
    """Where a server of an app without routes listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HttpServer(FastAPI())
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            await_that(lambda: server.started, 10)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)
    assert not thread.is_alive()


def first_line(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        return connection.recv(4096).partition(b"\r\n")[0]


def test_a_request_is_answered(port: int) -> None:
    assert first_line(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b"HTTP/1.1 404 Not Found"


def test_a_head_without_end_is_refused(port: int) -> None:
    endless = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000
    assert first_line(port, endless) == b"HTTP/1.1 400 Bad Request"


def test_a_long_body_is_no_long_head(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    assert first_line(port, head + b"a" * 100_000) == b"HTTP/1.1 404 Not Found"
