from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving

KEY = {"X-API-Key": "secret"}


@pytest.fixture
def guarded(tmp_path: Path, store: Store) -> Iterator[httpx.Client]:
    """A service where reading needs a key, too."""
    settings = settings_in(tmp_path, api_key="secret", api_read_key="reader")
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
        yield client


def made(client: httpx.Client, customer: str = "cust_1") -> dict[str, str]:
    response = client.post("/status-pages", json={"customer": customer}, headers=KEY)
    assert response.status_code == 201
    page: dict[str, str] = response.json()
    return page


def test_a_page_is_seen_without_a_key_and_tells_of_its_customer_alone(guarded: httpx.Client) -> None:
    response = guarded.get(made(guarded)["path"])
    assert response.status_code == 200
    assert "<h1>cust_1</h1>" in response.text
    assert response.text.count("<time") == 42
    assert "cust_2" not in response.text
    assert "<script" not in response.text
    assert response.headers["X-Robots-Tag"] == "noindex, nofollow"


def test_a_revoked_page_is_as_one_that_never_was(guarded: httpx.Client) -> None:
    page = made(guarded)
    assert guarded.delete(f"/status-pages/{page['id']}", headers=KEY).status_code == 200
    revoked, unknown = guarded.get(page["path"]), guarded.get("/status/never-made")
    assert (revoked.status_code, unknown.status_code) == (404, 404)
    assert revoked.json()["detail"] == unknown.json()["detail"]
    assert guarded.delete(f"/status-pages/{page['id']}", headers=KEY).status_code == 404


def test_a_list_has_no_token(guarded: httpx.Client) -> None:
    page = made(guarded)
    listing = guarded.get("/status-pages", headers=KEY)
    assert page["id"] in [each["id"] for each in listing.json()["status_pages"]]
    assert page["path"].removeprefix("/status/") not in listing.text


def test_making_and_revoking_need_the_key_that_changes(guarded: httpx.Client) -> None:
    reader = {"X-API-Key": "reader"}
    asked = guarded.post("/status-pages", json={"customer": "cust_1"}, headers=reader)
    assert asked.status_code in {401, 403}
    page = made(guarded)
    assert guarded.delete(f"/status-pages/{page['id']}").status_code == 401
    assert guarded.get("/status-pages").status_code == 401


def test_a_customer_without_requests_has_no_page(guarded: httpx.Client) -> None:
    assert guarded.post("/status-pages", json={"customer": "nobody"}, headers=KEY).status_code == 404


def test_an_unknown_zone_is_told(guarded: httpx.Client) -> None:
    response = guarded.post("/status-pages", json={"customer": "cust_1", "tz": "Mars"}, headers=KEY)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "tz"


def test_an_id_stays_text(guarded: httpx.Client) -> None:
    page = made(guarded, 'it\'s "quoted"')
    assert "it&#x27;s &quot;quoted&quot;" in guarded.get(page["path"]).text
