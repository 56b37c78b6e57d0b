from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.stores.clickhouse.connection import Connection, listed, quoted
from tests.stores.clickhouse.tables import Tables

pytestmark = pytest.mark.servers

TEXTS = ["it's", "back\\slash", "\\'", "{name:String}", "%s ?", "line\nbreak\ttab", "\u00fc \U0001f680", ""]


class TestConnection:
    @pytest.mark.parametrize("text", TEXTS)
    def test_any_text_is_a_literal(self, connection: Connection, text: str) -> None:
        assert connection.rows(f"SELECT {quoted(text)}, {quoted(text)} IN ({listed([text, 'x'])})") == [
            (text, 1)
        ]

    def test_a_query_that_finds_nothing_has_no_rows(self, connection: Connection) -> None:
        assert connection.rows("SELECT number FROM done") == []

    def test_what_comes_again_with_its_token_is_left_out(
        self, connection: Connection, tables: Tables
    ) -> None:
        rows = pl.DataFrame({"number": [1, 2]}, {"number": pl.UInt64()})
        for token in ("a", "b", "a"):
            connection.insert("done", rows, token)
        assert tables.rows("SELECT number, count() FROM done GROUP BY number ORDER BY number") == [
            ("1", "2"),
            ("2", "2"),
        ]

    def test_an_insert_is_one_part_however_many_rows_it_has(
        self, connection: Connection, tables: Tables
    ) -> None:
        rows = pl.DataFrame({"number": pl.int_range(1_200_000, dtype=pl.UInt64, eager=True)})
        connection.insert("done", rows, "many")
        parts = f"SELECT count(), sum(rows) FROM system.parts WHERE active AND database = '{tables.database}'"
        assert tables.rows(f"{parts} AND table = 'done'") == [("1", "1200000")]
