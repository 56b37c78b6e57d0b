"""Tokens of the least scope on a real InfluxDB: what each command does with them, and what it says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.settings import Settings
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import batch_of, source_of
from tests.integration.running import Service, await_that
from tests.paths import DATA
from tests.stores.conftest import Ask
from tests.stores.influxdb.real.asking import NOON, committed
from tests.stores.influxdb.server import ORG, URL, settings_of_bucket

LOG = DATA / "requests-10k.log"

Made = Callable[..., str]
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def token(settings: Settings, server: httpx.Client) -> Iterator[Made]:
    """Makes tokens for actions on the two buckets, which are made before any of the commands runs."""
    org_id = server.get("/api/v2/orgs", params={"org": ORG}).json()["orgs"][0]["id"]
    buckets = []
    for name in (settings.influxdb_bucket, f"{settings.influxdb_bucket}_meta"):
        answer = server.post("/api/v2/buckets", json={"orgID": org_id, "name": name, "retentionRules": []})
        buckets.append(answer.raise_for_status().json()["id"])
    made = []

    def make(*actions: str) -> str:
        permissions = [
            {"action": action, "resource": {"type": "buckets", "id": bucket, "orgID": org_id}}
            for action in actions
            for bucket in buckets
        ]
        body = {"orgID": org_id, "permissions": permissions}
        answer = server.post("/api/v2/authorizations", json=body).raise_for_status().json()
        made.append(answer["id"])
        return answer["token"]

    yield make
    for each in made:
        server.delete(f"/api/v2/authorizations/{each}")


def environment_of(settings: Settings, token: str) -> dict[str, str]:
    return {
        "STORE_URL": "influxdb://",
        "INFLUXDB_URL": URL,
        "INFLUXDB_ORG": ORG,
        "INFLUXDB_BUCKET": settings.influxdb_bucket,
        "INFLUXDB_TOKEN": token,
        "METRICS_PORT": "0",
    }


@pytest.fixture
def service(tmp_path: Path, settings: Settings) -> Iterator[Callable[[str], Service]]:
    with contextlib.ExitStack() as started:

        def make(token: str) -> Service:
            made = Service(tmp_path, str(tmp_path / "x.log"), **environment_of(settings, token))
            started.callback(made.close)
            return made

        yield make


def run(service: Service, *arguments: object) -> Done:
    command = [sys.executable, "-m", "tailmetrics", *map(str, arguments)]
    return subprocess.run(
        command,
        env=service.environment,
        cwd=service.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_to_read_and_write_the_two_buckets_is_enough_for_every_command(
    token: Made, service: Callable[[str], Service]
) -> None:
    writing = service(token("read", "write"))
    (writing.folder / "x.log").write_text("2024-10-10 12:00:00 shop /cart 200 0.5\n")
    statuses = {
        arguments[0]: run(writing, *arguments).returncode
        for arguments in (
            ("check",),
            ("load", LOG),
            ("status",),
            ("stats",),
            ("rejects",),
            ("export", "records", "records.csv"),
        )
    }
    assert statuses == dict.fromkeys(statuses, 0)
    assert len((writing.folder / "records.csv").read_text().splitlines()) > 9_000
    writing.start()
    writing.await_total(10_000)
    assert writing.end() == 0


def test_to_read_them_is_enough_to_answer_questions(token: Made, service: Callable[[str], Service]) -> None:
    assert run(service(token("read", "write")), "load", LOG).returncode == 0
    reading = service(token("read"))
    checked = run(reading, "check", "--reader")
    assert checked.returncode == 0, checked.stdout
    assert run(reading, "export", "records", "records.csv").returncode == 0
    reading.start(command="serve")
    assert reading.total() > 9_000
    assert "error" not in reading.said()


def test_who_may_only_read_is_told_by_check_and_a_load_ends(
    token: Made, service: Callable[[str], Service]
) -> None:
    reading = service(token("read"))
    (reading.folder / "x.log").touch()
    checked = run(reading, "check")
    assert checked.returncode == 78
    assert "wrong store: INFLUXDB_TOKEN: it may not do that" in checked.stdout
    loaded = run(reading, "load", LOG)
    assert loaded.returncode == 78
    assert "tailmetrics load: INFLUXDB_TOKEN: it may not do that" in loaded.stderr


@pytest.mark.parametrize("command", ["up", "ingest"])
def test_a_service_that_may_only_read_says_so_before_a_line_comes_and_goes_on(
    token: Made, service: Callable[[str], Service], command: str
) -> None:
    reading = service(token("read"))
    if command == "ingest":
        reading.environment["METRICS_PORT"] = str(reading.port)
    (reading.folder / "x.log").touch()
    reading.start(wait=False, command=command)

    def reasons() -> list[str]:
        with contextlib.suppress(httpx.TransportError):
            return reading.client.get("/ready").json()["reasons"]
        return []

    await_that(lambda: any("INFLUXDB_TOKEN: it may not do that" in each for each in reasons()), 30)
    await_that(lambda: "the store refuses this service" in reading.said(), 10, reading.said)
    if command == "up":
        loaded = run(reading, "load", LOG)
        assert loaded.returncode == 69
        assert "INFLUXDB_TOKEN: it may not do that" in loaded.stderr
    assert reading.end() == 0


def test_what_came_while_a_token_was_switched_off_is_stored_when_it_is_on_again(
    token: Made, service: Callable[[str], Service], server: httpx.Client
) -> None:
    running = service(token("read", "write"))
    log = running.folder / "x.log"
    log.write_text("2024-10-10 12:00:00 shop /cart 200 0.5\n")
    running.start()
    running.await_total(1)
    [made] = [
        each["id"]
        for each in server.get("/api/v2/authorizations").json()["authorizations"]
        if each["token"] == running.environment["INFLUXDB_TOKEN"]
    ]
    server.patch(f"/api/v2/authorizations/{made}", json={"status": "inactive"}).raise_for_status()
    with log.open("a") as lines:
        lines.writelines("2024-10-10 12:00:00 shop /cart 200 0.5\n" for _ in range(100))
    await_that(lambda: running.client.get("/ready").status_code == 503, 20, running.said)
    await_that(lambda: "the store refuses this service" in running.said(), 20, running.said)
    server.patch(f"/api/v2/authorizations/{made}", json={"status": "active"}).raise_for_status()
    running.await_total(101)
    await_that(running.is_ready, 20, running.said)
    assert running.total() == 101


@pytest.mark.parametrize("arguments", [("load", LOG), ("export", "records", "x.csv"), ("stats",), ("check",)])
@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"INFLUXDB_TOKEN": "wrong"}, "INFLUXDB_TOKEN"), ({"INFLUXDB_ORG": "nobody"}, "INFLUXDB_ORG")],
)
def test_what_waiting_does_not_mend_ends_a_command(
    token: Made,
    service: Callable[[str], Service],
    arguments: tuple[object, ...],
    wrong: dict[str, str],
    named: str,
) -> None:
    asking = service(token("read", "write"))
    asking.environment |= wrong
    done = run(asking, *arguments)
    assert done.returncode == 78
    assert named in done.stdout + done.stderr


def test_forgetting_a_source_needs_no_more_than_to_write(token: Made, settings: Settings) -> None:
    limited = InfluxDBStore(
        settings_of_bucket(settings.influxdb_bucket, influxdb_token=token("read", "write"))
    )
    source = limited.register(source_of())
    assert limited.forget([source.source_id]) == 1
    limited.close()


def test_series_are_counted_by_who_may_read_and_told_by_status(
    token: Made, service: Callable[[str], Service], settings: Settings, ask: Ask[Any]
) -> None:
    store = InfluxDBStore(settings)
    source = store.register(source_of())
    records = [
        (NOON, f"customer {number}", "/", status, 0.1) for number in range(50) for status in (200, 500)
    ]
    assert ask(store.series()) == 0
    committed(store, batch_of(source, records))
    store.close()
    status = run(service(token("read")), "status", "--json")
    assert json.loads(status.stdout)["store"]["series"] == 100
