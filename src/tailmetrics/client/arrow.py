"""The frames of an Arrow stream, one after the other as they come."""

from __future__ import annotations

from collections.abc import Iterator

import nanoarrow
import polars as pl
from typing_extensions import Buffer


def frames_of(pieces: Iterator[bytes]) -> Iterator[pl.DataFrame]:
    """Each batch of a stream that comes in pieces. Raises what reading the pieces raises."""
    received = _Received(pieces)
    try:
        with nanoarrow.ArrayStream.from_readable(received) as stream:
            for batch in stream:
                yield pl.DataFrame(batch)
    except RuntimeError as error:  # as nanoarrow says whatever is wrong
        if received.error is not None:
            raise received.error from error
        raise


class _Received:
    """Pieces as a file to read from; `error` is what reading them ended with."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.error: Exception | None = None
        self._pieces = pieces
        self._left = memoryview(b"")

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer, unless this is the end."""
        wanted = memoryview(buffer)
        filled = 0
        while filled < len(wanted) and self._has_more():
            number = min(len(wanted) - filled, len(self._left))
            wanted[filled : filled + number], self._left = self._left[:number], self._left[number:]
            filled += number
        return filled

    def _has_more(self) -> bool:
        while not self._left:
            try:
                self._left = memoryview(next(self._pieces))
            except StopIteration:  # noqa: PERF203  # of a piece that is large
                return False
            except Exception as error:
                self.error = error
                raise
        return True
