"""Cursors that are lent, and kept for others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import duckdb
import pytest

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.duckdb.connections import ends_all_use, tells_of_damage, translated
from tailmetrics.stores.duckdb.file import DuckDBFile


class TestCursors:
    def test_one_that_was_given_back_is_lent_again_without_its_transaction(self, settings: Settings) -> None:
        file = DuckDBFile(settings)
        file.open()
        first = file.cursors.borrow()
        first.execute("BEGIN; CREATE TABLE made AS SELECT 1")
        file.cursors.give_back(first)
        again = file.cursors.borrow()
        assert again is first
        with pytest.raises(duckdb.CatalogException):
            again.execute("FROM made")
        file.close()

    def test_one_that_is_given_back_after_the_end_is_closed(self, settings: Settings) -> None:
        file = DuckDBFile(settings)
        file.open()
        cursors = file.cursors
        lent = cursors.borrow()
        lent.begin()
        file.close()
        cursors.give_back(lent)
        with pytest.raises(duckdb.ConnectionException):
            lent.execute("SELECT 1")

    def test_one_that_cannot_be_used_any_more_is_not_lent_again(self, settings: Settings) -> None:
        file = DuckDBFile(settings)
        file.open()
        broken = file.cursors.borrow()
        broken.close()
        file.cursors.give_back(broken)
        assert file.cursors.borrow().execute("SELECT 1").fetchall() == [(1,)]
        file.close()

    def test_whoever_wants_one_waits_during_a_pause(self, settings: Settings) -> None:
        file = DuckDBFile(settings)
        file.open()
        order = []

        def borrow() -> None:
            file.cursors.give_back(file.cursors.borrow())
            order.append("lent")

        with ThreadPoolExecutor(1) as pool:
            with file.cursors.paused(seconds=0):
                lent = pool.submit(borrow)
                assert wait([lent], timeout=0.05).not_done
                order.append("pause over")
            lent.result()
        file.close()
        assert order == ["pause over", "lent"]

    def test_one_that_is_wanted_after_the_end_is_not_there_for_now(self, settings: Settings) -> None:
        file = DuckDBFile(settings)
        file.open()
        cursors = file.cursors
        file.close()
        with pytest.raises(StoreUnavailable, match="ask again"):
            cursors.borrow()

    @pytest.mark.parametrize("is_lent", [True, False])
    def test_a_pause_says_whether_none_is_lent(self, settings: Settings, is_lent: bool) -> None:
        file = DuckDBFile(settings)
        file.open()
        cursor = file.cursors.borrow()
        if not is_lent:
            file.cursors.give_back(cursor)
        with file.cursors.paused(seconds=0) as is_quiet:
            assert is_quiet is not is_lent
        file.close()


@pytest.mark.parametrize(
    ("error", "ends", "damaged"),
    [
        (duckdb.FatalException("any"), True, False),
        (
            duckdb.IOException('Database "store" has been invalidated because checkpointing failed'),
            True,
            False,
        ),
        (duckdb.IOException("Could not write file: No space left on device"), False, False),
        (duckdb.Error("Corrupt database file: computed checksum 1 does not match 2"), False, True),
        (duckdb.IOException("Could not read enough bytes from file: attempted to read 4096"), False, True),
    ],
)
def test_what_an_error_says_of_the_file(error: duckdb.Error, ends: bool, damaged: bool) -> None:
    assert (ends_all_use(error), tells_of_damage(error)) == (ends, damaged)


def test_too_little_memory_is_said_in_words_with_what_to_do() -> None:
    error = translated(duckdb.OutOfMemoryException("failed to allocate"))
    assert isinstance(error, StoreUnavailable)
    assert "DUCKDB_MEMORY_LIMIT; ask for a shorter range or longer windows, or raise" in str(error)


def test_no_room_may_pass_and_a_wrong_statement_does_not() -> None:
    errors = [duckdb.IOException("No space left on device"), duckdb.ParserException("syntax error")]
    assert [type(translated(error)) for error in errors] == [StoreUnavailable, StoreError]
