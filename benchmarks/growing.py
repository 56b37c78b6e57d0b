"""A log of requests that grows at a steady rate, for the benchmarks."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

LINES = 100_000  # over 30 days
CUSTOMERS = 50


def lines(number: int, start: int) -> str:
    chance = random.Random(start)
    step = 30 * 86_400 / LINES
    return "".join(
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(1_727_740_800 + (start + place) * step))} "
        f"cust_{chance.randrange(CUSTOMERS)} /api/v1/resource{chance.randrange(4)} "
        f"{chance.choice((200, 200, 200, 404, 500))} {chance.random():.3f}\n"
        for place in range(number)
    )


class Growing:
    """A log that grows by so many lines a second, ten times a second, until the context ends."""

    def __init__(self, log: Path, rate: int) -> None:
        self._log, self._rate = log, rate
        self._ended = threading.Event()
        self._text = [lines(rate // 10, LINES + part * rate) for part in range(5)]
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        due, part = time.monotonic(), 0
        with self._log.open("a") as file:
            while not self._ended.is_set():
                file.write(self._text[part % len(self._text)])
                file.flush()
                part += 1
                due += 0.1
                self._ended.wait(max(0, due - time.monotonic()))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
