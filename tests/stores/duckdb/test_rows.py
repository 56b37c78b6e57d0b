"""The rows that DuckDB makes of the frames of a commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tailmetrics.sources import CHUNK_LINES, Batch, Source
from tailmetrics.stats import CustomersQuery
from tailmetrics.stores.base import COMMIT_LINES
from tailmetrics.stores.duckdb.file import ROW_GROUP_RECORDS
from tailmetrics.stores.duckdb.rows import FrameStream
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import LINE_BYTES, batch_of, moved, settings_of, source_of
from tests.stores.conftest import Ask


def bulk(source: Source, lines: int, batches: int) -> list[Batch]:
    """Batches of so many lines each, one behind the other."""
    made = []
    for _ in range(batches):
        made.append(batch_of(source, records(source.position, lines), more=True))
        source = moved(source, made[-1])
    return made


def records(start: int, lines: int) -> pl.DataFrame:
    line = pl.int_range(lines, eager=True)
    return pl.DataFrame(
        {
            "timestamp": (line * 1000).cast(pl.Datetime("us")),
            "customer_id": (line % 3).cast(pl.String),
            "path": "/",
            "status_code": pl.repeat(200, lines, dtype=pl.Int16, eager=True),
            "duration": line / 8,
            "offset": start + line * LINE_BYTES,
        }
    )


def test_four_chunks_of_lines_of_67_bytes_are_a_commit_and_fill_a_row_group(tmp_path: Path) -> None:
    lines = 4 * (settings_of(tmp_path).chunk_bytes // 67)
    assert ROW_GROUP_RECORDS < DuckDBStore.commit_lines <= lines < COMMIT_LINES


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(("lines", "batches"), [(CHUNK_LINES, COMMIT_LINES // CHUNK_LINES), (10, 500)])
def test_every_row_of_a_commit_of_many_batches_is_there_once(
    tmp_path: Path, ask: Ask, threads: int, lines: int, batches: int
) -> None:
    store = DuckDBStore(settings_of(tmp_path / "store.duckdb", duckdb_threads=threads))
    source = source_of()
    store.register(source)
    store.write(bulk(source, lines, batches))
    page = ask(store.customers(CustomersQuery()))
    assert sum(each.summary.total_requests for each in page.customers) == lines * batches
    store.close()
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        [distinct] = connection.execute('SELECT count(DISTINCT "offset") FROM records').fetchall()
    assert distinct == (lines * batches,)


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
