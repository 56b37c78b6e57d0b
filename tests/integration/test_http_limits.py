"""Requests that do not end: refused before they fill the memory."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.integration.running import Service

MOST_BYTES = 8 * 1024 * 1024  # that are sent until the server is taken for one that goes on reading
BEGINNING = b"GET /customers HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = b"POST /load HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def connection(service: Service) -> Iterator[socket.socket]:
    service.start()
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as opened:
        yield opened


def sent_until_refused(connection: socket.socket, beginning: bytes, rest: bytes) -> int:
    """Bytes that were taken before the connection was closed."""
    sent = 0
    try:
        connection.sendall(beginning)
        while sent < MOST_BYTES:
            connection.sendall(rest)
            sent += len(rest)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


@pytest.mark.parametrize(
    ("beginning", "rest"),
    [
        (b"GET /customers?search=", b"a" * 65536),
        (BEGINNING + b"X-Long: ", b"a" * 65536),
        (BEGINNING, b"X-Many: header\r\n" * 4096),
        (CHUNKED + b"1\r\na\r\n0\r\nX-Trailer: ", b"a" * 65536),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"X-Trailer: many\r\n" * 4096),
        (CHUNKED + b"1;extension=", b"a" * 65536),
    ],
    ids=["line", "long header", "many headers", "long trailer", "many trailers", "extension of a chunk"],
)
def test_what_has_no_end_is_refused(connection: socket.socket, beginning: bytes, rest: bytes) -> None:
    assert sent_until_refused(connection, beginning, rest) < MOST_BYTES


def test_the_refusal_says_what_is_too_long(connection: socket.socket) -> None:
    connection.sendall(BEGINNING + b"X-Long: " + b"a" * 70_000)
    answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"more than 65536 bytes" in answer


def test_headers_of_sixty_kilobytes_are_taken(connection: socket.socket, service: Service) -> None:
    connection.sendall(
        f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nX-Long: {'a' * 60_000}\r\n\r\n".encode()
    )
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_requests_of_one_connection_are_counted_apart(service: Service) -> None:
    service.start()
    for _ in range(5):
        assert service.client.get("/health", headers={"X-Long": "a" * 30_000}).status_code == 200
