"""An event loop of a store's own, whatever loop awaits its queries: connections belong to one loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from tailmetrics.errors import StoreUnavailable

_Result = TypeVar("_Result")

_CLOSE_SECONDS = 2.0


class LoopThread:
    """An event loop in a thread, both started with the first coroutine."""

    def __init__(self, thread_name: str, store_name: str) -> None:
        self._thread_name = thread_name
        self._store_name = store_name
        self._lock = threading.Lock()
        self._started: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._ended = False

    def run(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Run a coroutine. Raises StoreUnavailable after the end."""
        with self._lock:
            if self._ended:
                work.close()
                raise StoreUnavailable(f"{self._store_name} is closed")
            if self._started is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name=self._thread_name, daemon=True)
                thread.start()
                self._started = loop, thread
            return asyncio.run_coroutine_threadsafe(work, self._started[0])

    def end(self, last: Callable[[], Awaitable[None]]) -> None:
        """Cancel what is going on, and return when `last` was done and the thread has ended."""
        with self._lock:
            self._ended = True
        if self._started is None:
            return
        loop, thread = self._started

        async def finish() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            # What they had open closes in tasks of its own, unless a server that is away holds that up.
            closing = {asyncio.ensure_future(loop.shutdown_asyncgens()), *asyncio.all_tasks()}
            await asyncio.wait(closing - {asyncio.current_task()}, timeout=_CLOSE_SECONDS)
            await last()
            await loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(finish(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
