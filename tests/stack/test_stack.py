"""The containers on a real engine: ./run_tests.sh -m containers

It takes some minutes and needs Docker with Compose. Where no image can be pulled, BASE_IMAGE and
INFLUXDB_IMAGE name local ones.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.running import await_that
from tests.stack.running import HEALTHY_SECONDS, SERVICES, Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

KINDS = ("container", "volume", "network", "image")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; the tests of this module use it one after the other."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        started = stack.start()
        assert started.returncode == 0, started.stderr
        yield stack
    finally:
        stack.script("cleanup.sh", "--yes")
        stack.client.close()


@pytest.mark.parametrize("address", ["/", "/docs", "/customers/cust_1/stats"])
def test_the_addresses_of_the_demo_answer(stack: Stack, address: str) -> None:
    assert stack.client.get(address).status_code == 200


def test_the_figures_grow(stack: Stack) -> None:
    stack.await_growth()


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_is_root(stack: Stack, service: str) -> None:
    assert stack.docker("exec", stack.container(service), "id", "-u").strip() != "0"


@pytest.mark.parametrize("service", SERVICES)
def test_a_program_cannot_be_changed(stack: Stack, service: str) -> None:
    assert stack.inspected(service, "{{.HostConfig.ReadonlyRootfs}}") == "true"


def test_nothing_but_the_loopback_is_listened_on(stack: Stack) -> None:
    template = "{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}"
    assert [stack.inspected(service, template) for service in SERVICES] == ["", "", "", "127.0.0.1"]


def test_no_secret_is_in_an_image(stack: Stack) -> None:
    secrets = [line.split("=")[1] for line in (stack.folder / ".env").read_text().splitlines()[1:]]
    image = stack.inspected("api", "{{.Image}}")
    history = stack.docker("history", "--no-trunc", image) + stack.docker("inspect", image)
    assert not any(secret in history for secret in secrets)


def test_a_second_start_changes_nothing(stack: Stack) -> None:
    before = [stack.container(service) for service in SERVICES]
    assert stack.start().returncode == 0
    assert [stack.container(service) for service in SERVICES] == before


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_restarted_goes_on(stack: Stack, service: str) -> None:
    stack.docker("restart", stack.container(service))
    stack.await_health(service)
    stack.await_growth()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_killed_and_started_goes_on(stack: Stack, service: str) -> None:
    stack.docker("kill", stack.container(service))
    stack.docker("start", stack.container(service))
    stack.await_health(service)
    stack.await_growth()


def test_every_line_counts_once_though_the_processor_is_killed_under_load(stack: Stack) -> None:
    processor = stack.container("log_processor")
    for _ in range(10):
        time.sleep(random.uniform(1, 4))  # a moment at which it may be doing anything
        stack.docker("kill", processor)
        stack.docker("start", processor)
    stack.docker("stop", stack.container("log_generator"))
    written = stack.written()
    await_that(lambda: stack.counted() == written, HEALTHY_SECONDS)


def test_a_cleanup_leaves_nothing_and_the_next_start_is_a_fresh_one(stack: Stack) -> None:
    before = (stack.folder / ".env").read_text()
    assert stack.script("cleanup.sh", "--yes").returncode == 0
    assert {kind: stack.kept(kind) for kind in KINDS} == {kind: [] for kind in KINDS}
    assert not (stack.folder / ".env").exists()
    with pytest.raises(httpx.ConnectError):
        stack.client.get("/health")
    assert stack.start().returncode == 0
    assert (stack.folder / ".env").read_text() != before
    stack.await_growth()
