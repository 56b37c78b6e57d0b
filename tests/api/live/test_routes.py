from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailmetrics.api.app import create_app
from tailmetrics.api.live import broadcast
from tailmetrics.formats import open_format
from tailmetrics.stores import open_store
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import LINES, commit, settings_in
from tests.api.fakes import LIVE_SOURCE, FakeIngestion
from tests.api.serving import serving

Growing = tuple[Callable[[bytes], None], httpx.Client]


@pytest.fixture
def growing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Callable[[bytes], None], httpx.Client]]:
    """What commits lines, and a client of the service over the same store."""
    settings = settings_in(tmp_path_factory.mktemp("growing"))
    store = open_store(settings)
    names = itertools.count()

    def add(lines: bytes) -> None:
        commit(store, f"{next(names)}.log", open_format(settings.format_options("requests")).parse(lines, 0))

    try:
        add("\n".join(LINES).encode())
        with serving(create_app(settings, store, FakeIngestion(), Metrics())) as client:
            yield add, client
    finally:
        store.close()


def documents(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    return (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_the_stream_tells_of_a_commit(growing: Growing) -> None:
    add, client = growing
    with client.stream("GET", "/live") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        states = documents(response.iter_lines())
        assert next(states)["stats"]["total_requests"] == 4
        add(b"2024-10-10 08:00:00 cust_9 / 200 0.1")
        assert any(state["stats"]["total_requests"] == 5 for state in states)


def test_the_stream_tells_of_a_log_that_is_not_there_and_of_one_that_is(
    tmp_path: Path, store: InMemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "REFRESH_SECONDS", 3600.0)  # which is when ranges move with the clock
    wrong = replace(LIVE_SOURCE, source_id="", state="missing")
    ingestion = FakeIngestion(statuses=[LIVE_SOURCE])
    with (
        serving(create_app(settings_in(tmp_path), store, ingestion, Metrics())) as client,
        client.stream("GET", "/live") as response,
    ):
        states = documents(response.iter_lines())
        assert next(states)["looks"]["sources"][0]["state"] == "live"
        for status in (wrong, LIVE_SOURCE):
            ingestion.statuses = [status]
            store.report("node", [status])
            assert any(state["looks"]["sources"][0]["state"] == status.state for state in states)


@pytest.mark.parametrize("path", ["/view", "/live"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=x", "from"),
        ("every=1w", "every"),
        ("sort=colour", "sort"),
        ("limit=0", "limit"),
        ("page=0", "page"),
        ("q=1", "q"),
    ],
)
def test_a_wrong_parameter_is_named_before_a_stream_begins(
    client: httpx.Client, path: str, query: str, parameter: str
) -> None:
    response = client.get(f"{path}?{query}")
    assert response.status_code == 422
    assert [problem["parameter"] for problem in response.json()["errors"]] == [parameter]
