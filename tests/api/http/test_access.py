from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from tailmetrics.api.app import create_app, create_probes_app
from tailmetrics.api.http.sessions import COOKIE, new_session
from tailmetrics.api.http.wrong_keys import MOST_WRONG_KEYS
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import LOG, settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving
from tests.integration.running import await_that

READER, WRITER = "reader-ü", "writer"
KEY = {"X-API-Key": READER.encode()}
WRITER_KEY = {"X-API-Key": WRITER}
PATHS = ("/stats", "/customers", "/customers/cust_1/stats", "/rejects", "/metrics", "/view", "/live")

# All that is answered without a key where reading needs one. What is added here is open to everybody.
OPEN = {
    "GET /",
    "GET /docs",
    "GET /static/{name:path}",
    "GET /status/{token}",
    "GET /openapi.json",
    "GET /health",
    "GET /serving",
    "GET /ready",
    "POST /session",
    "POST /session/end",
}


Serve = Callable[..., httpx.Client]


@pytest.fixture
def serve(tmp_path: Path, store: Store) -> Iterator[Serve]:
    """Serve an app with these settings."""
    running = []

    def start(**changes: object) -> httpx.Client:
        app = create_app(settings_in(tmp_path, **changes), store, FakeIngestion(), Metrics())
        context = serving(app)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, store: Store) -> FastAPI:
    settings = settings_in(tmp_path_factory.mktemp("access"), api_key=WRITER, api_read_key=READER)
    return create_app(settings, store, FakeIngestion(), Metrics())


@pytest.fixture(scope="module")
def guarded(app: FastAPI) -> Iterator[httpx.Client]:
    """A service that nobody shows wrong keys, as it remembers them."""
    with serving(app) as client:
        yield client


@pytest.fixture
def fresh(serve: Serve) -> httpx.Client:
    return serve(api_key=WRITER, api_read_key=READER)


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every route of an app, those of its routers too."""
    pending: list[Any] = list(app.routes)
    while pending:
        route = pending.pop()
        if (router := getattr(route, "original_router", None)) is not None:
            pending += router.routes
            continue
        for method in route.methods:
            yield method, route.path


def test_every_route_that_is_not_listed_needs_a_key(app: FastAPI, guarded: httpx.Client) -> None:
    found = set(routes(app))
    assert ("GET", "/customers/{customer_id:path}/badge.svg") in found  # those of routers are among them
    refused = set()
    for method, path in found - {("HEAD", "/openapi.json")}:
        address = re.sub(r"{\w+(:path)?}", "docs.js", path)
        response = guarded.request(method, address, content=LOG if method == "POST" else None)
        if response.status_code == 401:
            refused.add(f"{method} {path}")
    assert {f"{method} {path}" for method, path in found} - refused == OPEN | {"HEAD /openapi.json"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "QUERY"])
def test_no_method_leads_around(guarded: httpx.Client, method: str, path: str) -> None:
    response = guarded.request(method, path)
    assert response.status_code == 401
    assert (response.content == b"") == (method == "HEAD")


@pytest.mark.parametrize(
    "target",
    [
        "/stats/",
        "//stats",
        "/./stats",
        "/docs/../stats",
        "/static/../stats",
        "/static/%2e%2e/stats",
        "/static/..%2fstats",
        "/%73tats",
        "/stats%2f",
        "/stats%00",
        "/stats;/health",
        "/health/../stats",
        "/health%2f..%2fstats",
        "/customers/%2fhealth/stats",
        "/customers/x/../../health/stats",
        "/stats?x=/health",
        "/STATS",
        "/nothing",
        "http://localhost/stats",
        "/ready/stats",
    ],
)
def test_no_spelling_leads_around(guarded: httpx.Client, target: str) -> None:
    connection = HTTPConnection("127.0.0.1", guarded.base_url.port or 0, timeout=30)
    connection.request("GET", target, headers={"Host": "localhost"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status in {401, 404} and b"total_requests" not in body
    assert response.status == 401 or target.startswith(("/static/", "http:"))


@pytest.mark.parametrize("path", PATHS[:-1])
@pytest.mark.parametrize(
    "headers",
    [
        KEY,
        WRITER_KEY,
        {"Authorization": f"Bearer {READER}".encode()},
        {"Authorization": f"bearer  {WRITER}"},
        {"Cookie": f"{COOKIE}={new_session(READER)}"},
        {"Cookie": f"other=1; {COOKIE}={new_session(WRITER)}"},
    ],
    ids=["reader", "writer", "bearer", "bearer of a writer", "session", "session of a writer"],
)
def test_a_key_or_a_session_reads(guarded: httpx.Client, path: str, headers: dict[str, Any]) -> None:
    response = guarded.get(path, headers=headers)
    assert response.status_code == 200
    assert re.match("private|no-store", response.headers["cache-control"])


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], "nothing"),
        ([("X-API-Key", "")], "another value"),
        ([("X-API-Key", READER.encode("latin-1"))], "another value"),
        ([("X-API-Key", READER[:-1].encode())], "another value"),
        ([("X-API-Key", READER.encode()), ("X-API-Key", READER.encode())], "2 of them"),
        ([("X-API-Key", "wrong"), ("Authorization", f"Bearer {WRITER}")], "another value"),
        ([("Authorization", f"Basic {WRITER}")], "nothing"),
        ([("Authorization", WRITER)], "nothing"),
        ([("Cookie", f"{COOKIE}={new_session('other')}")], "a session that is over"),
        ([("Cookie", f"{COOKIE}={new_session(READER, now=0)}")], "a session that is over"),
        ([("Cookie", f"{COOKIE}={WRITER}")], "a session that is over"),
        ([("X-Forwarded-User", "alice")], "nothing"),
    ],
)
def test_all_else_is_refused_with_what_was_found_and_what_to_send(
    fresh: httpx.Client, headers: list[tuple[str, Any]], found: str
) -> None:
    response = fresh.get("/stats", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")
    assert (
        response.json()["detail"]
        == f"X-API-Key: found {found}, expected a key of the setting API_KEY or API_READ_KEY"
    )
    assert response.headers["www-authenticate"] == (
        'ApiKey realm="tailmetrics", header="X-API-Key", Bearer realm="tailmetrics"'
    )
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_readers_key_changes_nothing(guarded: httpx.Client) -> None:
    response = guarded.post("/load", content=LOG, headers=KEY)
    assert response.status_code == 403
    assert response.json()["detail"].startswith("found the key API_READ_KEY, which may only read, expected ")


def test_the_better_of_a_session_and_a_key_counts(fresh: httpx.Client) -> None:
    cookie = {"Cookie": f"{COOKIE}={new_session(READER)}"}
    assert fresh.post("/load", content=LOG, headers=cookie | WRITER_KEY).status_code == 202
    assert fresh.get("/stats", headers=cookie | {"X-API-Key": "old"}).status_code == 200


def test_the_log_tells_whose_key_began_a_load(guarded: httpx.Client) -> None:
    with capture_logs() as logged:
        job = guarded.post("/load", content=LOG, headers=WRITER_KEY).json()["job"]
    assert {"event": "load begun", "log_level": "info", "job": job, "key": "API_KEY"} in logged
    assert WRITER not in str(logged)


def test_nobody_changes_anything_where_only_readers_have_keys(serve: Serve) -> None:
    client = serve(api_read_key=READER)
    assert client.post("/load", content=LOG).status_code == 401
    response = client.post("/load", content=LOG, headers=KEY)
    assert response.status_code == 403
    assert response.json()["detail"].endswith("expected a key of API_KEY or API_KEY_FILE, which is not set")


@pytest.mark.parametrize("path", ["/stats", "/customers", "/customers/cust_1/stats"])
@pytest.mark.parametrize("wrong", [{}, {"X-API-Key": "wrong"}, {"If-None-Match": '"etag"'}])
def test_a_kept_answer_is_for_those_with_a_key(fresh: httpx.Client, path: str, wrong: dict[str, str]) -> None:
    answers = [fresh.get(path, headers=KEY) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["cache-control"] == "private, no-cache"
    if "If-None-Match" in wrong:
        wrong = {"If-None-Match": answers[1].headers["etag"]}
        assert fresh.get(path, headers=KEY | wrong).status_code == 304
    refused = fresh.get(path, headers=wrong)
    assert refused.status_code == 401 and "etag" not in refused.headers


def test_ready_tells_no_names_without_a_key(guarded: httpx.Client) -> None:
    without, with_key = guarded.get("/ready"), guarded.get("/ready", headers=KEY)
    assert without.status_code == with_key.status_code == 200
    assert (without.json()["sources"], without.json()["restricted"]) == ([], True)
    assert with_key.json()["sources"] and "restricted" not in with_key.json()


def test_the_metrics_port_needs_the_same_keys(tmp_path: Path, store: Store) -> None:
    settings = settings_in(tmp_path, api_read_key=READER)
    with serving(create_probes_app(settings, store, FakeIngestion(), Metrics())) as client:
        found = [client.get("/metrics", headers=headers).status_code for headers in ({}, KEY)]
        assert found == [401, 200]
        assert client.get("/ready").json()["sources"] == []
        assert client.get("/health").status_code == 200


def test_the_document_says_which_operations_need_a_key(guarded: httpx.Client) -> None:
    document = guarded.get("/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["APIKeyHeader"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    described = {
        f"{method.upper()} {path}": (
            operation.get("security") == [{"APIKeyHeader": []}],
            {"401", "429"} <= operation["responses"].keys(),
        )
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert {name for name, found in described.items() if found == (True, True)} == described.keys() - OPEN


# Sessions.


def signed_in(client: httpx.Client, key: str = READER, **headers: str) -> httpx.Response:
    return client.post("/session", json={"key": key}, headers=headers)


def test_a_session_reads_until_it_is_ended(fresh: httpx.Client) -> None:
    assert signed_in(fresh).status_code == 204
    assert fresh.get("/customers", params={"format": "csv"}).status_code == 200
    with fresh.stream("GET", "/live") as response:
        assert response.status_code == 200
    assert fresh.post("/load", content=LOG).status_code == 403
    assert fresh.post("/session/end").status_code == 204
    assert fresh.get("/customers").status_code == 401


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
def test_the_cookie_is_kept_to_https_where_that_is_used(
    fresh: httpx.Client, scheme: str, is_secure: bool
) -> None:
    response = signed_in(fresh, **{"X-Forwarded-Proto": scheme})
    assert all(("Secure" in cookie) is is_secure for cookie in response.headers.get_list("set-cookie"))


# Wrong keys.


def test_many_wrong_keys_make_their_address_wait_and_no_session(fresh: httpx.Client) -> None:
    signed_in(fresh)
    cookie = {"Cookie": f"{COOKIE}={fresh.cookies[COOKIE]}"}
    fresh.cookies.clear()
    statuses = [
        fresh.get("/stats", headers={"X-API-Key": f"guess {number}"}).status_code
        for number in range(MOST_WRONG_KEYS + 1)
    ]
    assert (statuses[0], statuses[-1]) == (401, 429)
    limited = fresh.get("/stats", headers=KEY)
    assert limited.status_code == 429 and int(limited.headers["retry-after"]) > 0
    assert limited.json()["type"] == "urn:tailmetrics:problem:wrong-keys"
    assert signed_in(fresh).status_code == 429
    assert fresh.get("/stats").status_code == 401  # no key is no wrong key
    assert fresh.get("/health").status_code == 200
    assert fresh.get("/stats", headers=cookie).status_code == 200


@pytest.mark.parametrize("path", ["/ready", "/customers"])
def test_guesses_count_wherever_they_are_made(fresh: httpx.Client, path: str) -> None:
    assert fresh.get("/stats", headers=KEY).status_code == 200  # which is remembered
    for number in range(MOST_WRONG_KEYS):
        fresh.get(path, headers={"X-API-Key": f"guess {number}"})
    assert fresh.get("/stats", headers=KEY).status_code == 429


def test_an_old_key_that_is_sent_on_and_on_keeps_nobody_out(fresh: httpx.Client) -> None:
    for _ in range(2 * MOST_WRONG_KEYS):
        assert fresh.get("/stats", headers={"X-API-Key": "old"}).status_code == 401
    assert fresh.get("/stats", headers=KEY).status_code == 200


# Proxies.

PROXIED = {"api_trusted_user_header": "X-Forwarded-User", "api_trusted_proxies": "127.0.0.0/8"}
USER = {"X-Forwarded-User": "alice"}


def test_a_user_whom_a_proxy_names_may_read_and_no_more(serve: Serve) -> None:
    client = serve(**PROXIED)
    assert client.get("/stats").status_code == 401
    assert client.get("/stats", headers=USER).status_code == 200
    assert client.post("/load", content=LOG, headers=USER).status_code == 403


def test_the_log_tells_the_user_beside_the_key(serve: Serve) -> None:
    client = serve(**PROXIED, api_key=WRITER)
    with capture_logs() as logged:
        assert client.post("/load", content=LOG, headers=USER | WRITER_KEY).status_code == 202
    [entry] = [entry for entry in logged if entry["event"] == "load begun"]
    assert (entry["key"], entry["user"]) == ("API_KEY", "alice")


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-User", "")],
        [("X-Forwarded-User", "alice"), ("X-Forwarded-User", "bob")],
        [("X-Forwarded_User", "alice")],
    ],
)
def test_a_header_that_names_nobody_or_two_is_none(serve: Serve, headers: list[tuple[str, str]]) -> None:
    assert serve(**PROXIED).get("/stats", headers=headers).status_code == 401


@pytest.mark.parametrize("more", [{}, {"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}])
def test_the_header_of_others_is_ignored(serve: Serve, more: dict[str, str]) -> None:
    client = serve(**PROXIED | {"api_trusted_proxies": "192.0.2.1"})
    assert client.get("/stats", headers=USER | more).status_code == 401


def test_clients_behind_a_proxy_wait_each_for_themselves(serve: Serve) -> None:
    client = serve(api_read_key=READER, api_trusted_proxies="127.0.0.1,10.0.0.0/8")
    for number in range(MOST_WRONG_KEYS):
        client.get(
            "/stats",
            headers={
                "X-API-Key": f"guess {number}",
                "X-Forwarded-For": f"{number}.1.1.1, 192.0.2.1, 10.0.0.1",
            },
        )
    found = [
        client.get("/stats", headers=KEY | {"X-Forwarded-For": address}).status_code
        for address in ("192.0.2.1", "192.0.2.2")
    ]
    assert found == [429, 200]


# Keys that are removed.


def test_the_stream_of_a_removed_key_ends(serve: Serve, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one a\ntwo b\n")
    client = serve(api_read_key_file=str(keys))
    with (
        client.stream("GET", "/live", headers={"X-API-Key": "one"}) as first,
        client.stream("GET", "/live", headers={"X-API-Key": "two"}) as second,
    ):
        lines = second.iter_lines()
        assert next(lines)
        keys.write_text("two b\n")
        assert first.read()  # to its end, which is a proper one
        assert next(lines) is not None
    assert client.get("/stats", headers={"X-API-Key": "one"}).status_code == 401
    assert client.get("/stats", headers={"X-API-Key": "two"}).status_code == 200


def test_a_file_of_keys_that_is_gone_is_a_warning(serve: Serve, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one\n")
    client = serve(api_read_key_file=str(keys))
    keys.unlink()

    def warnings() -> Any:
        return client.get("/ready", headers={"X-API-Key": "one"}).json()["warnings"]

    await_that(lambda: bool(warnings()), 10)
    [warning] = warnings()
    assert (warning["kind"], warning["path"]) == ("keys", str(keys))


def test_a_kept_answer_is_not_for_a_key_that_was_removed(serve: Serve, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one\ntwo\n")
    client = serve(api_read_key_file=str(keys))
    for _ in range(2):
        assert client.get("/stats", headers={"X-API-Key": "one"}).status_code == 200
    keys.write_text("two\n")
    await_that(lambda: client.get("/stats", headers={"X-API-Key": "one"}).status_code == 401, 10)
    assert client.get("/stats", headers={"X-API-Key": "two"}).status_code == 200
