from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.client.transport import refusal
from tailmetrics.errors import StoreError, StoreGone, StoreRefused, StoreUnavailable
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.serving import serving


class Failing:
    """What a store raises whatever it is asked."""

    error: Exception = StoreError("unset")

    async def __call__(self, query: object) -> None:
        raise self.error


@pytest.fixture
def failing() -> Failing:
    return Failing()


@pytest.fixture
def failing_client(tmp_path: Path, failing: Failing) -> Iterator[httpx.Client]:
    store = InMemoryStore(before_read=failing)
    with serving(create_app(settings_in(tmp_path), store, None, Metrics())) as client:
        yield client


@pytest.mark.parametrize(("asked_for", "retry_after"), [(None, "5"), (2.3, "3"), (0.0, "1")])
def test_a_store_that_is_away_is_503_with_retry_after(
    failing_client: httpx.Client, failing: Failing, asked_for: float | None, retry_after: str
) -> None:
    failing.error = StoreUnavailable("the disk is full", asked_for)
    response = failing_client.get("/stats")
    assert (response.status_code, response.headers["retry-after"]) == (503, retry_after)
    assert response.json()["detail"] == "the disk is full"


@pytest.mark.parametrize(
    ("error", "kind"),
    [(StoreUnavailable("away"), "store-unavailable"), (StoreRefused("no token"), "store-refused")],
)
def test_a_store_that_refuses_is_told_from_one_that_is_away(
    failing_client: httpx.Client, failing: Failing, error: StoreUnavailable, kind: str
) -> None:
    failing.error = error
    response = failing_client.get("/stats")
    assert (response.status_code, response.json()["type"]) == (503, f"urn:tailmetrics:problem:{kind}")
    assert type(refusal(response)) is type(error)


def test_a_store_that_cannot_be_used_says_why(failing_client: httpx.Client, failing: Failing) -> None:
    failing.error = StoreGone("the file was removed")
    response = failing_client.get("/stats")
    assert (response.status_code, response.json()["detail"]) == (500, "the file was removed")


def test_an_unexpected_error_tells_nothing_of_the_inside(
    failing_client: httpx.Client, failing: Failing
) -> None:
    failing.error = RuntimeError("password 1234")
    response = failing_client.get("/stats")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "An error of the service itself; its log says more.",
        "instance": "/stats",
    }
    assert response.headers["x-content-type-options"] == "nosniff"


def test_an_unknown_address_is_a_problem(client: httpx.Client) -> None:
    response = client.get("/no where")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.json()["instance"] == "/no%20where"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/customers/cust_1/stats", "GET, HEAD"),
        ("TRACE", "/stats", "GET, HEAD"),
        ("GET", "/load", "POST"),
        ("POST", "/static/docs.js", "GET, HEAD"),
        ("PUT", "/silences", "GET, HEAD, POST"),
        ("GET", "/silences/1", "DELETE"),
    ],
)
def test_a_method_that_is_not_there_is_405_with_those_that_are(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/static/nothing.js", "/static/../app.py", "/static/", "/static/%00"])
def test_static_files_that_are_not_there_are_404(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_long_value_is_not_repeated_whole(client: httpx.Client) -> None:
    response = client.get("/stats", params={"from": "x" * 10_000})
    assert len(response.json()["errors"][0]["value"]) < 300


def test_a_value_that_is_not_utf_8_does_not_break_the_answer(client: httpx.Client) -> None:
    response = client.get("/stats?from=%ff%fe")
    assert response.status_code == 422
