"""A real server around an app, so that tests meet the paths and headers that clients send."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

# Clients here speak HTTP: reading the CAs of the machine for each takes longer than most of the tests.
_NO_CAS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of `app`, which listens on a free port until the context ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # A stream that is open must not keep the server from ending.
        server = _Server(
            uvicorn.Config(
                app,
                log_level="critical",
                timeout_graceful_shutdown=1,
                proxy_headers=False,  # as the service has it
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            assert server.listening.wait(10)
            port = listener.getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, verify=_NO_CAS) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(10)
