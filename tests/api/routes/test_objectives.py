"""Objectives over HTTP: of all customers and of one, in pages, as CSV, and without a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ConfigDict, TypeAdapter, with_config

from tailmetrics.api.app import create_app
from tailmetrics.api.objectives import ObjectiveBudget, Objectives
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving
from tests.builders import at, batch_of, source_of

NOW = at("2024-10-27T12:00:00")
OBJECTIVES = """
[[objective]]
name = "available"
target = 90
customers = ["a*", "b/c", "nobody"]

[[objective]]
name = "fast"
kind = "latency"
limit_seconds = 0.5
target = 50
period = "month"
timezone = "Europe/Berlin"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "objectives.toml"
    file.write_text(OBJECTIVES)
    return file


@contextmanager
def asked(folder: Path, **settings: Any) -> Iterator[httpx.Client]:
    """A service whose store has 20 requests of a1, half of them failed, 10 of a2, 20 of b/c, and 1 of old."""
    rows = [
        (NOW - timedelta(minutes=1 + each), "a1", "/", 500 if each % 2 else 200, 0.1) for each in range(20)
    ]
    rows += [(NOW - timedelta(hours=1 + each), "a2", "/", 200, None) for each in range(10)]
    rows += [
        (NOW - timedelta(hours=1 + each), "b/c", "/", 500 if each == 1 else 200, 0.6) for each in range(20)
    ]
    rows.append((NOW - timedelta(days=100), "old", "/", 200, 0.1))
    store = InMemoryStore()
    store.write([batch_of(store.register(source_of()), rows)])
    app = create_app(settings_in(folder, **settings), store, FakeIngestion(), Metrics())
    with serving(app) as client:
        client.params = httpx.QueryParams(at=NOW.isoformat())
        yield client


@pytest.fixture
def client(tmp_path: Path, file: Path) -> Iterator[httpx.Client]:
    with asked(tmp_path, objectives=str(file)) as client:
        yield client


def names(answer: Any) -> list[tuple[str, str]]:
    return [(each["objective"], each["customer_id"]) for each in answer["objectives"]]


def test_each_objective_is_there_with_each_customer_the_least_left_first(client: httpx.Client) -> None:
    answer = client.get("/objectives").json()
    assert names(answer) == [
        ("available", "a1"),
        ("fast", "b/c"),
        ("available", "b/c"),
        ("available", "a2"),
        ("fast", "a1"),
    ]
    assert (answer["at"], answer["total"], answer["next_cursor"]) == ("2024-10-27T12:00:00Z", 5, None)
    assert answer["warnings"] == [
        "objective 'available': 'nobody' matches no customer that has requests in its period"
    ]


def test_the_figures_are_those_of_the_definitions(client: httpx.Client) -> None:
    found = {
        (each["objective"], each["customer_id"]): each
        for each in client.get("/objectives").json()["objectives"]
    }
    assert found["available", "b/c"] == {
        "objective": "available",
        "customer_id": "b/c",
        "state": "at_risk",
        "kind": "availability",
        "target": 90,
        "failures": "4xx+5xx",
        "limit_seconds": None,
        "period": "30d",
        "tz": "UTC",
        "from": "2024-09-27T12:00:00Z",
        "to": "2024-10-27T12:00:00Z",
        "total_requests": 20,
        "good_requests": 19,
        "bad_requests": 1,
        "compliance": 95,
        "allowed_requests": 2,
        "left_requests": 1,
        "used_percent": 50,
        "left_percent": 50,
        "burn_rate_5m": None,
        "burn_rate_30m": None,
        "burn_rate_1h": 0,
        "burn_rate_6h": 10 / 6,
        "burn_rate_3d": 0.5,
        "runs_out_at": "2024-10-27T18:00:00Z",
    }
    month = found["fast", "b/c"]
    assert (month["from"], month["to"]) == ("2024-10-01T00:00:00+02:00", "2024-11-01T00:00:00+01:00")
    assert (month["state"], month["left_requests"], month["left_percent"]) == ("broken", -10, -100)


def test_the_answer_has_the_shape_that_is_documented(client: httpx.Client) -> None:
    shape = with_config(ConfigDict(extra="forbid"))(Objectives)
    answer = TypeAdapter(shape).validate_json(client.get("/objectives").content)
    assert set(answer["objectives"][0]) == set(ObjectiveBudget.__annotations__)


def test_one_customers_objectives_are_those_that_are_for_it(client: httpx.Client) -> None:
    answer = client.get("/customers/b%2Fc/objectives").json()
    assert names(answer) == [("fast", "b/c"), ("available", "b/c")]
    assert answer["warnings"] == []
    assert client.get("/objectives", params={"customer": "b/c"}).json() == answer


def test_a_customer_of_another_time_has_none_and_an_unknown_one_is_not_found(client: httpx.Client) -> None:
    assert client.get("/customers/old/objectives").json()["objectives"] == []
    response = client.get("/customers/nobody/objectives")
    assert (response.status_code, response.json()["type"]) == (
        404,
        "urn:tailmetrics:problem:unknown-customer",
    )


def test_one_objective_may_be_asked_for_by_its_name(client: httpx.Client) -> None:
    assert names(client.get("/objectives", params={"objective": "fast"}).json()) == [
        ("fast", "b/c"),
        ("fast", "a1"),
    ]
    response = client.get("/objectives", params={"objective": "slow"})
    assert (response.status_code, response.json()["detail"]) == (
        422,
        "objective: found 'slow', expected one of available, fast",
    )


def test_pages_follow_each_other(client: httpx.Client) -> None:
    found: list[tuple[str, str]] = []
    cursor: str | None = None
    for _ in range(3):
        page = client.get("/objectives", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += names(page)
        cursor = page["next_cursor"]
    assert (cursor, found) == (None, names(client.get("/objectives").json()))


@pytest.mark.parametrize(
    ("sort", "customers"),
    [
        ("-left", ["a2", "a1", "b/c", "b/c", "a1"]),
        ("customer_id", ["a1", "a1", "a2", "b/c", "b/c"]),
        ("-customer_id", ["b/c", "b/c", "a2", "a1", "a1"]),
    ],
)
def test_entries_may_be_sorted_otherwise(client: httpx.Client, sort: str, customers: list[str]) -> None:
    answer = client.get("/objectives", params={"sort": sort}).json()
    assert [customer for _, customer in names(answer)] == customers


@pytest.mark.parametrize("sort", ["left", "-left"])
def test_entries_without_requests_in_the_period_come_last(tmp_path: Path, file: Path, sort: str) -> None:
    # The week has just begun in Berlin; the windows of burn rates reach back behind its beginning.
    file.write_text(OBJECTIVES.replace('"month"', '"week"'))
    with asked(tmp_path, objectives=str(file)) as client:
        found = client.get("/objectives", params={"at": "2024-10-27T23:00:00Z", "sort": sort}).json()
    assert [each["left_percent"] is None for each in found["objectives"]] == [False] * 3 + [True] * 2
    last = found["objectives"][-1]
    assert (last["state"], last["compliance"], last["allowed_requests"]) == ("kept", None, 0)
    assert last["burn_rate_3d"] is not None


def test_csv_has_the_names_of_json(client: httpx.Client) -> None:
    response = client.get("/objectives", params={"format": "csv", "limit": 2})
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert (response.headers["content-type"], list(rows[0])) == (
        "text/csv; charset=utf-8; header=present",
        list(ObjectiveBudget.__annotations__),
    )
    assert [(row["objective"], row["customer_id"], row["state"]) for row in rows] == [
        ("available", "a1", "broken"),
        ("fast", "b/c", "broken"),
    ]
    assert 'rel="next"' in response.headers["link"]


@pytest.mark.parametrize("given", ["yesterday", "2024-02-30", "99999999999999"])
def test_a_moment_that_is_none_is_refused(client: httpx.Client, given: str) -> None:
    response = client.get("/objectives", params={"at": given})
    assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, "at")


def test_without_the_setting_there_are_none_and_it_is_said_how_to_set_it(tmp_path: Path) -> None:
    with asked(tmp_path) as client:
        answers = [client.get(path) for path in ("/objectives", "/customers/a1/objectives")]
    assert [(each.status_code, each.json()["objectives"], each.json()["warnings"]) for each in answers] == [
        (200, [], ["OBJECTIVES is not set: it names a TOML file of objectives, see docs/objectives.md"])
    ] * 2


def test_a_file_that_went_bad_is_told_and_the_old_one_counts(client: httpx.Client, file: Path) -> None:
    file.write_text(OBJECTIVES.replace("90", "100"))
    answer = client.get("/objectives").json()
    assert answer["total"] == 5
    assert any(each.endswith("the objectives read before stay in force") for each in answer["warnings"])
    readiness = client.get("/ready").json()
    (warning,) = readiness["warnings"]
    assert (readiness["ready"], warning["kind"], warning["path"]) == (True, "objectives", str(file))
    assert "line 4: objective 'available': target: found 100" in warning["text"]
    file.write_text(OBJECTIVES.replace("available", "up"))
    assert client.get("/ready").json()["warnings"] == []
    assert ("up", "a1") in names(client.get("/objectives").json())


def test_where_reading_needs_a_key_so_do_objectives(tmp_path: Path, file: Path) -> None:
    with asked(tmp_path, objectives=str(file), api_read_key="secret") as client:
        assert [
            client.get("/objectives", headers=each).status_code for each in ({}, {"X-API-Key": "secret"})
        ] == [
            401,
            200,
        ]
