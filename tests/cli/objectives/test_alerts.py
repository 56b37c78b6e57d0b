"""The commands alerts and silence, over a store that no service has open."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tailmetrics.objectives.alerts.evaluator import Evaluator
from tailmetrics.objectives.file import read_objectives
from tailmetrics.settings import load_settings
from tailmetrics.status import SourceStatus
from tailmetrics.stores import open_store
from tests.builders import batch_of, source_of
from tests.cli.running import Run, as_json
from tests.integration.running import Service

FILE = """
[[objective]]
name = "up"
target = 99.0

[[rule]]
burn_rate = 14.4
long = "1h"
short = "5m"
min_requests = 1
"""
URL = "duckdb:///store.duckdb"


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with an alert about each of two customers, as a service has left it."""
    monkeypatch.setenv("OBJECTIVES", "objectives.toml")
    monkeypatch.setenv("STORE_URL", URL)
    Path("objectives.toml").write_text(FILE)
    store = open_store(load_settings(None, store_url=URL))
    moment = datetime.now(timezone.utc) - timedelta(minutes=2)
    source = store.register(source_of())
    store.write([batch_of(source, [(moment, customer, "/", 500, 0.1) for customer in ("shop-1", "b")])])

    async def no_sources() -> list[SourceStatus]:
        return []

    asyncio.run(Evaluator(store, lambda: read_objectives("objectives.toml"), no_sources).step())
    store.close()


@pytest.mark.usefixtures("evaluated")
def test_alerts_are_shown_with_and_without_the_word_list(run: Run) -> None:
    shown = run("alerts")
    assert shown.exit_code == 0, shown.output
    assert shown.output == run("alerts", "list").output
    lines = shown.output.splitlines()
    assert re.fullmatch(r"2 alerts, evaluated at \d{4}-\d\d-\d\d \d\d:\d\d", lines[0])
    assert [line.split()[1:5] for line in lines[3:5]] == [
        ["firing", "page", "up", "b"],
        ["firing", "page", "up", "shop-1"],
    ]
    assert "the budget burns 100 and 100 times as fast as it may" in shown.output


@pytest.mark.usefixtures("evaluated")
def test_alerts_and_their_history_are_selected_and_printed_as_json(run: Run) -> None:
    assert as_json(run("alerts", "list", "--customer", "b", "--json"))["total"] == 1
    assert as_json(run("alerts", "list", "--state", "resolved", "--json"))["total"] == 0
    assert as_json(run("alerts", "history", "--json"))["total"] == 2
    assert run("alerts", "history", "--limit", "1").output.startswith("1 of 2 changes\n")


@pytest.mark.usefixtures("evaluated")
def test_a_replay_says_when_alerts_would_have_fired_and_keeps_nothing(run: Run) -> None:
    changes = as_json(run("alerts", "replay", "--from=-30m", "--json"))["changes"]
    assert [(each["subject"], each["state"]) for each in changes] == [("b", "firing"), ("shop-1", "firing")]
    shown = run("alerts", "replay", "--from=-30m")
    assert (shown.exit_code, shown.output.splitlines()[0]) == (0, "2 changes")
    assert as_json(run("alerts", "history", "--json"))["total"] == 2
    wrong = run("alerts", "replay", "--from", "yesterday")
    assert (wrong.exit_code, "tailmetrics alerts replay: from: found 'yesterday'" in wrong.output) == (
        2,
        True,
    )
    reversed_times = run("alerts", "replay", "--from=-1h", "--to=-2h")
    assert (
        reversed_times.exit_code,
        "from: found '-1h', expected a time before --to" in reversed_times.output,
    ) == (
        2,
        True,
    )


def test_without_objectives_a_warning_says_why_there_are_none(run: Run) -> None:
    open_store(load_settings(None, store_url=URL)).close()
    shown = run("alerts", "list", "--store-url", URL)
    assert (shown.exit_code, shown.output.splitlines()[0]) == (0, "0 alerts")
    assert "warning: OBJECTIVES is not set" in shown.output


@pytest.mark.usefixtures("evaluated")
def test_a_silence_is_begun_listed_and_ended(run: Run) -> None:
    begun = run("silence", "shop-*", "--rule", "u*", "--for", "2h", "--reason", "known", "--by", "me")
    assert begun.exit_code == 0, begun.output
    [name] = re.findall(r"^silence (\w+) of u\* for shop-\* until ", begun.output)
    listed = run("silence").output
    assert re.search(rf"{name} +shop-\* +u\* +\d{{4}}-\d\d-\d\d \d\d:\d\d +me +known", listed)
    ended = run("silence", "--end", name)
    assert (ended.exit_code, ended.output.split(";")[0]) == (0, f"silence {name} of u* for shop-* ended")
    assert run("silence").output.startswith("0 silences\n")
    again = run("silence", "--end", name)
    assert (again.exit_code, f"found no silence '{name}'" in again.output) == (1, True)


@pytest.mark.usefixtures("evaluated")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a",), "--for: found none, expected a length such as 2h, or --until"),
        (("a", "--for", "2h"), "--reason: found none"),
        (("a", "--for", "2 hours", "--reason", "r"), "for: found '2 hours'"),
        (("a", "--until", "2020-01-01T00:00:00Z", "--reason", "r"), "expected a time that is still to come"),
        (("a", "--end", "x"), "--end: found other options beside it"),
    ],
)
def test_a_silence_that_cannot_be_says_what_is_wrong(run: Run, arguments: tuple[str, ...], said: str) -> None:
    result = run("silence", *arguments)
    assert (result.exit_code, said in result.output) == (2, True), result.output


def test_a_running_service_takes_a_silence_with_its_key_alone(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("silence", "*", "--for", "1m", "--reason", "known", "--port", service.port)
    refused = run(*arguments)
    assert (refused.exit_code, "X-API-Key: found nothing" in refused.output) == (77, True), refused.output
    monkeypatch.setenv("API_KEY", "secret")
    begun = run(*arguments)
    assert begun.exit_code == 0, begun.output
    [name] = re.findall(r"^silence (\w+) of ", begun.output)
    assert as_json(run("silence", "--json", "--port", service.port))["silences"][0]["created_by"] == "API_KEY"
    assert run("silence", "--end", name, "--port", service.port).exit_code == 0
