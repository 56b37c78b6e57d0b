"""Alerts and silences over HTTP, evaluated beside the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.errors import StoreUnavailable
from tailmetrics.stats import CountsQuery
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import FakeIngestion
from tests.api.serving import serving
from tests.builders import batch_of, source_of

OBJECTIVES = """
interval = "1s"

[[objective]]
name = "up"
target = 99.0

[[rule]]
burn_rate = 14.4
long = "1h"
short = "5m"
min_requests = 1

[[receiver]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:9/"
"""


def failed_store(*customers: str) -> InMemoryStore:
    """A store with failures of two minutes ago."""
    store = InMemoryStore()
    moment = datetime.now(timezone.utc) - timedelta(minutes=2)
    source = store.register(source_of())
    store.write([batch_of(source, [(moment, customer, "/", 500, 0.1) for customer in customers])])
    return store


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """Starts a service with OBJECTIVES over a store."""
    running = []

    def start(store: InMemoryStore, **changes: object) -> httpx.Client:
        file = tmp_path / "objectives.toml"
        file.write_text(OBJECTIVES)
        settings = settings_in(tmp_path, **{"objectives": str(file), **changes})
        context = serving(create_app(settings, store, FakeIngestion(), Metrics()))
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


def awaited(client: httpx.Client, path: str, holds: Callable[[Any], bool]) -> Any:
    """The answer once something holds of it, within 20 seconds."""
    until = time.monotonic() + 20
    while not holds(found := client.get(path).json()):
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def test_alerts_that_fire_are_shown_with_their_figures(service: Callable[..., httpx.Client]) -> None:
    client = service(failed_store("a", "b"))
    found = awaited(client, "/alerts", lambda answer: answer["total"] == 2)
    assert found["warnings"] == []
    alert = found["alerts"][0]
    assert {name: alert[name] for name in ("kind", "name", "subject", "severity", "state", "limit")} == {
        "kind": "burn_rate",
        "name": "up",
        "subject": "a",
        "severity": "page",
        "state": "firing",
        "limit": 14.4,
    }
    assert alert["value"] == pytest.approx(100)
    assert alert["summary"].endswith("1 of 1 requests in 1h failed")
    assert (alert["silenced_by"], alert["started_at"]) == (None, alert["since"])
    assert client.get("/alerts/history").json()["total"] == 2


def test_alerts_are_selected(service: Callable[..., httpx.Client]) -> None:
    client = service(failed_store("a", "b"))
    awaited(client, "/alerts", lambda answer: answer["total"] == 2)
    for path in ("/alerts", "/alerts/history"):
        totals = [
            client.get(path, params={name: value}).json()["total"]
            for name, value in [
                ("customer", "a"),
                ("customer", "c"),
                ("rule", "up"),
                ("rule", "down"),
                ("state", "firing"),
                ("state", "pending"),
                ("severity", "page"),
                ("severity", "ticket"),
            ]
        ]
        assert totals == [1, 0, 2, 0, 2, 0, 2, 0]
        assert client.get(path, params={"state": "broken"}).status_code == 422
    assert len(client.get("/alerts", params={"limit": 1}).json()["alerts"]) == 1


def test_without_objectives_there_are_none_and_a_warning_says_why(client: httpx.Client) -> None:
    found = client.get("/alerts").json()
    assert (found["alerts"], found["evaluated_at"]) == ([], None)
    assert found["warnings"] == [
        "OBJECTIVES is not set: it names a TOML file of objectives, see docs/objectives.md"
    ]
    assert "tailmetrics_alerts" not in client.get("/metrics").text


def test_a_silence_is_begun_seen_at_its_alert_and_ended(service: Callable[..., httpx.Client]) -> None:
    client = service(failed_store("shop-1"))
    awaited(client, "/alerts", lambda answer: answer["total"] == 1)
    asked = {"customer": "shop-*", "for": "36h", "reason": "known", "created_by": "me"}
    response = client.post("/silences", json=asked)
    silence = response.json()
    length = datetime.fromisoformat(silence["until"].replace("Z", "+00:00")) - datetime.fromisoformat(
        silence["created_at"].replace("Z", "+00:00")
    )
    assert (response.status_code, length) == (201, timedelta(hours=36))
    assert (silence["rule"], silence["reason"], silence["created_by"]) == ("*", "known", "me")
    assert client.get("/silences").json() == {"silences": [silence]}
    awaited(client, "/alerts", lambda answer: answer["alerts"][0]["silenced_by"] == silence["id"])
    assert client.delete(f"/silences/{silence['id']}").json() == silence
    assert client.get("/silences").json() == {"silences": []}
    awaited(client, "/alerts", lambda answer: answer["alerts"][0]["silenced_by"] is None)
    assert client.delete(f"/silences/{silence['id']}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"reason": "known"}, "until: found 'none', expected either `until`, a time, or `for`, such as 2h"),
        ({"reason": "known", "until": "2030-01-01T00:00:00Z", "for": "2h"}, "until: found 'both'"),
        ({"reason": "known", "until": "2020-01-01T00:00:00Z"}, "expected a time that is still to come"),
        ({"reason": "known", "until": "9999-12-31T23:59:59-12:00"}, "expected a time before 9999-12-30"),
        (
            {"reason": "known", "until": "2030-01-01"},
            "until: found '2030-01-01', expected a time with its offset, such as 2030-01-01T00:00:00Z",
        ),
        ({"reason": "known", "until": "noon"}, "until: found 'noon', expected a time with its offset, such"),
        (
            {"reason": "known", "for": "2 hours"},
            "for: found '2 hours', expected a number with s, m, h or d, such as 2h",
        ),
        ({"for": "2h"}, "reason: found"),
        ({"reason": "known", "for": "2h", "customers": "a"}, "customers"),
        ({"reason": "known", "for": "2h", "customer": "\x00"}, "customer"),
    ],
)
def test_a_silence_that_cannot_be_is_refused(client: httpx.Client, asked: dict[str, str], said: str) -> None:
    response = client.post("/silences", json=asked)
    assert response.status_code == 422
    assert said in response.json()["detail"]


def test_who_may_only_read_sees_silences_and_changes_none(service: Callable[..., httpx.Client]) -> None:
    client = service(failed_store("a"), api_key="k" * 20, api_read_key="r" * 20)
    asked = {"for": "2h", "reason": "known"}
    for key, statuses in (("", (401, 401, 401)), ("r" * 20, (200, 200, 403)), ("k" * 20, (200, 200, 201))):
        headers = {"X-API-Key": key} if key else {}
        found = (
            client.get("/alerts", headers=headers),
            client.get("/silences", headers=headers),
            client.post("/silences", json=asked, headers=headers),
        )
        assert tuple(response.status_code for response in found) == statuses


def test_a_store_that_does_not_answer_is_a_warning_while_the_service_is_ready(
    service: Callable[..., httpx.Client],
) -> None:
    store = failed_store("a")

    async def fail(query: object) -> None:
        if isinstance(query, CountsQuery):
            raise StoreUnavailable("the server is away")

    store.before_read = fail
    client = service(store)
    found = awaited(client, "/ready", lambda answer: bool(answer["warnings"]))
    assert [(each["kind"], each["text"]) for each in found["warnings"]] == [
        ("alerts", "alerts are not evaluated: the server is away")
    ]
    assert found["ready"]
    store.before_read = None
    awaited(client, "/alerts", lambda answer: answer["total"] == 1 and not answer["warnings"])


def test_a_receiver_that_is_away_is_a_warning_and_evaluations_are_counted(
    service: Callable[..., httpx.Client],
) -> None:
    client = service(failed_store("a"))
    found = awaited(client, "/ready", lambda answer: bool(answer["warnings"]))
    assert [each["kind"] for each in found["warnings"]] == ["receivers"]
    assert found["warnings"][0]["text"].startswith("receiver hook: 1 waiting since ")
    assert found["ready"]
    metrics = client.get("/metrics").text
    assert 'tailmetrics_alerts{state="firing"} 1.0' in metrics
    assert "tailmetrics_alerts_evaluation_seconds_count " in metrics
