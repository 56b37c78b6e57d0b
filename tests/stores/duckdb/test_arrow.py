"""Frames as DuckDB reads them, one or many."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import polars as pl
import pytest

from tailmetrics.stores.duckdb.arrow import FrameStream


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"number": values}, schema={"number": pl.Int64})


def read(connection: duckdb.DuckDBPyConnection, frames: FrameStream) -> list[int]:  # by its name
    return [
        number for (number,) in connection.execute("SELECT number FROM frames ORDER BY number").fetchall()
    ]


def test_frames_are_read_one_behind_the_other(connection: duckdb.DuckDBPyConnection) -> None:
    assert read(connection, FrameStream(numbers(1, 2), numbers(3))) == [1, 2, 3]


def test_a_frame_without_rows_is_not_the_end(connection: duckdb.DuckDBPyConnection) -> None:
    assert read(connection, FrameStream(numbers(), numbers(1), numbers(), numbers(2))) == [1, 2]


def test_a_frame_in_parts_is_read_whole(connection: duckdb.DuckDBPyConnection) -> None:
    parts = pl.concat([numbers(1), numbers(2, 3)], rechunk=False)
    assert read(connection, FrameStream(parts, numbers(4))) == [1, 2, 3, 4]
    assert read(connection, FrameStream(parts)) == [1, 2, 3]


def test_a_stream_is_read_again_and_then_another(connection: duckdb.DuckDBPyConnection) -> None:
    for frames in (FrameStream(numbers(1, 2), numbers(3)), FrameStream(numbers(4), numbers(5))):
        assert read(connection, frames) == read(connection, frames)
    assert read(connection, frames) == [4, 5]


@pytest.mark.parametrize("frame", [numbers(1, 2), numbers(3), numbers()])
def test_one_frame_is_read_as_it_is(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> None:
    assert read(connection, FrameStream(frame)) == frame["number"].to_list()


def test_a_stream_is_read_from_its_beginning_after_a_statement_that_failed(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    frames = FrameStream(numbers(1), numbers(2))
    with pytest.raises(duckdb.Error):
        connection.execute("SELECT error(number::VARCHAR) FROM frames").fetchall()
    assert read(connection, frames) == [1, 2]


class Unreadable:
    """Looks like a frame of numbers until it is read."""

    schema = numbers().schema

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise ZeroDivisionError("cannot be read")


def test_a_frame_that_cannot_be_read_fails_the_statement(connection: duckdb.DuckDBPyConnection) -> None:
    broken = FrameStream(numbers(1), Unreadable())  # type: ignore[arg-type]
    with pytest.raises(duckdb.Error, match="cannot be read"):
        read(connection, broken)


@pytest.mark.parametrize(
    "other",
    [pl.DataFrame({"name": [1]}), pl.DataFrame({"number": ["1"]}), pl.DataFrame()],
    ids=["name", "type", "none"],
)
def test_frames_of_different_columns_are_refused(other: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match="expected the same columns"):
        FrameStream(numbers(1), other)
