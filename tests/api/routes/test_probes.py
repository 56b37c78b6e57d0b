from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailmetrics.api.app import create_app
from tailmetrics.api.routes import probes
from tailmetrics.errors import StoreUnavailable
from tailmetrics.status import IngestionState, SourceWarning
from tailmetrics.stores import Store
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.fakes import LIVE_SOURCE, FakeIngestion
from tests.api.serving import serving
from tests.builders import at, batch_of, source_of


async def hangs(_: object) -> None:
    await asyncio.Event().wait()


async def is_away(_: object) -> None:
    raise StoreUnavailable("the disk is gone")


MISSING_SOURCE = replace(
    LIVE_SOURCE,
    source_id="",
    path="data/requests.log",
    state="missing",
    last_error="No such file or directory",
)


def ready(folder: Path, store: Store, ingestion: FakeIngestion | None) -> httpx.Response:
    with serving(create_app(settings_in(folder), store, ingestion, Metrics())) as client:
        return client.get("/ready")


def test_health_says_alive(client: httpx.Client) -> None:
    response = client.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "alive")


def test_ready_shows_each_source(client: httpx.Client) -> None:
    response = client.get("/ready")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "reasons": [],
        "store": {"answers": True, "error": None},
        "ingestion": {"state": "running", "last_error": None, "store_error": None, "lost_bytes": 0},
        "sources": [
            {
                "source_id": "6a1f0c52b7d94e0f",
                "path": "data/requests.log",
                "format": "requests",
                "device": 1,
                "inode": 2,
                "epoch": 0,
                "state": "live",
                "position": 500,
                "size": 540,
                "lag_bytes": 40,
                "lag_seconds": 0.25,
                "lag_messages": None,
                "lost_messages": 0,
                "last_error": None,
                "updated_at": None,
            }
        ],
        "warnings": [],
    }


def test_a_log_that_is_away_for_now_does_not_make_the_service_unready(tmp_path: Path, store: Store) -> None:
    away = replace(LIVE_SOURCE, state="awaited", last_error="No such file or directory")
    response = ready(tmp_path, store, FakeIngestion(statuses=[away]))
    assert response.status_code == 200
    assert response.json()["sources"][0]["last_error"] == "No such file or directory"


def test_without_a_log_at_the_default_path_the_service_is_ready_for_what_is_loaded(
    tmp_path: Path, store: Store
) -> None:
    response = ready(tmp_path, store, FakeIngestion(statuses=[MISSING_SOURCE]))
    assert (response.status_code, response.json()["sources"][0]["state"]) == (200, "missing")


@pytest.mark.parametrize("reported", [False, True])
def test_a_path_that_never_had_a_file_is_503_with_the_reason(
    tmp_path: Path, store: Store, reported: bool
) -> None:
    missing = replace(MISSING_SOURCE, path="/var/log/shop.log")
    statuses = [LIVE_SOURCE, missing]
    store.report("node", statuses)
    response = ready(tmp_path, store, None if reported else FakeIngestion(statuses=statuses))
    assert (response.status_code, response.json()["ready"]) == (503, False)
    [reason] = response.json()["reasons"]
    assert reason == (
        "no log at /var/log/shop.log, and there never was one (No such file or directory); "
        "look at LOG_FILE_PATH or LOG_SOURCES"
    )


def test_a_log_without_a_format_does_not_make_the_service_unready(tmp_path: Path, store: Store) -> None:
    undecided = replace(LIVE_SOURCE, state="undecided", last_error="two formats read it alike", format="")
    response = ready(tmp_path, store, FakeIngestion(statuses=[undecided]))
    assert response.status_code == 200
    [source] = response.json()["sources"]
    assert (source["state"], source["last_error"]) == ("undecided", "two formats read it alike")


@pytest.mark.parametrize("reported", [False, True])
def test_a_warning_is_shown_and_the_service_is_ready(tmp_path: Path, store: Store, reported: bool) -> None:
    warned = replace(LIVE_SOURCE, warnings=(SourceWarning("rejects", "9 of 10 lines"),))
    store.report("node", [warned])
    response = ready(tmp_path, store, None if reported else FakeIngestion(statuses=[LIVE_SOURCE, warned]))
    assert (response.status_code, response.json()["ready"]) == (200, True)
    assert response.json()["warnings"] == [
        {
            "source_id": "6a1f0c52b7d94e0f",
            "path": "data/requests.log",
            "format": "requests",
            "kind": "rejects",
            "text": "9 of 10 lines",
        }
    ]


@pytest.mark.parametrize(
    ("host", "key", "warns"),
    [
        ("0.0.0.0", None, True),  # noqa: S104  # only said, not bound
        ("192.0.2.7", None, True),
        ("192.0.2.7", "secret", False),
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("localhost", None, False),
    ],
)
def test_a_service_that_other_machines_reach_without_a_key_is_warned_of(
    tmp_path: Path, store: Store, host: str, key: str | None, warns: bool
) -> None:
    settings = settings_in(tmp_path, api_host=host, api_key=key)
    with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
        answer = client.get("/ready").json()
    assert answer["ready"]
    assert [(each["kind"], "set API_KEY" in each["text"]) for each in answer["warnings"]] == (
        [("access", True)] if warns else []
    )


@pytest.mark.parametrize(
    "state",
    [
        IngestionState("restarting", last_error="it crashed"),
        IngestionState("stopped", last_error="it crashed"),
        IngestionState("running", store_error="disk full"),
    ],
)
def test_a_dataflow_that_does_not_commit_is_503(tmp_path: Path, store: Store, state: IngestionState) -> None:
    response = ready(tmp_path, store, FakeIngestion(current=state))
    assert response.status_code == 503
    assert response.json()["reasons"] == [state.store_error or state.last_error]
    assert response.json()["ingestion"] == {
        "state": state.name,
        "last_error": state.last_error,
        "store_error": state.store_error,
        "lost_bytes": 0,
    }


@pytest.mark.parametrize("ingestion", [None, FakeIngestion()])
def test_a_store_that_is_away_is_503(tmp_path: Path, ingestion: FakeIngestion | None) -> None:
    response = ready(tmp_path, InMemoryStore(before_read=is_away), ingestion)
    assert response.status_code == 503
    assert response.json()["store"] == {"answers": False, "error": "the disk is gone"}


def test_a_store_that_hangs_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "STORE_ANSWER_SECONDS", 0.01)
    response = ready(tmp_path, InMemoryStore(before_read=hangs), None)
    assert response.status_code == 503
    assert response.json()["store"]["error"] == "no answer within 0.01 seconds"


def test_without_dataflow_sources_are_what_processors_reported(tmp_path: Path, store: Store) -> None:
    store.report("node", [LIVE_SOURCE])
    answer = ready(tmp_path, store, None).json()
    assert answer["ingestion"]["state"] is None
    assert [source["path"] for source in answer["sources"]] == ["data/requests.log"]


def test_metrics_have_the_lag_of_each_source(client: httpx.Client) -> None:
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    (sample,) = families["tailmetrics_source_lag_bytes"].samples
    assert (sample.labels["path"], sample.value) == ("data/requests.log", 40)


@pytest.mark.parametrize(
    ("path", "endpoint", "status"),
    [
        ("/customers/cust_1/stats", "/customers/{customer_id}/stats", "200"),
        ("/customers/nobody/stats", "/customers/{customer_id}/stats", "404"),
        ("/stats?tz=x", "/stats", "422"),
        ("/some/where", "other", "404"),
        ("/static/docs.js", "/static/{name}", "200"),
    ],
)
def test_metrics_count_answers_by_endpoint(
    tmp_path: Path, store: Store, path: str, endpoint: str, status: str
) -> None:
    metrics = Metrics()
    with serving(create_app(settings_in(tmp_path), store, None, metrics)) as client:
        client.get(path)
    labels = {"endpoint": endpoint, "status": status}
    assert metrics.registry.get_sample_value("tailmetrics_queries_total", labels) == 1


def test_metrics_have_a_content_type_that_prometheus_knows(client: httpx.Client) -> None:
    assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=")


@pytest.mark.parametrize(("series", "warnings"), [(999_999, 0), (1_000_000, 1)])
def test_series_are_told_and_from_a_million_on_warned_of(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, series: int, warnings: int
) -> None:
    async def counted() -> int:
        return series

    monkeypatch.setattr(store, "series", counted)
    document = ready(tmp_path, store, None).json()
    assert document["store"]["series"] == series
    assert [
        (each["kind"], f"{series:,} series" in each["text"], "LOG_CUSTOMER" in each["text"])
        for each in document["warnings"]
    ] == [("series", True, True)] * warnings


def test_series_that_cannot_be_counted_do_not_make_the_service_unready(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> int:
        raise StoreUnavailable("may not be counted")

    monkeypatch.setattr(store, "series", fails)
    response = ready(tmp_path, store, None)
    assert (response.status_code, response.json()["store"]) == (200, {"answers": True, "error": None})


def by_customer(folder: Path, ingestion: FakeIngestion | None, most: int, **changes: str) -> httpx.Response:
    metrics = Metrics(most)
    metrics.committed([batch_of(source_of(), [(at("2024-10-10"), "a", "/", 503, 0.2)])], 0.01)
    app = create_app(settings_in(folder, **changes), InMemoryStore(), ingestion, metrics)
    with serving(app) as client:
        return client.get("/metrics/customers")


def test_requests_by_customer_are_there_for_prometheus(tmp_path: Path) -> None:
    response = by_customer(tmp_path, FakeIngestion(), 1)
    assert response.headers["content-type"].startswith("text/plain; version=")
    series = 'tailmetrics_customer_requests_total{customer="a",status_class="5xx"} 1.0'
    assert series in response.text


def test_requests_by_customer_are_not_there_unless_they_are_wanted(tmp_path: Path) -> None:
    response = by_customer(tmp_path, FakeIngestion(), 0)
    assert (response.status_code, "METRICS_CUSTOMERS_MAX=0" in response.json()["detail"]) == (404, True)


def test_a_process_that_reads_no_lines_counts_nothing_by_customer(tmp_path: Path) -> None:
    response = by_customer(tmp_path, None, 1)
    assert (response.status_code, "only answers questions" in response.json()["detail"]) == (404, True)


def test_requests_by_customer_need_the_key_of_readers(tmp_path: Path) -> None:
    assert by_customer(tmp_path, FakeIngestion(), 1, api_read_key="0123456789abcdef").status_code == 401


class TestServing:
    def test_it_is_to_be_asked_while_its_store_answers(self, client: httpx.Client) -> None:
        response = client.get("/serving")
        assert (response.status_code, response.json()) == (200, {"serving": True, "reason": None})

    @pytest.mark.parametrize("answers", [hangs, is_away])
    def test_it_is_not_when_its_store_does_not_answer(
        self,
        tmp_path: Path,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
        answers: Callable[[object], Coroutine[None, None, None]],
    ) -> None:
        monkeypatch.setattr(probes, "STORE_ANSWER_SECONDS", 0.01)
        monkeypatch.setattr(type(store), "ping", answers)
        with serving(create_app(settings_in(tmp_path), store, None, Metrics())) as client:
            response = client.get("/serving")
        assert (response.status_code, response.json()["serving"]) == (503, False)
        assert response.json()["reason"] == "its store does not answer it; /ready says more"

    def test_it_is_while_a_processor_misses_its_log(self, tmp_path: Path, store: Store) -> None:
        """All who serve the store would be left out at once."""
        store.report("one", [replace(MISSING_SOURCE, path="/var/log/shop.log")])
        with serving(create_app(settings_in(tmp_path), store, None, Metrics())) as client:
            assert (client.get("/ready").status_code, client.get("/serving").status_code) == (503, 200)

    @pytest.mark.parametrize("path", ["/serving", "/ready"])
    def test_it_is_not_once_the_process_was_told_to_end(
        self, tmp_path: Path, store: Store, path: str
    ) -> None:
        app = create_app(settings_in(tmp_path), store, None, Metrics())
        app.state.is_ending = True
        with serving(app) as client:
            response = client.get(path)
            assert client.get("/health").status_code == 200
        assert response.status_code == 503
        assert "this process was told to end" in response.text
