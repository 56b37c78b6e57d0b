from __future__ import annotations

import pytest

from tailmetrics.settings import Settings
from tailmetrics.stores.clickhouse.log import Entry, Expired, Log
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests.builders import LINE_BYTES, batch_of, moved, source_of
from tests.stores.clickhouse.tables import Tables

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    ("entry", "kept"),
    [(Entry(records=1), [0, 1, 2]), (Entry(expired=Expired(0, 0)), [0, 2])],
    ids=["with rows", "that deletes"],
)
def test_rejects_behind_a_pending_entry_stay_only_if_it_is_told_by_its_rows(
    store: ClickHouseStore, settings: Settings, tables: Tables, entry: Entry, kept: list[int]
) -> None:
    source = store.register(source_of())
    first = batch_of(source, rejects=[("r", "1")])
    second = batch_of(moved(source, first), rejects=[("r", "2"), ("r", "3")])
    store.write([first])
    Log(store._connection, "process 1 on elsewhere (x)").claim(entry)
    limited = ClickHouseStore(settings.model_copy(update={"max_rejects_kept": 20}))
    limited.write([second])
    limited.close()
    assert tables.rejects(source.source_id) == [number * LINE_BYTES for number in kept]
