from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.api.http.sessions import COOKIE, SESSION_SECONDS, is_session, new_session
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

KEY = "schlüssel"
LINE = "2024-10-10 08:00:00 cust_1 /api/v1/resource1 200 0.100\n"


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[httpx.Client]:
    settings = settings_in(tmp_path_factory.mktemp("key"), api_key=KEY)
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
        yield client


def test_the_key_begins_a_session_that_stands_for_it(guarded: httpx.Client) -> None:
    assert guarded.post("/load", content=LINE).status_code == 401
    assert guarded.post("/session", json={"key": KEY}).status_code == 204
    assert guarded.post("/load", content=LINE).status_code == 202


def test_no_script_and_no_other_site_gets_the_cookie(guarded: httpx.Client) -> None:
    cookie = guarded.post("/session", json={"key": KEY}).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert KEY not in cookie


@pytest.mark.parametrize("key", ["", "other", "\ud800"])
def test_another_key_is_refused(guarded: httpx.Client, key: str) -> None:
    body = b'{"key": "\\ud800"}' if key == "\ud800" else httpx.Request("POST", "/", json={"key": key}).content
    response = guarded.post("/session", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {401, 422}
    assert "set-cookie" not in response.headers


def test_a_page_of_another_origin_begins_none(guarded: httpx.Client) -> None:
    response = guarded.post("/session", json={"key": KEY}, headers={"Origin": "http://example.org"})
    assert response.status_code == 403


def test_a_body_that_is_no_json_is_named(guarded: httpx.Client) -> None:
    response = guarded.post("/session", content=b"{", headers={"Content-Type": "application/json"})
    assert response.json()["errors"][0]["parameter"] == "body"


def test_without_a_key_no_session_is_needed(client: httpx.Client) -> None:
    response = client.post("/session", json={"key": ""})
    assert (response.status_code, "set-cookie" in response.headers) == (204, False)


def test_a_stream_needs_no_key(guarded: httpx.Client) -> None:
    with guarded.stream("GET", "/live") as response:
        assert response.status_code == 200


def test_a_session_is_over_after_its_time() -> None:
    session = new_session(KEY, now=1000)
    assert is_session(KEY, session, now=1000 + SESSION_SECONDS - 1)
    assert not is_session(KEY, session, now=1000 + SESSION_SECONDS)


@pytest.mark.parametrize("session", ["", ".", "9999999999.", "x.y", "99999999999999999999.0", "\u0665.a"])
def test_what_was_never_given_out_is_no_session(session: str) -> None:
    assert not is_session(KEY, session)


def test_a_session_with_a_later_end_is_no_session() -> None:
    ends, _, signature = new_session(KEY, now=1000).partition(".")
    assert not is_session(KEY, f"{int(ends) + 1}.{signature}", now=1000)


def test_a_session_of_another_key_is_none() -> None:
    assert not is_session(KEY, new_session("other"))


def test_the_cookie_has_a_name_of_its_own(guarded: httpx.Client) -> None:
    guarded.post("/session", json={"key": KEY})
    assert COOKIE in guarded.cookies
