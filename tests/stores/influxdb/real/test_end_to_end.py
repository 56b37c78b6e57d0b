"""Commands between files and HTTP, with a real InfluxDB behind them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tailmetrics.settings import Settings
from tailmetrics.stats import BreakdownQuery, CustomersQuery, StatsAnswer, StatsQuery, Summary, WindowStats
from tailmetrics.windows import parse_every
from tests.builders import Record
from tests.integration.running import Service, await_that
from tests.stores.brute_force import (
    assert_same,
    assert_same_summary,
    expected_breakdown,
    expected_customers,
    expected_stats,
)
from tests.stores.influxdb.real.logs import GrowingLog
from tests.stores.influxdb.server import TOKEN, environment_of
from tests.stores.random_queries import random_records

FIGURES = tuple(Summary.__dataclass_fields__)


@pytest.fixture
def new_service(tmp_path: Path, settings: Settings) -> Iterator[Callable[[], Service]]:
    """Makes services of one log and one bucket, each with a port of its own."""
    with contextlib.ExitStack() as made:

        def make() -> Service:
            service = Service(tmp_path, str(tmp_path / "x.log"), **environment_of(settings))
            service.environment["METRICS_PORT"] = "0"
            made.callback(service.close)
            return service

        yield make


@pytest.fixture
def service(new_service: Callable[[], Service]) -> Service:
    return new_service()


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


@pytest.mark.parametrize("commands", [("up",), ("ingest", "serve")], ids=" and ".join)
def test_answers_about_a_log_that_grew_equal_brute_force(
    new_service: Callable[[], Service], commands: Sequence[str]
) -> None:
    records = random_records(5_000, seed=3)
    services = [new_service() for _ in commands]
    with GrowingLog(services[0].folder / "x.log", records, seconds=5, seed=3):
        for service, command in zip(services, commands, strict=True):
            service.start(command=command, wait=False)
    await_that(lambda: _total(services[-1]) >= len(records), 60, services[0].said)
    client = services[-1].client
    for customer_id in (None, "cust_0", "cust_7"):
        check_stats(client, records, customer_id)
        check_breakdown(client, records, customer_id)
    check_customers(client, records)
    assert [service.end() for service in services] == [0] * len(services)


def check_stats(client: httpx.Client, records: Sequence[Record], customer_id: str | None) -> None:
    path = "/stats" if customer_id is None else f"/customers/{customer_id}/stats"
    for every in ("none", "1d", "6h", "1h"):
        for tz in ("UTC", "America/New_York", "Asia/Kathmandu"):
            query = StatsQuery(customer_id, parse_every(every), zone=ZoneInfo(tz))
            document = client.get(path, params={"every": every, "tz": tz}).raise_for_status().json()
            assert_same(answer_of(document, query), expected_stats(records, query))


def answer_of(document: dict[str, Any], query: StatsQuery) -> StatsAnswer:
    windows = tuple(
        WindowStats(time_of(window["start"]), time_of(window["end"]), summary_of(window))
        for window in document["windows"]
    )
    return StatsAnswer(
        query, time_of(document["from"]), time_of(document["to"]), summary_of(document), windows
    )


def summary_of(document: dict[str, Any]) -> Summary:
    return Summary(*(document[figure] for figure in FIGURES))


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def check_breakdown(client: httpx.Client, records: Sequence[Record], customer_id: str | None) -> None:
    path = "/breakdown" if customer_id is None else f"/customers/{customer_id}/breakdown"
    document = client.get(path).raise_for_status().json()
    expected = expected_breakdown(records, BreakdownQuery(customer_id))
    assert [tuple(each.values()) for each in document["paths"]] == [
        (each.path, each.requests, each.failed) for each in expected.paths
    ]
    assert [tuple(each.values()) for each in document["statuses"]] == [
        (each.status_code, each.requests, each.failed) for each in expected.statuses
    ]


def check_customers(client: httpx.Client, records: Sequence[Record]) -> None:
    document = client.get("/customers", params={"limit": 1000}).raise_for_status().json()
    expected = expected_customers(records, CustomersQuery())
    assert [each["customer_id"] for each in document["customers"]] == sorted(expected)
    for each in document["customers"]:
        assert_same_summary(summary_of(each), expected[each["customer_id"]].summary)
