"""Numbers in place of texts in a DuckDB file: which records get them, and that the texts are always found."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import structlog

from tailmetrics.records import refused
from tailmetrics.stores.duckdb import compactor, dictionary
from tailmetrics.stores.duckdb import layout as duckdb_layout
from tailmetrics.stores.duckdb.dictionary import Dictionary
from tailmetrics.stores.duckdb.positions import Positions
from tailmetrics.stores.duckdb.rows import RowWriter
from tailmetrics.stores.duckdb.store import DuckDBStore
from tests.builders import batch_of, records_of, source_of
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import (
    BULK,
    opened_at,
    requests_of,
    rows_of,
    table_sizes,
    wait_until,
    written,
)

pytestmark = pytest.mark.usefixtures("short_bulks")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBStore]:
    opened = opened_at(tmp_path)
    yield opened
    opened.close()


class TestWhichRecords:
    def test_a_bulk_whose_texts_repeat_is_written_as_numbers(self, store: DuckDBStore) -> None:
        written(store, store.register(source_of()), rows_of(BULK))
        assert table_sizes(store) == {"settled": 0, "fresh": 0, "numbered": BULK, "names": 5}

    def test_few_records_keep_their_texts(self, store: DuckDBStore) -> None:
        written(store, store.register(source_of()), rows_of(BULK - 1))
        assert table_sizes(store) == {"settled": 0, "fresh": BULK - 1, "numbered": 0, "names": 0}

    @pytest.mark.parametrize(("customers", "paths"), [(BULK, 2), (3, BULK)])
    def test_texts_that_do_not_repeat_are_kept(self, store: DuckDBStore, customers: int, paths: int) -> None:
        written(store, store.register(source_of()), rows_of(BULK, customers, paths))
        assert table_sizes(store) == {"settled": 0, "fresh": BULK, "numbered": 0, "names": 0}

    def test_texts_are_kept_when_there_are_too_many_names(
        self, store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dictionary, "MOST_ENTRIES", 4)
        source = written(store, store.register(source_of()), rows_of(BULK))
        written(store, source, rows_of(BULK))
        assert table_sizes(store) == {"settled": 0, "fresh": BULK, "numbered": BULK, "names": 5}

    def test_a_name_is_written_once(self, store: DuckDBStore) -> None:
        source = written(store, store.register(source_of()), rows_of(BULK))
        written(store, source, rows_of(BULK, 4))
        assert table_sizes(store)["names"] == 6


class TestDictionary:
    def test_each_text_has_its_number_whoever_asks_first(self) -> None:
        names = Dictionary()
        frames = [records_of(rows_of(BULK, 3 + number, 2, str(number % 3))) for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(names.encode, frames))
        texts = names.between(0, max(each.end for each in made if each is not None))
        for frame, each in zip(frames, made, strict=True):
            assert each is not None
            found = each.records["customer_number"].replace_strict(texts["number"], texts["name"])
            assert found.to_list() == frame["customer_id"].to_list()

    def test_they_are_looked_up_while_others_are_added(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dictionary, "_MOST_DIFFERENT", 1)
        monkeypatch.setattr(dictionary, "MOST_ENTRIES", 100_000)
        texts = [[f"{number}-{place // 2}" for place in range(32_768)] for number in range(4)]
        frames = [pl.DataFrame({"customer_id": each, "path": each}) for each in texts]
        with ThreadPoolExecutor(4) as pool:
            for _ in range(20):
                names = Dictionary()

                def known(frame: pl.DataFrame, names: Dictionary = names) -> int:
                    made = names.encode(frame)
                    assert made is not None
                    return made.end - names.between(0, made.end)["name"].null_count()

                assert max(pool.map(known, frames)) == 4 * 16_384


class TestTextsAreFound:
    def test_of_numbers_and_texts_in_one_commit(self, store: DuckDBStore, ask: Ask[Any]) -> None:
        one, other = store.register(source_of("one")), store.register(source_of("other", inode=8))
        batches = [batch_of(one, rows_of(BULK, 2, 1)), batch_of(other, rows_of(10, 2, 1))]
        store.write([store.prepare(batch) for batch in batches])
        half = BULK // 2 + 5
        assert requests_of(store, ask) == ({"c0": half, "c1": half}, {"/0": BULK + 10})

    def test_after_a_commit_that_failed(
        self, store: DuckDBStore, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = store.register(source_of())
        batch = store.prepare(batch_of(source, rows_of(BULK, 2, 1)))
        with monkeypatch.context() as patch:
            patch.setattr(Positions, "move", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.write([batch])
        store.write([batch])
        assert requests_of(store, ask) == ({"c0": BULK // 2, "c1": BULK // 2}, {"/0": BULK})

    def test_when_an_earlier_bulk_was_never_written(self, store: DuckDBStore, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        store.prepare(batch_of(source, rows_of(BULK, prefix="dropped")))
        written(store, source, rows_of(BULK, 2, 1))
        assert requests_of(store, ask) == ({"c0": BULK // 2, "c1": BULK // 2}, {"/0": BULK})

    def test_when_a_later_bulk_is_written_first(self, store: DuckDBStore, ask: Ask[Any]) -> None:
        one, other = store.register(source_of("one")), store.register(source_of("other", inode=8))
        first = store.prepare(batch_of(one, rows_of(BULK, 1, 1, "first")))
        written(store, other, rows_of(BULK, 1, 1))
        store.write([first])
        assert requests_of(store, ask) == ({"c0": BULK, "firstc0": BULK}, {"/0": BULK, "/first0": BULK})

    def test_when_the_records_have_changed_since(self, store: DuckDBStore, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        batch = store.prepare(batch_of(source, rows_of(BULK, 2, 1)))
        changed = replace(batch, parsed=refused(batch.parsed, {0: "not wanted"}))
        store.write([changed])
        assert requests_of(store, ask) == ({"c0": BULK // 2 - 1, "c1": BULK // 2}, {"/0": BULK - 1})

    def test_after_the_file_was_opened_again(self, tmp_path: Path, ask: Ask[Any]) -> None:
        source = source_of()
        for prefix in ("a", "b", "c"):
            store = opened_at(tmp_path)
            source = written(store, store.register(source), rows_of(BULK, 1, 1, prefix))
            store.close()
        store = opened_at(tmp_path)
        found = requests_of(store, ask)
        store.close()
        assert found == ({f"{p}c0": BULK for p in "abc"}, {f"/{p}0": BULK for p in "abc"})

    def test_after_a_fatal_error(
        self, store: DuckDBStore, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = written(store, store.register(source_of()), rows_of(BULK, 1, 1, "a"))
        store._writer._damaged = True
        written(store, source, rows_of(BULK, 1, 1, "b"))
        assert requests_of(store, ask) == ({"ac0": BULK, "bc0": BULK}, {"/a0": BULK, "/b0": BULK})


class TestSorting:
    @pytest.fixture(autouse=True)
    def sorted_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(duckdb_layout, "RUN_RECORDS", BULK + BULK // 2)
        monkeypatch.setattr(duckdb_layout, "FEW_RECORDS", 1)
        monkeypatch.setattr(compactor, "_LOOK_SECONDS", 0.01)
        monkeypatch.setattr(compactor, "_IDLE_SECONDS", 0.05)

    def test_records_of_both_tables_are_sorted_together(self, store: DuckDBStore, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        for number in (BULK, 50, BULK, BULK, 10):
            source = written(store, source, rows_of(number, 2, 1))
        wait_until(lambda: table_sizes(store)["settled"] == 3 * BULK + 60)
        sizes = table_sizes(store)
        half = (3 * BULK + 60) // 2
        assert (sizes["fresh"], sizes["numbered"]) == (0, 0)
        assert requests_of(store, ask) == ({"c0": half, "c1": half}, {"/0": 3 * BULK + 60})

    def test_names_of_sorted_records_are_gone_when_the_file_is_opened_again(
        self, tmp_path: Path, ask: Ask[Any]
    ) -> None:
        store = opened_at(tmp_path)
        source = written(store, store.register(source_of()), rows_of(BULK, 1, 1, "a"))
        wait_until(lambda: table_sizes(store)["numbered"] == 0)
        store.close()
        store = opened_at(tmp_path)
        left = table_sizes(store)["names"]
        written(store, source, rows_of(BULK, 1, 1, "b"))
        found = requests_of(store, ask)
        store.close()
        assert (left, found) == (0, ({"ac0": BULK, "bc0": BULK}, {"/a0": BULK, "/b0": BULK}))

    def test_records_without_their_names_are_not_lost(
        self, store: DuckDBStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(RowWriter, "_insert_texts", lambda *_: None)
        with structlog.testing.capture_logs() as events:
            written(store, store.register(source_of()), rows_of(BULK))
            wait_until(lambda: bool(events))
        expected = f"found the names of 0 of {BULK} records, expected those of all"
        assert (events[0]["error"], table_sizes(store)["numbered"]) == (expected, BULK)
