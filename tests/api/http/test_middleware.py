from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tailmetrics.api.app import create_probes_app
from tailmetrics.stores import Store
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import LOG, ODD_IDS, settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving


@pytest.fixture
def probes(tmp_path: Path, store: Store) -> Iterator[httpx.Client]:
    """What `tailmetrics ingest` answers about itself."""
    with serving(create_probes_app(settings_in(tmp_path), store, FakeIngestion(), Metrics())) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/serving",
        "/ready",
        "/docs",
        "/openapi.json",
        "/static/docs.js",
        "/rejects",
        "/customers?limit=2",
        "/stats?from=2024-10-10",
        "/breakdown",
        "/customers/cust_1/stats?from=2024-10-10&to=2024-10-11",
        "/customers/cust_1/breakdown",
        "/customers/cust_1/badge.svg",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_trailing_slash_changes_no_answer(client: httpx.Client, method: str, path: str) -> None:
    name, separator, query = path.partition("?")
    with_slash = client.request(method, f"{name}/{separator}{query}")
    without = client.request(method, path)
    assert (with_slash.status_code, with_slash.content) == (without.status_code, without.content)
    assert with_slash.status_code in (200, 405)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_a_trailing_slash_changes_no_answer_about_the_process(probes: httpx.Client, path: str) -> None:
    assert probes.get(f"{path}/").status_code == 200


def test_a_trailing_slash_loses_no_method_and_no_body(
    loading: httpx.Client, ingestion: FakeIngestion
) -> None:
    response = loading.post("/load/", content=LOG)
    assert (response.status_code, response.history, ingestion.loads[0].content) == (200, [], LOG)


def test_a_job_is_found_with_a_trailing_slash(loading: httpx.Client) -> None:
    job = loading.post("/load", content=LOG, params={"wait": "false"}).json()["job"]
    loading.params = httpx.QueryParams()
    assert loading.get(f"/load/{job}/").json()["job"] == job


@pytest.mark.parametrize("customer_id", [one for one in ODD_IDS if one not in (".", "..")])
def test_every_id_is_reachable_with_a_trailing_slash(client: httpx.Client, customer_id: str) -> None:
    response = client.get(f"/customers/{quote(customer_id, safe='')}/stats/")
    assert (response.status_code, response.json()["customer_id"]) == (200, customer_id)


@pytest.mark.parametrize("path", ["/customers/a//stats/", "/customers/a%2F/stats/"])
def test_the_slash_that_an_id_ends_in_is_no_trailing_one(client: httpx.Client, path: str) -> None:
    assert client.get(path).json()["customer_id"] == "a/"


@pytest.mark.parametrize("path", ["/health//", "/health%2F", "/nothing/"])
def test_other_paths_stay_unknown(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
