"""Reading records out again gives all of them once, in order, from every store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tailmetrics.errors import UnknownCustomer
from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordPlace, RecordsQuery
from tailmetrics.stores import Store, record_pages
from tailmetrics.stores.record_pages import place_of_last
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, source_of
from tests.stores.conftest import BACKENDS, SUMMARIZED, Ask
from tests.stores.test_contract import RECORDS

Row = tuple[Any, ...]

PAGE = 97
ODD: list[Record] = [
    (at("0001-01-01"), "a", "/", 0, None),
    (at("1677-09-21T00:12:43.145224"), "a", "/", 200, 5e-324),
    (at("1969-12-31T23:59:59.999999"), "ü", '/ü?a="b",c', 599, 0.0),
    (at("2262-04-11T23:47:16.854776"), "a", "=1+1", 404, 1e9),
    (at("9999-12-31T23:59:59.999999"), "a", "/" + "x" * 5000, 200, 1.0),
]

# Blocks hold no records: making them for each test would take minutes, and show nothing.
_OF_RECORDS = sorted(name for name in BACKENDS if not name.endswith(SUMMARIZED))
pytestmark = pytest.mark.parametrize("settings", _OF_RECORDS, indirect=True)


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_pages, "PAGE_RECORDS", PAGE)


def fill(store: Store, *of_sources: Iterable[Record]) -> list[Row]:
    """Write records of some sources, a hundred in a commit; returns the rows that are to be read again."""
    rows: list[Row] = []
    for number, of_source in enumerate(of_sources):
        records, source = list(of_source), store.register(source_of(f"{number}.log", inode=number))
        rows += [(*record, source.source_id, place * LINE_BYTES) for place, record in enumerate(records)]
        for begin in range(0, len(records), 100):
            batch = batch_of(source, records[begin : begin + 100])
            store.write([batch])
            source = moved(source, batch)
    return sorted(rows, key=place_in_order)


def place_in_order(row: Row) -> tuple[datetime, str, int]:
    return row[0], row[5], row[6]


async def read(store: Store, query: RecordsQuery) -> list[pl.DataFrame]:
    return [frame async for frame in store.records(query)]


def all_of(store: Store, ask: Ask[Any], expected: list[Row]) -> list[Row]:
    """All records of a store, which are those that are expected.

    InfluxDB holds neither sources nor offsets: what stands for them keeps the order of the lines of a source.
    """
    rows = rows_of(ask(read(store, RecordsQuery())))
    if type(store).__name__ == "InfluxDBStore":
        assert Counter(row[:5] for row in rows) == Counter(row[:5] for row in expected)
        assert rows == sorted(rows, key=place_in_order)
        assert len({place_in_order(row) for row in rows}) == len(rows)
    else:
        assert rows == expected
    return rows


def rows_of(frames: list[pl.DataFrame]) -> list[Row]:
    assert all(0 < frame.height <= PAGE and dict(frame.schema) == STORED_SCHEMA for frame in frames)
    return [row for frame in frames for row in frame.rows()]


def test_all_records_come_once_in_order(store: Store, ask: Ask[Any]) -> None:
    rows = all_of(store, ask, fill(store, RECORDS[:300], RECORDS[300:], ODD))
    assert len(rows) == len(RECORDS) + len(ODD)


@pytest.mark.parametrize("customer_id", [None, "cust_1", 'it\'s "quoted"', "cafe\u0301"])
def test_a_range_and_a_customer_are_all_that_is_read(
    store: Store, ask: Ask[Any], customer_id: str | None
) -> None:
    rows = all_of(store, ask, fill(store, RECORDS[:700], RECORDS[1200:]))
    start, end = rows[100][0], rows[-150][0]
    expected = [row for row in rows if start <= row[0] < end and customer_id in (None, row[1])]
    assert expected
    assert rows_of(ask(read(store, RecordsQuery(customer_id, start, end)))) == expected


def test_reading_goes_on_after_any_place(store: Store, ask: Ask[Any]) -> None:
    rows = all_of(store, ask, fill(store, RECORDS[:200], RECORDS[:150]))
    for taken in (1, 2, 150, 349, 350):
        place = RecordPlace(*place_in_order(rows[taken - 1]))
        assert rows_of(ask(read(store, RecordsQuery(after=place)))) == rows[taken:]


def test_a_place_between_records_need_not_be_one_of_them(store: Store, ask: Ask[Any]) -> None:
    rows = all_of(store, ask, fill(store, RECORDS[:50]))
    time = rows[10][0] + timedelta(microseconds=1)
    assert rows_of(ask(read(store, RecordsQuery(after=RecordPlace(time, "", 0))))) == rows[11:]


def test_more_records_of_one_moment_than_a_page_holds(store: Store, ask: Ask[Any]) -> None:
    moment = at("2024-10-10T12:00:00")
    crowd: list[Record] = [(moment, "a", f"/{number}", 200, 0.5) for number in range(3 * PAGE + 5)]
    late: Record = (moment + timedelta(microseconds=1), "a", "/late", 200, 0.5)
    rows = all_of(store, ask, fill(store, crowd, [*crowd[:PAGE], late]))
    assert rows[-1][2] == "/late"


def test_records_of_forgotten_messages_come_as_often_as_they_are_there(
    store: Store, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_pages, "PAGE_RECORDS", 5)
    moment = at("2024-10-10T12:00:00")
    for number in range(12):
        source = store.register(source_of(f"message {number}", inode=number))
        store.write([batch_of(source, [(moment, "a", f"/{number}", 200, 0.5)])])
        assert store.forget([source.source_id], with_records=True) == 1
    rows = rows_of(ask(read(store, RecordsQuery())))
    assert sorted(row[2] for row in rows) == sorted(f"/{number}" for number in range(12))
    assert rows == sorted(rows, key=place_in_order)


def test_what_is_written_while_others_are_read_is_no_obstacle(store: Store, ask: Ask[Any]) -> None:
    rows = all_of(store, ask, fill(store, RECORDS[:300]))
    source = store.register(source_of("late.log", inode=99))

    async def read_and_write() -> list[Row]:
        found: list[Row] = []
        written = source
        async for frame in store.records(RecordsQuery()):
            found += frame.rows()
            batch = batch_of(written, [(rows[0][0] - timedelta(days=1), "late", "/", 200, None)])
            store.write([batch])
            written = moved(written, batch)
        return found

    assert ask(read_and_write()) == rows


def test_an_unknown_customer_is_said_to_be_unknown(store: Store, ask: Ask[Any]) -> None:
    fill(store, RECORDS[:10])
    with pytest.raises(UnknownCustomer):
        ask(read(store, RecordsQuery("nobody")))


def test_where_there_is_nothing_there_is_no_frame(store: Store, ask: Ask[Any]) -> None:
    assert ask(read(store, RecordsQuery())) == []
    fill(store, RECORDS[:10])
    assert ask(read(store, RecordsQuery(start=at("9000-01-01")))) == []
    assert ask(read(store, RecordsQuery(end=at("0001-01-01")))) == []


def test_the_place_of_the_last_leads_on_where_reading_ended(store: Store, ask: Ask[Any]) -> None:
    rows = all_of(store, ask, fill(store, RECORDS[:200]))
    query, found = RecordsQuery(), []
    for _ in range(3):
        frame = ask(read(store, query))[0]
        found += frame.rows()
        query = replace(query, after=place_of_last(frame))
    assert found == rows[: len(found)]
    assert len(found) > PAGE
