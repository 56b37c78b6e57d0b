from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tailmetrics.stats import Breakdown, BreakdownQuery
from tailmetrics.stores.clickhouse.reader import Statements
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests.builders import at, batch_of, source_of
from tests.stores.clickhouse.tables import Tables
from tests.stores.conftest import Ask

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("customer_id", [None, "a"])
def test_a_breakdown_whose_records_expire_between_its_statements_is_empty(
    store: ClickHouseStore,
    tables: Tables,
    ask: Ask[Any],
    monkeypatch: pytest.MonkeyPatch,
    customer_id: str | None,
) -> None:
    store.write([batch_of(store.register(source_of()), [(at("2024-10-30"), "a", "/", 200, 0.1)])])
    frame, found = Statements.frame, []

    async def expiring(statements: Statements, sql: str, parameters: Any = None) -> pl.DataFrame:
        found.append(await frame(statements, sql, parameters))
        tables.rows("DELETE FROM records WHERE 1")
        return found[-1]

    monkeypatch.setattr(Statements, "frame", expiring)
    assert ask(store.breakdown(BreakdownQuery(customer_id))) == Breakdown()
    assert [each.height for each in found] == [1, 0]
