from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from tailmetrics.stores.clickhouse.connection import Connection
from tailmetrics.stores.clickhouse.rows import fence, of_commit, record_rows
from tests.builders import Record, at, batch_of, source_of
from tests.stores.clickhouse.tables import Tables

NOON = at("2024-10-10T12:00:00")


class TestRecordRows:
    @pytest.mark.servers
    def test_texts_that_repeat_arrive_as_they_were(self, connection: Connection, tables: Tables) -> None:
        lines: list[Record] = [
            (NOON, f"cust \u00fc{number % 300}", f"/p{number % 3}", 200, 0.1) for number in range(3000)
        ]
        rows = record_rows([batch_of(source_of(), lines)])
        assert [kind for kind in rows.dtypes if isinstance(kind, pl.Enum)] != []
        connection.insert("records", of_commit("records", rows, 1), "1")
        found = tables.rows("SELECT customer_id, path, source, `offset` FROM records ORDER BY `offset`")
        expected = record_rows([batch_of(source_of(), lines)]).cast(
            {"customer_id": pl.String, "path": pl.String, "source": pl.String, "offset": pl.String}
        )
        assert sorted(found) == sorted(expected.select("customer_id", "path", "source", "offset").rows())

    def test_rows_come_in_the_order_of_the_table_those_of_one_time_as_they_came(self) -> None:
        lines: list[Record] = [
            (NOON + timedelta(seconds=number * 7 % 5), f"cust_{number * 11 % 12}", "/p", 200, 0.1)
            for number in range(300)
        ]
        first, second = source_of(), source_of("b")
        rows = record_rows([batch_of(first, lines), batch_of(second, lines)])
        came = rows.with_columns(pl.col("source") != first.source_id)
        key = [pl.col("customer_id").cast(pl.String), "time_us"]
        assert came["customer_id"].cast(pl.String).head(40).unique().to_list() == ["cust_0"]
        assert came.equals(came.sort(*key, "source", "offset"))

    def test_texts_that_differ_stay_as_they_are(self) -> None:
        lines: list[Record] = [(NOON, f"cust_{number}", f"/{number}", 200, 0.1) for number in range(100)]
        rows = record_rows([batch_of(source_of(), lines)])
        assert (rows.schema["customer_id"], rows.schema["path"]) == (pl.String, pl.String)


class TestFence:
    @pytest.mark.parametrize("table", ["records", "rejects"])
    def test_it_is_no_request_and_no_reject_of_any_source(self, table: str) -> None:
        [row] = fence(table, 7).rows(named=True)
        assert row["commit"] == 7
        assert row.get("status_code", -1) < 0
        assert row.get("source_id", "") == ""
