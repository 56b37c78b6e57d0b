import errno
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from fastapi import FastAPI, Request

from tailmetrics.api import server as server_module
from tailmetrics.api.server import HttpServer, Listener
from tests.integration.running import await_that

Run = Callable[..., tuple[HttpServer, int, threading.Thread]]


@pytest.fixture
def port() -> Iterator[int]:
    """Where a server of an app without routes listens."""
    yield from served(FastAPI())


@pytest.fixture
def app_that_reads() -> Iterator[int]:
    """Where a server of an app listens that waits for the body of a request."""
    app = FastAPI()

    @app.post("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    yield from served(app)


def served(app: FastAPI) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HttpServer(app)
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


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"], ids=["none", "half", "blank"]
)
def test_a_head_that_does_not_come_in_time_is_answered_408(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server_module, "_HEAD_SECONDS", 0.1)
    assert first_line(port, sent) == b"HTTP/1.1 408 Request Timeout"


def test_a_head_that_does_not_come_in_time_behind_an_answer_is_too_late_as_well(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_HEAD_SECONDS", 0.1)
    with connected(port) as connection, connection.makefile("rb") as stream:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while stream.readline() != b"\r\n":
            pass
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert b"408 Request Timeout" in stream.read()


def test_a_body_that_does_not_come_in_time_ends_the_connection(
    app_that_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_BODY_SECONDS", 0.1)
    with connected(app_that_reads) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        assert connection.recv(4096) == b""


def test_of_too_many_connections_the_one_that_waited_the_longest_is_ended_and_the_newest_answered(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "room_for_connections", lambda: 3)
    with ExitStack() as closing:
        oldest, *_ = [closing.enter_context(connected(port)) for _ in range(3)]
        assert first_line(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b"HTTP/1.1 404 Not Found"
        assert oldest.recv(4096) == b""


class TestListener:
    @pytest.fixture
    def listener(self) -> Iterator[Listener]:
        with Listener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(100)
            yield listener

    def test_it_accepts_a_few_in_a_row(self, listener: Listener) -> None:
        with ExitStack() as closing:
            for _ in range(20):
                closing.enter_context(connected(listener.getsockname()[1]))
            for _ in range(16):
                closing.enter_context(listener.accept()[0])
            with pytest.raises(BlockingIOError):
                listener.accept()
            closing.enter_context(listener.accept()[0])

    def test_a_lack_of_descriptors_is_told_once_in_a_row(
        self, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: socket.socket) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(socket.socket, "accept", fail)
        with pytest.raises(OSError, match="Too many open files"):
            listener.accept()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_nobody_is_believed_about_the_address_of_a_client() -> None:
    assert not HttpServer(FastAPI()).config.proxy_headers


class TestEnd:
    @pytest.fixture
    def running(self) -> Iterator[Run]:
        """Runs a server of an app whose path /held is answered once `app.state.let_go` is set."""
        app = FastAPI()
        app.state.let_go, app.state.held = threading.Event(), threading.Event()

        @app.get("/held")
        def held() -> str:
            app.state.held.set()
            app.state.let_go.wait(10)
            return "done"

        with ExitStack() as closing:

            def run(**options: float) -> tuple[HttpServer, int, threading.Thread]:
                listener = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
                server = HttpServer(app, **options)
                thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
                thread.start()
                closing.callback(thread.join, 10)
                closing.callback(server.end)
                closing.callback(server.end)
                closing.callback(app.state.let_go.set)
                await_that(lambda: server.started, 10)
                return server, listener.getsockname()[1], thread

            yield run

    def test_a_server_that_drains_answers_and_says_that_it_ends(self, running: Run) -> None:
        server, port, thread = running(drain_seconds=60)
        server.end()
        await_that(lambda: getattr(server.config.app.state, "is_ending", False), 10)
        assert first_line(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b"HTTP/1.1 404 Not Found"
        assert thread.is_alive()

    def test_a_second_word_ends_the_draining(self, running: Run) -> None:
        server, _, thread = running(drain_seconds=60)
        server.end()
        await_that(lambda: getattr(server.config.app.state, "is_ending", False), 10)
        server.end()
        thread.join(10)
        assert not thread.is_alive()

    def test_what_is_being_answered_at_the_end_is_answered_and_nothing_more_is_taken(
        self, running: Run
    ) -> None:
        server, port, thread = running(drain_seconds=0.001, finish_seconds=30)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(first_line, port, b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            assert server.config.app.state.held.wait(10)
            server.end()
            await_that(lambda: is_refused(port), 10)
            server.config.app.state.let_go.set()
            assert answer.result() == b"HTTP/1.1 200 OK"
        thread.join(10)
        assert not thread.is_alive()


def is_refused(port: int) -> bool:
    try:
        connected(port).close()
    except ConnectionRefusedError:
        return True
    return False
