"""How records of spans are found: by customer, or among all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
import pytest

from tailmetrics.stores import Store
from tailmetrics.stores.sql import selected as module
from tailmetrics.stores.sql.store import SqlStore
from tailmetrics.stores.sql.summaries import SqlSummaries
from tailmetrics.stores.summaries.block import HOUR_US
from tailmetrics.stores.summaries.manifest import ALWAYS
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import to_us
from tests.builders import Record, batch_of, source_of
from tests.stores.sql.database import NOON, done

NOON_US = to_us(NOON)
SPANS = {
    "all": [ALWAYS],
    "two": [(NOON_US, NOON_US + HOUR_US), (NOON_US + 5 * HOUR_US, NOON_US + 6 * HOUR_US)],
    "before": [(ALWAYS[0], NOON_US)],
    "within": [(NOON_US + 1, NOON_US + 8 * HOUR_US)],
}


def hourly(store: Store, number: int = 10) -> list[int]:
    """Write a request an hour from noon on, of three customers in turn; their times."""
    rows: list[Record] = [
        (NOON + timedelta(hours=hour), f"cust_{hour % 3}", f"/{hour}", 200, hour / 4 if hour else None)
        for hour in range(number)
    ]
    store.write([batch_of(store.register(source_of()), rows)])
    return [to_us(row[0]) for row in rows]


async def frames(summaries: SqlSummaries, spans: Sequence[Span], ids: Sequence[str] | None) -> pl.DataFrame:
    found = [frame async for frame in summaries.requests(spans, ids)]
    return pl.concat(found).sort("time") if found else pl.DataFrame({"time": []})


async def paths(summaries: SqlSummaries, spans: Sequence[Span]) -> list[str]:
    return sorted([path async for frame in summaries.paths(spans) for path in frame["path"]])


@pytest.mark.servers
@pytest.mark.parametrize("spans", SPANS)
@pytest.mark.parametrize("seek", [0, 1_000_000], ids=["by customer", "among all"])
def test_requests_of_spans_are_found_either_way(
    store: SqlStore, summaries: SqlSummaries, monkeypatch: pytest.MonkeyPatch, spans: str, seek: int
) -> None:
    monkeypatch.setattr(module, "_ROWS_A_SEEK", seek)
    monkeypatch.setattr(module, "_ROWS", 2)
    times = hourly(store)
    places = [
        place for place, time in enumerate(times) if any(low <= time < high for low, high in SPANS[spans])
    ]
    found = done(store, frames(summaries, SPANS[spans], None))
    assert found["time"].to_list() == [times[place] for place in places]
    if places:
        assert found["customer_id"].to_list() == [f"cust_{place % 3}" for place in places]
        assert found["duration"].to_list() == [place / 4 if place else None for place in places]
        assert set(found["count"]) == {1}
    assert done(store, paths(summaries, SPANS[spans])) == [f"/{place}" for place in places]
    of_one = done(store, frames(summaries, SPANS[spans], ["cust_1", "nobody"]))
    assert of_one["time"].to_list() == [times[place] for place in places if place % 3 == 1]
    edges = (times[places[0]], times[places[-1]]) if places else None
    assert done(store, summaries.edges(SPANS[spans])) == edges
