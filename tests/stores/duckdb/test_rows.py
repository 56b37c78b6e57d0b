"""The rows that DuckDB makes of the frames of a commit."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest

from tailmetrics.sources import CHUNK_LINES, Batch, Source
from tailmetrics.stats import CustomersQuery
from tailmetrics.stores.base import COMMIT_LINES
from tailmetrics.stores.duckdb.file import ROW_GROUP_RECORDS
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
