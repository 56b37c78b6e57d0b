"""Bodies that nobody reads to their end: the answer is read all the same, and no body is read for ever."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.http import request_bodies
from tailmetrics.api.http.request_bodies import MOST_BYTES
from tailmetrics.stores import Store
from tests.api.conftest import LOG, service
from tests.api.fakes import FakeIngestion

LIMIT = 1_000_000
CHUNK = b"10000\r\n" + b"a" * 65_536 + b"\r\n"


@pytest.fixture
def limited(tmp_path: Path, store: Store, ingestion: FakeIngestion) -> Iterator[httpx.Client]:
    with service(tmp_path, store, ingestion, load_max_bytes=LIMIT, api_key="secret") as client:
        yield client


@pytest.fixture
def connection(limited: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", limited.base_url.port or 0), timeout=10) as opened:
        yield opened


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"{line} HTTP/1.1", "Host: localhost", "X-API-Key: secret", *headers, "", ""]
    ).encode()


def answer(connection: socket.socket) -> bytes:
    """All that comes until the connection is closed."""
    found = bytearray()
    while piece := connection.recv(65_536):
        found += piece
    return bytes(found)


@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize(
    "line", ["POST /load", "POST /load/", "POST /session", "POST /nothing", "GET /customers"]
)
def test_who_sends_all_before_reading_gets_the_answer(
    connection: socket.socket, line: str, framing: str
) -> None:
    if framing == "announced":
        connection.sendall(head(line, "Connection: close", f"Content-Length: {9 * LIMIT}"))
        connection.sendall(b"a" * (9 * LIMIT))
    else:
        connection.sendall(head(line, "Connection: close", "Transfer-Encoding: chunked"))
        connection.sendall(CHUNK * 140 + b"0\r\n\r\n")
    status = {"POST /nothing": b"404", "GET /customers": b"200"}.get(line, b"413")
    assert answer(connection).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("framing", [f"Content-Length: {9 * LIMIT}", "Transfer-Encoding: chunked"])
def test_a_refusal_does_not_wait_for_the_end_of_the_body(connection: socket.socket, framing: str) -> None:
    connection.sendall(head("POST /session", framing) + CHUNK + CHUNK)
    assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("line", ["POST /load", "POST /session", "POST /nothing", "HEAD /health"])
def test_a_body_without_end_is_not_read_for_ever(
    connection: socket.socket, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(request_bodies, "_MOST_DRAINED_BYTES", LIMIT)
    connection.sendall(head(line, "Transfer-Encoding: chunked"))
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(1000):
            connection.sendall(CHUNK)


def test_a_body_that_does_not_come_is_not_waited_for_long(
    connection: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_bodies, "_MOST_DRAINED_SECONDS", 0.01)
    connection.sendall(head("POST /load", f"Content-Length: {9 * LIMIT}"))
    assert answer(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("line", ["POST /load", "POST /session"])
def test_what_is_too_large_is_not_asked_for(connection: socket.socket, line: str) -> None:
    connection.sendall(head(line, f"Content-Length: {9 * LIMIT}", "Expect: 100-continue"))
    assert answer(connection).startswith(b"HTTP/1.1 413 ")


def test_what_is_not_too_large_is_asked_for(connection: socket.socket) -> None:
    body = LOG * 2000
    connection.sendall(head("POST /load", f"Content-Length: {len(body)}", "Expect: 100-continue"))
    assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
    connection.sendall(body)
    assert connection.recv(4096).startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize(
    ("path", "size"), [("/nothing", 100), ("/session", 100), ("/load", MOST_BYTES + 100)]
)
def test_a_connection_whose_body_was_read_goes_on(limited: httpx.Client, path: str, size: int) -> None:
    limited.params = httpx.QueryParams()
    response = limited.post(path, content=b"\n" * size, headers={"X-API-Key": "secret"})
    assert "connection" not in response.headers
    assert limited.get("/health").status_code == 200


def test_a_body_of_just_the_limit_is_read(limited: httpx.Client) -> None:
    limited.params = httpx.QueryParams()
    begin, end = b'{"key": "secret"', b"}"
    space = b" " * (MOST_BYTES - len(begin + end))
    json = {"Content-Type": "application/json"}
    bodies = [begin + more + end for more in (space, space + b" ")]
    statuses = [limited.post("/session", content=body, headers=json).status_code for body in bodies]
    assert statuses == [204, 413]
