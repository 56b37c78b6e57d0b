"""Which times the last commits wrote to, for who counts requests and wants to count only these anew."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Sequence
from itertools import takewhile

import polars as pl

from tailmetrics.stores.base import Changes
from tailmetrics.stores.windowing import Span, spans_touched

_MOST_SPANS = 20_000  # some thousand commits


class RecentChanges:
    """What was committed since the file was opened, as far back as it is kept. Methods may be called from any
    thread.
    """

    def __init__(self) -> None:
        self._opening = secrets.token_hex(4)
        self._commits = 0
        self._spans: deque[tuple[int, Span]] = deque(maxlen=_MOST_SPANS)  # each with its commit's number
        self._lock = threading.Lock()

    def committed(self, times: Sequence[pl.Series]) -> None:
        """Note the times of records of a commit, after it: who sees its mark has to see them."""
        spans = spans_touched(times)
        with self._lock:
            self._commits += 1
            self._spans.extend((self._commits, span) for span in spans)

    def since(self, mark: str | None) -> Changes:
        with self._lock:
            now = f"{self._opening}-{self._commits}"
            opening, _, number = (mark or "").rpartition("-")
            if opening != self._opening:
                return Changes(now, None)
            past = int(number)
            if len(self._spans) == self._spans.maxlen and past < self._spans[0][0]:
                return Changes(now, None)
            later = takewhile(lambda noted: noted[0] > past, reversed(self._spans))
            return Changes(now, tuple(sorted({span for _, span in later})))
