"""Whether what was logged is in the store already, without which nobody knows that something has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from tailmetrics.status import SourceStatus

IN_FLIGHT_SECONDS: Final = 10.0  # lines wait for so long at any time
FOUND_SECONDS: Final = 20.0  # after a start the logs are found
LONGEST_SECONDS: Final = 900.0  # a log that is never read to its end holds up nothing for longer
_READ_STATES: Final = frozenset({"live", "rotated"})


class Backlog:
    """Of the logs that are followed, from the start of a process on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._read_at = clock()
        self._found: dict[tuple[str, str], int] = {}  # how large a source was when it was seen first

    def is_waiting(self, sources: Iterable[SourceStatus]) -> bool:
        """Whether lines are still to be read, as after an outage; for some minutes at a time, at most."""
        now = self._clock()
        read = [each for each in sources if each.state in _READ_STATES]
        self._found = {key: self._found.get(key, each.size) for each in read for key in [_key_of(each)]}
        is_behind = any(map(self._is_behind, read)) or (not read and now - self._began < FOUND_SECONDS)
        if not is_behind:
            self._read_at = now
        return is_behind and now - self._read_at < LONGEST_SECONDS

    def _is_behind(self, source: SourceStatus) -> bool:
        # Lags are short after a start, as nobody has measured them for longer.
        old = min(self._found[_key_of(source)], source.size)
        return source.position < old or (source.lag_bytes > 0 and source.lag_seconds > IN_FLIGHT_SECONDS)


def _key_of(source: SourceStatus) -> tuple[str, str]:
    return source.source_id, source.path
