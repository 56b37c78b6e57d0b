"""How the service listens."""

from __future__ import annotations

import asyncio
import socket

from tailmetrics.service import _listening


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
