"""Whether what was logged is in the store already, without which nobody knows that something has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from tailmetrics.status import SourceStatus

IN_FLIGHT_SECONDS: Final = 10.0  # lines wait for so long at any time
YOUNG_SECONDS: Final = 20.0  # after a start, in which lags are short as nobody has measured them for longer
LONGEST_SECONDS: Final = 900.0  # a log that is never read to its end holds up nothing for longer
_READ_STATES: Final = frozenset({"live", "rotated"})


class Backlog:
    """Of the logs that are followed, from the start of a process on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._read_at = clock()

    def is_waiting(self, sources: Iterable[SourceStatus]) -> bool:
        """Whether lines are still to be read, as after an outage; for some minutes at a time, at most."""
        now = self._clock()
        sources = tuple(sources)
        lags = [each.lag_seconds for each in sources if each.lag_bytes and each.state in _READ_STATES]
        is_young = now - self._began < YOUNG_SECONDS
        is_behind = max(lags, default=0) > IN_FLIGHT_SECONDS or (is_young and (bool(lags) or not sources))
        if not is_behind:
            self._read_at = now
        return is_behind and now - self._read_at < LONGEST_SECONDS
