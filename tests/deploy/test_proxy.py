"""The examples for proxies: pages, their streams of events, and logs that are sent go through."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.running import Service, await_that, free_port
from tests.paths import DATA, ROOT
from tests.tailing.following import append, numbered

NAME = "stats.example.com"
WAIT_SECONDS = 20.0

pytestmark = pytest.mark.slow

Prepare = Callable[[Path, int, int], list[str]]


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _nginx(folder: Path, port: int, service_port: int) -> list[str]:
    example = (ROOT / "deploy/proxy/nginx.conf").read_text()
    for found, changed in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("listen [::]:80;", ""),
        ("127.0.0.1:8000", f"127.0.0.1:{service_port}"),
    ):
        assert found in example
        example = example.replace(found, changed)
    return nginx_around(folder, example)


def nginx_around(folder: Path, servers: str) -> list[str]:
    """The command that runs nginx with these servers and nothing else, all its files being in `folder`."""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; gzip on;\n{temporary}{servers}}}\n"
    )
    return [program("nginx"), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def _caddy(folder: Path, port: int, service_port: int) -> list[str]:
    example = (ROOT / "deploy/proxy/Caddyfile").read_text()
    assert f"\n{NAME} {{" in example
    # Without the certificate, for which it would ask an authority.
    example = example.replace(f"\n{NAME} {{", f"\nhttp://{NAME}:{port} {{")
    (folder / "Caddyfile").write_text(
        f"{{\nadmin off\nauto_https off\nstorage file_system {folder}\n}}\n"
        + example.replace("127.0.0.1:8000", f"127.0.0.1:{service_port}")
    )
    return [program("caddy"), "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]


@pytest.fixture(params=[_nginx, _caddy], ids=["nginx", "caddy"])
def page(
    request: pytest.FixtureRequest, tmp_path: Path, new_service: Callable[..., Service]
) -> Iterator[httpx.Client]:
    """A client of the proxy before a service that follows x.log."""
    append(tmp_path / "x.log", *numbered(0, 10))
    service = new_service(API_ALLOWED_HOSTS=NAME)
    port = free_port()
    prepare: Prepare = request.param
    command = prepare(tmp_path, port, service.port)
    service.start()
    service.await_total(10)
    environment = {**os.environ, "HOME": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Host": NAME}, timeout=WAIT_SECONDS)

    def answers() -> bool:
        try:
            return client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        await_that(answers, WAIT_SECONDS)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(WAIT_SECONDS)


def test_pages_events_and_loads_go_through(page: httpx.Client, tmp_path: Path) -> None:
    assert page.get("/").text == (ROOT / "src/tailmetrics/api/static/index.html").read_text()
    with page.stream("GET", "/live", params={"every": "1d"}) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if '"total_requests":10,' in line)
        append(tmp_path / "x.log", *numbered(10, 15))
        next(line for line in lines if '"total_requests":15,' in line)
    log = (DATA / "requests-10k.log").read_bytes()
    loaded = page.post(
        "/load",
        params={"name": "old.log", "wait": "true"},
        content=log,
        headers={"Content-Type": "text/plain", "Origin": f"http://{NAME}:{page.base_url.port}"}
        | {"Host": f"{NAME}:{page.base_url.port}"},
    )
    assert loaded.json()["files"][0]["records"] == 10_000
