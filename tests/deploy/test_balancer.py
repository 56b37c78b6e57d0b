"""Two services of one store behind a balancer, by its example: each answers for both, and either may end."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tailmetrics import stores
from tailmetrics.settings import load_settings
from tailmetrics.stores import Store
from tests import servers
from tests.builders import at, batch_of, moved, source_of
from tests.deploy.test_proxy import NAME, nginx_around, program
from tests.integration.running import Service, await_that, free_port
from tests.paths import ROOT

KEY = {"X-API-Key": "a reader's"}
WAIT_SECONDS = 60.0  # for several processes to start

pytestmark = [pytest.mark.slow, pytest.mark.servers]


class Fleet:
    """A store that this process writes to, two processes that serve it, and a client of their balancer."""

    def __init__(self, folder: Path, store: Store, url: str) -> None:
        self._store = store
        self._source = store.register(source_of())
        self.total = 0
        self.services = [
            Service(folder, "x.log", STORE_URL=url, API_READ_KEY=KEY["X-API-Key"], DRAIN_SECONDS="1")
            for _ in range(2)
        ]
        self.client: httpx.Client

    def start(self) -> None:
        """Start those that do not run."""
        for service in self.services:
            service.client.headers.update(KEY)
            if not service.runs():
                service.start(command="serve", wait=False)
        for service in self.services:
            await_that(service.answers, WAIT_SECONDS, service.said)

    def commit(self) -> None:
        batch = batch_of(self._source, [(at("2024-10-10"), "a", "/", 200, 0.1)])
        self._store.write([batch])
        self._source = moved(self._source, batch)
        self.total += 1

    def close(self) -> None:
        for service in self.services:
            service.close()


def _caddy(folder: Path, port: int, fleet: Fleet) -> list[str]:
    example = (ROOT / "deploy/proxy/cluster.Caddyfile").read_text()
    for pattern, changed in (
        (r"admin off", f"admin off\n\tstorage file_system {folder}"),
        (r"(?m)^:8000 ", f"http://127.0.0.1:{port} "),
        (
            r"api_cluster1:8000 api_cluster2:8000",
            " ".join(f"127.0.0.1:{each.port}" for each in fleet.services),
        ),
        (r"health_interval 2s", "health_interval 100ms"),
    ):
        example, number = re.subn(pattern, changed, example)
        assert number == 1, pattern
    (folder / "Caddyfile").write_text(example)
    return [program("caddy"), "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]


def _nginx(folder: Path, port: int, fleet: Fleet) -> list[str]:
    example = (ROOT / "deploy/proxy/cluster.nginx.conf").read_text()
    for found, changed in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("listen [::]:80;", ""),
        (NAME, "_"),
        ("10.0.0.11:8000", f"127.0.0.1:{fleet.services[0].port}"),
        ("10.0.0.12:8000", f"127.0.0.1:{fleet.services[1].port}"),
    ):
        assert found in example
        example = example.replace(found, changed)
    return nginx_around(folder, example)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    url = servers.postgresql().new_database()
    with ExitStack() as closing:
        store = stores.open_store(load_settings(None, store_url=url))
        closing.callback(store.close)
        made = Fleet(tmp_path_factory.mktemp("services"), store, url)
        closing.callback(made.close)
        yield made


@pytest.fixture(scope="module", params=[_caddy, _nginx], ids=["caddy", "nginx"])
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, processes: Fleet
) -> Iterator[Fleet]:
    processes.start()
    folder, port = tmp_path_factory.mktemp("balancer"), free_port()
    command, environment = request.param(folder, port, processes), {**os.environ, "HOME": str(folder)}
    balancer = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_SECONDS) as processes.client:
        try:
            await_that(lambda: _status(processes.client, "/health") == 200, WAIT_SECONDS)
            yield processes
        finally:
            balancer.terminate()
            balancer.wait(WAIT_SECONDS)


def _status(client: httpx.Client, path: str) -> int:
    """The status of an answer, 0 when there is none."""
    try:
        return client.get(path, headers=KEY).status_code
    except httpx.TransportError:
        return 0


def test_a_session_begun_at_one_is_one_at_the_other(fleet: Fleet) -> None:
    begun = fleet.client.post("/session", json={"key": "a reader's"})
    assert begun.status_code == 204
    cookie = "; ".join(f"{name}={value}" for name, value in begun.cookies.items())
    for service in fleet.services:
        with httpx.Client(base_url=service.client.base_url) as client:
            assert client.get("/stats").status_code == 401
            assert client.get("/stats", headers={"Cookie": cookie}).status_code == 200


def test_what_a_third_process_commits_is_told_and_answered_by_both(fleet: Fleet) -> None:
    fleet.commit()
    with ExitStack() as closing:
        streams = [
            closing.enter_context(fleet.client.stream("GET", "/live?every=1d", headers=KEY)) for _ in range(2)
        ]
        lines = [stream.iter_lines() for stream in streams]
        for _ in range(3):
            for each in lines:
                next(line for line in each if f'"total_requests":{fleet.total},' in line)
            assert [service.total() for service in fleet.services] == [fleet.total] * 2
            fleet.commit()
            for service in fleet.services:
                await_that(lambda service=service: service.total() == fleet.total, WAIT_SECONDS)


def test_none_is_lost_when_one_is_restarted_and_the_other_answers_when_one_is_killed(fleet: Fleet) -> None:
    first, second = fleet.services
    with _Asking(fleet) as asked:
        _await_more(asked, 20)
        assert first.end() == 0, first.said()
        _await_more(asked, 20)
        assert set(asked) == {200}, asked
        first.start(command="serve")
        second.kill()
        await_that(lambda: asked[-20:] == [200] * 20 and len(asked) > 60, WAIT_SECONDS, lambda: str(asked))


class _Asking:
    """Asks the balancer in two threads, and gathers the statuses of all answers."""

    def __init__(self, fleet: Fleet) -> None:
        self._client = fleet.client
        self._asked: list[int] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def _ask(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            self._asked.append(_status(self._client, f"/stats?every=none&from=-{number % 50 + 1}d"))

    def __enter__(self) -> list[int]:
        for thread in self._threads:
            thread.start()
        return self._asked

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)


def _await_more(asked: list[int], number: int) -> None:
    begun = len(asked)
    await_that(lambda: len(asked) >= begun + number, WAIT_SECONDS)
