"""An event loop of a store's own: started when it is needed, ended with what goes on in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.loop_thread import LoopThread


async def thread_name() -> str:
    return threading.current_thread().name


async def nothing() -> None:
    pass


def test_all_coroutines_run_in_one_thread_that_ends() -> None:
    loop = LoopThread("own", "the store")
    assert "own" not in {thread.name for thread in threading.enumerate()}
    assert {loop.run(thread_name()).result() for _ in range(3)} == {"own"}
    loop.end(nothing)
    assert "own" not in {thread.name for thread in threading.enumerate()}


def test_the_end_cancels_what_goes_on_before_the_last() -> None:
    loop = LoopThread("own", "the store")
    done: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            done.append("cancelled")

    async def last() -> None:
        done.append("last")

    going_on = loop.run(wait_for_ever())
    loop.run(nothing()).result()
    loop.end(last)
    assert done == ["cancelled", "last"]
    with pytest.raises(CancelledError):
        going_on.result()


def test_after_the_end_nothing_is_run() -> None:
    loop = LoopThread("own", "the store")
    loop.end(nothing)
    with pytest.raises(StoreUnavailable, match="the store is closed"):
        loop.run(nothing())


def test_what_is_cancelled_is_closed_before_the_last() -> None:
    loop = LoopThread("own", "the store")
    done: list[str] = []

    async def close(name: str) -> None:
        await asyncio.sleep(0)
        done.append(name)

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await close("generator")

    async def wait_within() -> None:
        try:
            async for _ in generator:
                begun.set()
                await asyncio.Event().wait()
        finally:
            done.append("cancelled")
            closing.append(asyncio.ensure_future(close("connection")))

    async def last() -> None:
        done.append("last")

    generator = numbers()
    closing: list[asyncio.Future[None]] = []
    begun = threading.Event()
    going_on = loop.run(wait_within())  # a loop alone does not keep what waits from being collected
    assert begun.wait(10)
    loop.end(last)
    assert going_on.cancelled()
    assert (done[0], sorted(done[1:3]), done[3]) == ("cancelled", ["connection", "generator"], "last")
