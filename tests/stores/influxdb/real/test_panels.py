"""Each query of docs/grafana.md on a real InfluxDB, beside what the requests that were written make."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import httpx
import polars as pl
import pytest

from tailmetrics.settings import Settings
from tailmetrics.stores.influxdb.csv import tables_of
from tailmetrics.stores.influxdb.line_protocol import encoded
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.windows import from_us
from tests.builders import Record, at, batch_of, source_of
from tests.stores.influxdb import panels
from tests.stores.influxdb.server import ORG

START, STOP = at("2024-10-10T12:00:00"), at("2024-10-10T12:10:00")
MINUTE = timedelta(minutes=1)
EMPTY = at("2024-10-10T12:04:00")  # the beginning of a minute without requests
QUOTED = 'it\'s "quoted", 100%\\'
UNSAFE = "${bucket}"
CUSTOMERS = ["a", "b c", QUOTED, UNSAFE, "\U0001f680"]
STATUSES = [0, 200, 204, 301, 404, 429, 499, 500, 503]

Ask = Callable[[str], pl.DataFrame]


def requests_by_chance(number: int) -> list[Record]:
    """Requests in the order of their times, of all three ticks, from before the range until after it."""
    chance = random.Random(7)  # the same in each run
    moments: list[datetime] = []
    while len(moments) < number:
        tick = chance.choice([1_000_000, 1_000, 1])  # in microseconds
        offset = chance.randrange(-20_000_000, 620_000_000) // tick * tick
        moment = START + timedelta(microseconds=offset)
        if not EMPTY <= moment < EMPTY + MINUTE:
            moments.append(moment)
    edges = [START, STOP - timedelta(microseconds=1), STOP - timedelta(seconds=1)]
    outside = [START - timedelta(microseconds=1), START - timedelta(seconds=1), STOP]
    return [
        (
            moment,
            chance.choice(CUSTOMERS),
            f"/{min(chance.randrange(20), chance.randrange(20))}%",
            chance.choice(STATUSES),
            chance.choice([None, round(chance.expovariate(3), 3)]),
        )
        for moment in sorted([*moments, *edges, *outside] * 2)
    ]


def within(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if START <= record[0] < STOP]


def has_failed(record: Record) -> bool:
    return record[3] == 0 or record[3] >= 400


@pytest.fixture
def asks(settings: Settings, store: InfluxDBStore, server: httpx.Client) -> Callable[[Sequence[Record]], Ask]:
    """Writes requests, then gives what a query of the page answers."""

    def write(records: Sequence[Record]) -> Ask:
        store.write([batch_of(store.register(source_of()), records)])

        def ask(name: str) -> pl.DataFrame:
            text = panels.as_sent(
                panels.panels()[name],
                bucket=settings.influxdb_bucket,
                start="2024-10-10T12:00:00.4Z",
                stop="2024-10-10T12:10:00.7Z",
                every="1m0s",
                customer=encoded(QUOTED),
            )
            body = {"query": text, "dialect": {"annotations": ["datatype", "group", "default"]}}
            answer = server.post("/api/v2/query", params={"org": ORG}, json=body).raise_for_status()
            found = tables_of(answer.content)
            assert found.keys() <= {"_result"}
            return found.get("_result", pl.DataFrame())

        return ask

    return write


@pytest.fixture
def records() -> list[Record]:
    return requests_by_chance(3_000)


@pytest.fixture
def ask(asks: Callable[[Sequence[Record]], Ask], records: list[Record]) -> Ask:
    return asks(records)


def moments_of(rows: pl.DataFrame) -> list[datetime]:
    return [from_us(time // 1_000) for time in rows["_time"]]


def test_the_variable_has_each_customer_but_one_that_would_be_read_as_flux(ask: Ask) -> None:
    assert sorted(ask(panels.VARIABLE)["_value"]) == sorted(set(CUSTOMERS) - {UNSAFE})


def test_requests_per_second_are_those_of_each_minute_and_class(ask: Ask, records: list[Record]) -> None:
    rows = ask(panels.RATE)
    found = dict(zip(zip(moments_of(rows), rows["class"], strict=True), rows["_value"], strict=True))
    counted = Counter(
        (START + (record[0] - START) // MINUTE * MINUTE, str(record[3])[0]) for record in within(records)
    )
    minutes = [START + minute * MINUTE for minute in range(10)]
    expected = {(minute, each): counted[minute, each] / 60 for minute in minutes for each in "02345"}
    assert len(rows) == len(found)
    assert found == pytest.approx(expected)
    assert found[EMPTY, "2"] == 0


def test_uptime_is_the_share_of_requests_that_did_not_fail(ask: Ask, records: list[Record]) -> None:
    of_customer: dict[str, list[bool]] = defaultdict(list)
    for record in within(records):
        of_customer[record[1]].append(has_failed(record))
    expected = {
        customer_id: (len(each), sum(each), 100 * (len(each) - sum(each)) / len(each))
        for customer_id, each in of_customer.items()
    }
    rows = ask(panels.UPTIME)
    found = rows.select("customer_id", "requests", "failed", "uptime").rows()
    assert {customer_id: tuple(values) for customer_id, *values in found} == expected
    assert len(found) == len(CUSTOMERS)
    assert rows["uptime"].is_sorted()


def test_latency_is_exact_in_each_minute(ask: Ask, records: list[Record]) -> None:
    durations: dict[datetime, list[float]] = defaultdict(list)
    for moment, customer_id, _, _, duration in within(records):
        if customer_id == QUOTED and duration is not None:
            durations[START + (moment - START) // MINUTE * MINUTE].append(duration)
    rows = ask(panels.LATENCY)
    found = dict(zip(zip(moments_of(rows), rows["quantile"], strict=True), rows["_value"], strict=True))
    expected = {
        (minute, name): pl.Series(values).quantile(q, "linear")
        for minute, values in durations.items()
        for name, q in (("median", 0.5), ("p99", 0.99))
    }
    assert len(expected) == 18  # one of ten minutes is empty
    assert len(rows) == len(found)
    assert found == pytest.approx(expected)


def test_customers_with_the_most_failures_come_first(ask: Ask, records: list[Record]) -> None:
    expected = Counter(record[1] for record in within(records) if has_failed(record))
    rows = ask(panels.FAILURES)
    assert dict(rows.select("customer_id", "failed").iter_rows()) == expected
    assert rows["failed"].is_sorted(descending=True)


def test_paths_with_the_most_requests_come_first(ask: Ask, records: list[Record]) -> None:
    counted = Counter(record[2] for record in within(records))
    rows = ask(panels.PATHS)
    assert rows["requests"].to_list() == sorted(counted.values(), reverse=True)[:10]
    assert [counted[path] for path in rows["path"]] == rows["requests"].to_list()
    assert rows["path"].n_unique() == 10


def test_the_newest_requests_have_their_logged_times(ask: Ask, records: list[Record]) -> None:
    of_customer = [record for record in within(records) if record[1] == QUOTED]
    expected = sorted((record[0] for record in of_customer), reverse=True)[:100]
    rows = ask(panels.REQUESTS)
    assert moments_of(rows) == expected
    found = zip(
        moments_of(rows), rows["path"], rows["status_code"].cast(pl.String), rows["duration"], strict=True
    )
    written = Counter((moment, path, str(status), took) for moment, _, path, status, took in of_customer)
    assert not Counter(found) - written


def test_without_failures_and_durations_the_panels_have_what_there_is(
    asks: Callable[[Sequence[Record]], Ask],
) -> None:
    ask = asks([(START, QUOTED, "/", 200, None)] * 3)
    uptime = ask(panels.UPTIME).select("customer_id", "requests", "failed", "uptime")
    assert uptime.rows() == [(QUOTED, 3, 0, 100.0)]
    assert ask(panels.FAILURES).is_empty()
    assert ask(panels.LATENCY).is_empty()
    assert moments_of(ask(panels.REQUESTS)) == [START] * 3
    assert set(ask(panels.RATE)["class"]) == {"2"}
