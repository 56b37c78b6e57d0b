"""Cursors that are lent, and kept for others."""

from __future__ import annotations

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
