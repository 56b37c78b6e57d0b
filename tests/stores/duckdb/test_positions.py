"""Where sources are: what is in memory is what is in the file, whichever way it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.errors import PositionConflict
from tailmetrics.sources import Source
from tests.builders import batch_of, moved, source_of
from tests.stores.duckdb.support import ONE, opened_at


def sources_of(number: int) -> list[Source]:
    return [source_of(str(inode), inode=inode) for inode in range(1, number + 1)]


@pytest.mark.parametrize("number", [1, 3, 4, 50])
def test_sources_that_moved_are_the_same_after_the_file_was_opened_again(tmp_path: Path, number: int) -> None:
    store = opened_at(tmp_path)
    store.register_all(sources_of(number))
    store.write([batch_of(source, ONE * place) for place, source in enumerate(sources_of(number))])
    written = dict(store._writer.sources)
    store.close()
    store = opened_at(tmp_path)
    found = dict(store._writer.sources)
    store.close()
    assert (len(found), found) == (number, written)


@pytest.mark.parametrize("number", [1, 50])
def test_counts_of_sources_are_added_up(tmp_path: Path, number: int) -> None:
    store = opened_at(tmp_path)
    sources = sources_of(number)
    store.register_all(sources)
    for _ in range(2):
        batches = [batch_of(source, ONE * 2, rejects=[("reason", "line")], blanks=3) for source in sources]
        store.write(batches)
        sources = [moved(source, batch) for source, batch in zip(sources, batches, strict=True)]
    with store._file.cursor() as cursor:
        found = cursor.execute("SELECT records, rejects, blanks FROM sources").fetchall()
    store.close()
    assert found == [(4, 2, 6)] * number


def test_batches_of_one_source_follow_each_other_in_a_commit(tmp_path: Path) -> None:
    store = opened_at(tmp_path)
    source = store.register(source_of())
    first = batch_of(source, ONE)
    second = batch_of(moved(source, first), ONE)
    store.write([first, second])
    position = store.position(source.source_id)
    store.close()
    assert position == second.checkpoint.position


def test_a_gap_between_batches_is_a_conflict_and_nothing_is_written(tmp_path: Path) -> None:
    store = opened_at(tmp_path)
    source = store.register(source_of())
    skipped = batch_of(source, ONE)
    with pytest.raises(PositionConflict):
        store.write([batch_of(moved(source, skipped), ONE)])
    position = store.position(source.source_id)
    store.close()
    assert position == source.position
