"""A stream is read as it comes, and one that is cut off is never taken for whole."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from tailmetrics.api.record_formats import RECORD_TEXTS
from tailmetrics.client.arrow import frames_of
from tailmetrics.records import STORED_SCHEMA
from tests.builders import at

TEXT = RECORD_TEXTS["arrow"]
FRAME = pl.DataFrame(
    [(at("2024-10-10"), "a", "/" + "x" * 300, 0, None, "source", place) for place in range(1000)],
    STORED_SCHEMA,
    orient="row",
)
STREAM = TEXT.begin + TEXT.frame(FRAME) + TEXT.frame(FRAME.head(3)) + TEXT.end


def pieces(stream: bytes, size: int) -> Iterator[bytes]:
    yield from (stream[begin : begin + size] for begin in range(0, len(stream), size))


@pytest.mark.parametrize("size", [1, 7, 4096, len(STREAM)])
def test_frames_come_as_they_were_written(size: int) -> None:
    first, second = frames_of(pieces(STREAM, size))
    assert first.equals(FRAME)
    assert second.equals(FRAME.head(3))


def test_a_stream_without_records_has_no_frame() -> None:
    assert list(frames_of(pieces(TEXT.begin + TEXT.end, 10))) == []


def test_what_reading_ends_with_is_raised_after_the_frames_before() -> None:
    def broken() -> Iterator[bytes]:
        yield TEXT.begin + TEXT.frame(FRAME)
        raise ConnectionError("cut off")

    frames = frames_of(broken())
    assert next(frames).equals(FRAME)
    with pytest.raises(ConnectionError, match="cut off"):
        next(frames)
