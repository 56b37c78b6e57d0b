"""What a real InfluxDB gives back of what it was given, and over a kill."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.errors import UnknownCustomer
from tailmetrics.settings import Settings
from tailmetrics.stats import BreakdownQuery, CustomersQuery, RejectsQuery, TrendsQuery
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import Record, batch_of, moved, source_of
from tests.integration.running import Service, await_that
from tests.stores.conftest import Ask
from tests.stores.influxdb.real.asking import NOON, committed, requests_of
from tests.stores.influxdb.server import TOKEN

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


def environment_of(settings: Settings) -> dict[str, str]:
    return {
        "STORE_URL": "influxdb://",
        "INFLUXDB_URL": settings.influxdb_url,
        "INFLUXDB_ORG": settings.influxdb_org,
        "INFLUXDB_BUCKET": settings.influxdb_bucket,
        "INFLUXDB_TOKEN": TOKEN,
    }


@pytest.fixture
def service(tmp_path: Path, settings: Settings) -> Iterator[Service]:
    started = Service(tmp_path, str(tmp_path / "x.log"), **environment_of(settings))
    yield started
    started.close()


def append(path: Path, first: int, number: int) -> None:
    with path.open("a") as log:
        log.writelines(
            f"2024-10-10 12:00:{line % 60:02} cust_{line % 3} /{line} 200 0.5\n"
            for line in range(first, first + number)
        )


def test_a_service_from_files_to_answers_and_over_a_kill(service: Service) -> None:
    log = service.folder / "x.log"
    append(log, 0, 5_000)
    service.start()
    service.await_total(5_000)
    append(log, 5_000, 5_000)
    service.kill()
    append(log, 10_000, 5_000)
    service.start()
    service.await_total(15_000)
    breakdown = service.client.get("/customers/cust_1/breakdown", params={"top": 1}).json()
    assert breakdown["paths_total"] == 5_000
    assert service.total() == 15_000
    assert service.end(signal.SIGTERM) == 0
    assert TOKEN not in service.said()


def test_ingest_and_serve_are_processes_of_their_own(service: Service) -> None:
    append(service.folder / "x.log", 0, 1_000)
    arguments: dict[str, Any] = {"env": service.environment, "cwd": service.folder}
    with contextlib.ExitStack() as running:
        service.environment["METRICS_PORT"] = "0"
        for command in ("ingest", "serve"):
            process = subprocess.Popen([sys.executable, "-m", "tailmetrics", command], **arguments)
            running.callback(process.wait, 20)
            running.callback(process.terminate)
        await_that(lambda: _total(service) == 1_000, 30)
        await_that(lambda: bool(service.client.get("/ready").json()["sources"]), 30)


def _total(service: Service) -> int:
    with contextlib.suppress(httpx.TransportError, KeyError):
        return service.total()
    return -1
