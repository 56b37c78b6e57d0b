"""What a real InfluxDB gives back of what it was given."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import BreakdownQuery, CustomersQuery, RejectsQuery, TrendsQuery
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import Record, batch_of, moved, source_of
from tests.stores.conftest import Ask
from tests.stores.influxdb.real.asking import NOON, committed, requests_of

HOSTILE_IDS = [
    'it\'s "quoted"',
    "${bucket}",
    '") |> drop(columns: ["_value"]) //',
    "a,b=c d",
    "ends with a backslash\\",
    "\\,\\=\\ \\",
    "100%5C",
    "\U0001f680 \u00fc",
    "#comment",
    "tab\tand\nline",
    "x" * 10_000,
]


@pytest.mark.parametrize("microseconds", [0, 1_000, 1])
def test_as_many_points_as_requests_of_one_customer_at_one_time_however_often_they_are_written(
    store: InfluxDBStore, ask: Ask[Any], microseconds: int
) -> None:
    source = source_of()
    moment = NOON + timedelta(microseconds=microseconds)
    records: list[Record] = [(moment, "a", "/", 200, 0.5)] * 100_000
    for cut in (100_000, 33_333):
        store.register(source)
        first = batch_of(source, records[:cut])
        store.write([first])
        if cut < 100_000:
            store.write([batch_of(moved(source, first), records[cut:])])
        assert requests_of(store, ask) == 100_000
        assert store.forget([source.source_id], with_records=True) == 1


@pytest.mark.parametrize("customer_id", HOSTILE_IDS, ids=lambda text: repr(text[:20]))
def test_a_customer_by_any_name_is_found_again(store: InfluxDBStore, ask: Ask[Any], customer_id: str) -> None:
    source = store.register(source_of())
    committed(
        store, batch_of(source, [(NOON, customer_id, customer_id, 404, 0.5), (NOON, "a", "/", 200, 0.5)])
    )
    assert requests_of(store, ask, customer_id) == 1
    assert requests_of(store, ask, None) == 2
    found = ask(store.customers(CustomersQuery(search=customer_id)))
    assert [customer.customer_id for customer in found.customers] == [customer_id]
    breakdown = ask(store.breakdown(BreakdownQuery(customer_id)))
    assert [path.path for path in breakdown.paths] == [customer_id]
    trends = ask(store.trends(TrendsQuery((customer_id,), NOON, NOON + timedelta(seconds=1), 1)))
    assert trends[0].failed == (1,)
    with pytest.raises(UnknownCustomer):
        requests_of(store, ask, customer_id + "x")


@pytest.mark.parametrize("microseconds", [0, 1_000, 1])
def test_the_span_is_that_of_all_series_whichever_comes_first(
    store: InfluxDBStore, ask: Ask[Any], microseconds: int
) -> None:
    moments = [NOON + timedelta(microseconds=microseconds, hours=hour) for hour in (5, 1, 9, 3)]
    records = [(moment, name, "/", 200, 0.5) for moment, name in zip(moments, "abcd", strict=True)]
    committed(store, batch_of(store.register(source_of()), records))
    assert ask(store.span()) == (moments[1], moments[2])


def test_rejected_lines_of_any_kind_are_shown_as_they_are(store: InfluxDBStore, ask: Ask[Any]) -> None:
    lines = [*HOSTILE_IDS, "\\x00" * 16_384, "\x01" * 65_536, '"\\' * 32_768]
    source = store.register(source_of())
    store.write([batch_of(source, rejects=[("reason", line) for line in lines])])
    page = ask(store.rejects(RejectsQuery()))
    assert [reject.line for reject in page.rejects] == lines[::-1]
