"""How the service listens, and what it does on SIGHUP."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from tailmetrics.service import _listening
from tests.integration.running import START_SECONDS, Service, await_that


def test_what_follows_the_head_of_an_answer_is_not_held_back() -> None:
    """TCP would wait with it for a sign of the client, which comes 40 ms late."""
    delays: list[int] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def connect() -> None:
        with _listening("127.0.0.1", 0, "API_PORT") as listener:
            async with await asyncio.start_server(note, sock=listener):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                await reader.read()
                writer.close()

    asyncio.run(connect())
    assert delays == [1]


@pytest.mark.parametrize(("command", "scheme"), [("up", "duckdb"), ("serve", "sqlite")])
def test_objectives_are_read_again_on_a_signal(tmp_path: Path, command: str, scheme: str) -> None:
    """Without a request or an evaluation that would look at the file."""
    good = '[[objective]]\nname = "shop"\ntarget = 99.9\n'
    file = tmp_path / "objectives.toml"
    file.write_text(good)
    (tmp_path / "requests.log").touch()
    store = f"{scheme}:///{tmp_path}/store.{scheme}"
    service = Service(tmp_path, str(tmp_path / "requests.log"), STORE_URL=store, OBJECTIVES=str(file))
    try:
        service.start(command=command)
        assert service.process is not None
        for text, said in (
            (good.replace("99.9", "100"), "line 3: objective 'shop': target: found 100"),
            (good.replace("shop", "other"), "objectives=1"),
        ):
            written = tmp_path / "written"
            written.write_text(text)
            written.replace(file)  # or half of it may be read
            service.process.send_signal(signal.SIGHUP)
            await_that(lambda said=said: said in service.said(), START_SECONDS, service.said)
        answer = service.client.get("/objectives", params={"objective": "shop"})
        assert answer.json()["detail"] == "objective: found 'shop', expected one of other"
    finally:
        service.close()
