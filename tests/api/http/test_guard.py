from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

KEY = "secret-ü"
LOG = b"2024-10-10 08:00:00 cust_1 / 200 0.1\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[httpx.Client]:
    """A service with a key and two further names, bound to all addresses as its settings say."""
    settings = settings_in(
        tmp_path_factory.mktemp("guarded"),
        api_key=KEY,
        api_host="0.0.0.0",  # noqa: S104  # only said, not bound
        api_allowed_hosts="stats.example.org,Other.Example.org",
    )
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8000",
        "stats.example.org",
        "other.example.org:443",
        "stats.example.org.",
        "0.0.0.0:8000",
        "[::]:8000",
        "192.0.2.7:8000",
        "[2001:db8::7]",
    ],
)
def test_our_names_are_answered(guarded: httpx.Client, host: str) -> None:
    assert guarded.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.org",
        "localhost.evil.example.org",
        "0.0.0.0.evil.example.org",
        "192.0.2.7.evil.example.org",
        "user@localhost",
        "localhost:port",
        "localhost/",
        "[::1",
        "",
    ],
)
def test_other_names_are_refused(guarded: httpx.Client, host: str) -> None:
    response = guarded.get("/health", headers={"Host": host})
    assert response.status_code == 403
    assert response.json()["detail"].startswith(f"Host: found {host!r}")


@pytest.mark.parametrize("host", ["192.0.2.7:8000", "198.51.100.1", "[2001:db8::7]:80"])
@pytest.mark.parametrize("listens_on", ["192.0.2.7", "web-1.example.org"])
def test_where_other_machines_reach_it_any_address_is_ours_and_no_name_of_others(
    tmp_path: Path, store: Store, listens_on: str, host: str
) -> None:
    with serving(create_app(settings_in(tmp_path, api_host=listens_on), store, None, Metrics())) as client:
        assert client.get("/health", headers={"Host": listens_on}).status_code == 200
        assert client.get("/health", headers={"Host": host}).status_code == 200
        assert client.get("/health", headers={"Host": "evil.example.org"}).status_code == 403


@pytest.mark.parametrize("listens_on", ["127.0.0.2", "::1", "localhost"])
def test_on_the_loopback_no_other_address_is_ours(tmp_path: Path, store: Store, listens_on: str) -> None:
    with serving(create_app(settings_in(tmp_path, api_host=listens_on), store, None, Metrics())) as client:
        assert client.get("/health", headers={"Host": "192.0.2.7"}).status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0:8000", "[::]"])
def test_the_address_that_leads_to_the_loopback_is_ours(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_an_address_that_is_not_listened_on_is_refused(client: httpx.Client) -> None:
    response = client.get("/health", headers={"Host": "192.0.2.7"})
    assert response.status_code == 403
    assert "any IP address" not in response.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_two_hosts_are_400(guarded: httpx.Client, method: str) -> None:
    connection = HTTPConnection("127.0.0.1", guarded.base_url.port or 0, timeout=30)
    connection.putrequest(method, "/customers", skip_host=True)
    for _ in range(2):
        connection.putheader("Host", "localhost")
    connection.endheaders()
    response = connection.getresponse()
    found = (response.status, response.headers["content-type"])
    connection.close()
    assert found == (400, "application/problem+json")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_others_change_nothing(guarded: httpx.Client, headers: dict[str, str]) -> None:
    response = guarded.post("/load", content=LOG, headers={"X-API-Key": KEY.encode(), **headers})
    assert response.status_code == 403
    assert next(iter(headers)) in response.json()["detail"]


def test_our_own_pages_may_change_something(guarded: httpx.Client) -> None:
    own = str(guarded.base_url).rstrip("/")
    headers = {"X-API-Key": KEY.encode(), "Origin": own, "Sec-Fetch-Site": "same-origin"}
    assert guarded.post("/load", content=LOG, headers=headers).status_code == 202


def test_a_port_that_is_the_schemes_own_may_be_left_out(guarded: httpx.Client) -> None:
    headers = {
        "X-API-Key": KEY.encode(),
        "Origin": "https://stats.example.org:443",
        "Host": "stats.example.org",
    }
    assert guarded.post("/load", content=LOG, headers=headers).status_code == 202


def test_pages_of_others_are_not_allowed_to_read(client: httpx.Client) -> None:
    response = client.get("/stats", headers={"Origin": "http://evil.example.org"})
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("key", [None, "", "wrong", "secret"])
def test_changes_need_the_key(guarded: httpx.Client, key: str | None) -> None:
    headers = {} if key is None else {"X-API-Key": key}
    response = guarded.post("/load", content=LOG, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")
    assert response.headers["www-authenticate"].startswith("ApiKey")


def test_reading_needs_no_key(guarded: httpx.Client) -> None:
    assert guarded.get("/stats").status_code == 200


def test_without_a_key_in_the_settings_none_is_asked_for(client: httpx.Client) -> None:
    assert client.post("/load", content=LOG).status_code == 202


@pytest.mark.parametrize("path", ["/health", "/nothing", "/docs", "/static/docs.js", "/load", "/stats?x=1"])
def test_every_answer_keeps_browsers_within_bounds(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    response = client.head("/health")
    assert (response.status_code, response.content) == (200, b"")
