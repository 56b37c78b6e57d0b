"""What only a real InfluxDB can show. Collected when INFLUXDB_TEST_URL, _TOKEN and _ORG are given."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.errors import SourceHeld, StoreUnavailable, UnknownCustomer
from tailmetrics.ingest.committer import Committer
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Batch
from tailmetrics.stats import BreakdownQuery, CustomersQuery, RejectsQuery, StatsQuery, TrendsQuery
from tailmetrics.stores.influxdb import leases
from tailmetrics.stores.influxdb.leases import Holder
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.windows import parse_every
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, source_of
from tests.integration.running import Service, await_that
from tests.stores.conftest import Ask
from tests.stores.influxdb.server import ORG, TOKEN, URL, settings_of_bucket

pytestmark = pytest.mark.servers

NOON = at("2024-10-10T12:00:00")
DAILY = parse_every("1d")
TOTAL = parse_every("none")
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


@pytest.fixture
def settings() -> Settings:
    return settings_of_bucket()


@pytest.fixture
def store(settings: Settings) -> Iterator[InfluxDBStore]:
    opened = InfluxDBStore(settings)
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[httpx.Client]:
    with httpx.Client(base_url=URL, headers={"Authorization": f"Token {TOKEN}"}, timeout=30) as client:
        yield client


def committed(store: InfluxDBStore, batch: Batch) -> Batch:
    done: list[Batch] = []
    committer = Committer(store, load_settings(None), Metrics(), done.append)
    committer.put(batch)
    committer.close()
    assert committer.failure is None
    return done[0]


def requests_of(store: InfluxDBStore, ask: Ask[Any], customer_id: str | None = "a") -> int:
    return ask(store.stats(StatsQuery(customer_id, TOTAL))).summary.total_requests


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


def test_rejected_lines_of_any_kind_are_shown_as_they_are(store: InfluxDBStore, ask: Ask[Any]) -> None:
    lines = [*HOSTILE_IDS, "\\x00" * 16_384, "\x01" * 65_536, '"\\' * 32_768]
    source = store.register(source_of())
    store.write([batch_of(source, rejects=[("reason", line) for line in lines])])
    page = ask(store.rejects(RejectsQuery()))
    assert [reject.line for reject in page.rejects] == lines[::-1]


def test_records_older_than_the_retention_are_rejects(ask: Ask[Any]) -> None:
    store = InfluxDBStore(settings_of_bucket(retention_days=7))
    source = store.register(source_of())
    fresh = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=6)
    done = committed(store, batch_of(source, [(fresh, "a", "/", 200, 0.1), (NOON, "a", "/", 200, 0.1)]))
    assert requests_of(store, ask) == 1
    [reject] = ask(store.rejects(RejectsQuery())).rejects
    store.close()
    assert done.parsed.rejects.height == 1
    assert (reject.offset, reject.reason[:36]) == (LINE_BYTES, "timestamp: found 2024-10-10 12:00:00")


def test_what_the_server_finds_too_old_is_a_reject_too(
    ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = InfluxDBStore(settings_of_bucket(retention_days=7))
    source = store.register(source_of())
    monkeypatch.setattr(store._server, "retention_seconds", 0)
    fresh = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=6)
    committed(store, batch_of(source, [(fresh, "a", "/", 200, 0.1), (NOON, "a", "/", 200, 0.1)]))
    assert requests_of(store, ask) == 1
    [reject] = ask(store.rejects(RejectsQuery())).rejects
    store.close()
    assert "retention policy" in reject.reason


def test_a_record_of_another_shape_than_the_bucket_has_is_a_reject(
    settings: Settings, store: InfluxDBStore, ask: Ask[Any], server: httpx.Client
) -> None:
    source = store.register(source_of())
    line = b'requests_s,customer_id=a,lane=x,status_code=200 duration="text" 1728561600000000000'
    params = {"org": ORG, "bucket": settings.influxdb_bucket}
    server.post("/api/v2/write", params=params, content=line).raise_for_status()
    records: list[Record] = [
        (NOON, "a", "/", 200, 0.1),
        (NOON + timedelta(microseconds=1), "b", "/", 200, 0.1),
    ]
    done = committed(store, batch_of(source, records))
    assert done.parsed.records["customer_id"].to_list() == ["b"]
    assert "field type conflict" in done.parsed.rejects["reason"][0]


def test_a_token_for_the_two_buckets_alone_suffices(
    settings: Settings, store: InfluxDBStore, ask: Ask[Any], server: httpx.Client
) -> None:
    store.register(source_of())
    org_id = server.get("/api/v2/orgs", params={"org": ORG}).json()["orgs"][0]["id"]
    permissions = []
    for name in (settings.influxdb_bucket, f"{settings.influxdb_bucket}_meta"):
        bucket = server.get("/api/v2/buckets", params={"org": ORG, "name": name}).json()["buckets"][0]
        resource = {"type": "buckets", "id": bucket["id"], "orgID": org_id}
        permissions += [{"action": action, "resource": resource} for action in ("read", "write")]
    token = server.post("/api/v2/authorizations", json={"orgID": org_id, "permissions": permissions}).json()
    limited = InfluxDBStore(settings_of_bucket(settings.influxdb_bucket, influxdb_token=token["token"]))
    source = limited.register(source_of("other", inode=9))
    limited.write([batch_of(source, [(NOON, "a", "/", 200, 0.1)])])
    assert requests_of(limited, ask) == 1
    limited.close()
    server.delete(f"/api/v2/authorizations/{token['id']}")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"influxdb_token": "wrong"}, "INFLUXDB_TOKEN"),
        ({"influxdb_org": "nobody"}, "INFLUXDB_ORG"),
        ({"influxdb_url": "http://127.0.0.1:9"}, "INFLUXDB_URL"),
    ],
)
def test_a_wrong_setting_is_named_within_five_seconds(
    ask: Ask[Any], wrong: dict[str, str], named: str
) -> None:
    began = time.monotonic()
    store = InfluxDBStore(settings_of_bucket("any", **wrong))
    with pytest.raises(StoreUnavailable, match=named):
        ask(store.status())
    with pytest.raises(StoreUnavailable, match=named):
        store.sources("node")
    store.close()
    assert time.monotonic() - began < 5


class TestTwoProcessors:
    def test_the_second_is_refused_with_the_name_of_the_first(
        self, settings: Settings, store: InfluxDBStore
    ) -> None:
        source = store.register(source_of())
        second = InfluxDBStore(settings)
        with pytest.raises(SourceHeld, match=r"is read by process \d+ on .*, which is alive"):
            second.write([batch_of(source, blanks=1)])
        second.close()

    def test_what_one_that_has_ended_held_is_taken_over(
        self, settings: Settings, store: InfluxDBStore
    ) -> None:
        source = store.register(source_of())
        store.close()
        second = InfluxDBStore(settings)
        second.write([batch_of(source, blanks=1)])
        assert second.position(source.source_id) == 1
        second.close()

    @pytest.fixture
    def elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A processor of whose machine nothing is known here."""
        here = Holder.here()
        monkeypatch.setattr(Holder, "here", lambda: replace(here, machine="elsewhere", host="elsewhere"))
        monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
        monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)

    def test_one_that_lives_on_another_machine_is_found_out_by_what_it_says(
        self, elsewhere: None, settings: Settings, store: InfluxDBStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = store.register(source_of())
        monkeypatch.undo()
        second = InfluxDBStore(settings)
        with pytest.raises(SourceHeld, match="on elsewhere"):
            write_when_possible(second, batch_of(source, blanks=1))
        second.close()

    def test_one_that_died_on_another_machine_is_waited_for_and_then_taken_over(
        self, elsewhere: None, settings: Settings, store: InfluxDBStore
    ) -> None:
        source = store.register(source_of())
        store._writer._leases._ending.set()  # it says nothing more, not even that it ends
        second = InfluxDBStore(settings)
        write_when_possible(second, batch_of(source, blanks=1))
        assert second.position(source.source_id) == 1
        second.close()


def write_when_possible(store: InfluxDBStore, batch: Batch) -> None:
    await_that(lambda: was_written(store, batch), 20)


def was_written(store: InfluxDBStore, batch: Batch) -> bool:
    with contextlib.suppress(StoreUnavailable):
        store.write([batch])
        return True
    return False


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
