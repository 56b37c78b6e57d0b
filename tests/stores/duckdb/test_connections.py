"""Cursors that are lent, and kept for others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import duckdb
import pytest

from tailmetrics.settings import Settings
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
