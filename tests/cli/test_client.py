"""Who answers: the service where one runs, else the store."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tailmetrics.stores import open_store
from tests.builders import settings_of
from tests.cli.running import LOG, Run, as_json
from tests.integration.running import Service, free_port


def test_the_store_asked_for_wins_over_a_running_service(run: Run, service: Service, tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("2024-11-06 06:33:33 other /x 200 0.1\n")
    url = f"duckdb:///{tmp_path}/own.duckdb"
    run("load", "one.log", "--store-url", url, "--port", service.port)
    answer = as_json(run("stats", "--json", "--store-url", url, "--port", service.port))
    assert answer["total_requests"] == 1


def test_a_store_that_the_service_holds_is_asked_through_it(run: Run, service: Service) -> None:
    url = f"duckdb:///{service.store}"
    answer = as_json(run("stats", "cust_1", "--json", "--store-url", url, "--port", service.port))
    assert answer["total_requests"] == 161


def test_a_held_store_without_an_answering_service_says_who_holds_it(run: Run, service: Service) -> None:
    assert service.process is not None
    result = run("stats", "cust_1", "--store-url", f"duckdb:///{service.store}")
    assert (result.exit_code, f"process {service.process.pid}" in result.stderr) == (69, True)


def test_the_table_says_who_answered(run: Run, service: Service) -> None:
    assert f"from http://127.0.0.1:{service.port}" in run("stats", "cust_1", "--port", service.port).stdout


def test_without_store_and_service_nothing_is_made(run: Run, tmp_path: Path) -> None:
    result = run("stats", "cust_1")
    assert (result.exit_code, "there is no store at data/tailmetrics.duckdb" in result.stderr) == (69, True)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def program(answers: Mapping[str, tuple[int, bytes]], other: bytes = b"") -> Iterator[int]:
    """The port of a program that gives these answers by path, and `other` everywhere else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.partition("?")[0], (200, other))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


ALIVE = {"/health": (200, b'{"status": "alive"}')}


def test_another_program_at_the_port_is_not_taken_for_the_service(run: Run, stored: str) -> None:
    with program({}, b"hello") as port:
        result = run("stats", "--port", port)
    assert "there is no store" in result.stderr


@pytest.mark.parametrize("body", [b"hello", b"[]", b'{"windows": []}'])
def test_an_answer_of_another_kind_is_refused(run: Run, body: bytes) -> None:
    with program({**ALIVE, "/stats": (200, body)}) as port:
        result = run("stats", "--port", port)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "found status 200, expected an answer of tailmetrics" in result.stderr


@pytest.mark.parametrize(
    ("status", "exit_status"), [(401, 77), (403, 77), (422, 2), (404, 1), (500, 1), (503, 69)]
)
def test_a_refusal_is_told_with_a_status_of_its_own(run: Run, status: int, exit_status: int) -> None:
    with program({**ALIVE, "/stats": (status, b'{"detail": "because"}')}) as port:
        result = run("stats", "--port", port)
    assert (result.exit_code, result.stderr) == (exit_status, "tailmetrics stats: because\n")


def test_a_service_that_is_not_ready_says_why(run: Run) -> None:
    ingestion = {"state": "restarting", "last_error": "crashed", "store_error": "no room", "lost_bytes": 1}
    document = {"ready": False, "store": {"answers": True, "error": None}, "ingestion": ingestion}
    body = json.dumps({**document, "sources": []}).encode()
    with program({**ALIVE, "/ready": (503, body)}) as port:
        result = run("status", "--port", port)
        shown = json.loads(run("status", "--port", port, "--json").stdout)
    assert (result.exit_code, shown) == (1, json.loads(body))
    assert result.stdout.splitlines()[-4:] == [
        "1 byte destroyed by truncations before they were read",
        "error: no room",
        "error: crashed",
        f"not ready; restarting; from http://127.0.0.1:{port}",
    ]


def test_status_shows_warnings_and_the_service_is_ready(run: Run) -> None:
    ingestion = {"state": "running", "last_error": None, "store_error": None, "lost_bytes": 0}
    document = {"ready": True, "store": {"answers": True, "error": None}, "ingestion": ingestion}
    warning = {"path": "x", "format": "json", "kind": "rejects", "text": "9 of 10 lines of \x1b[31mx"}
    body = json.dumps({**document, "sources": [], "warnings": [warning]}).encode()
    with program({**ALIVE, "/ready": (200, body)}) as port:
        result = run("status", "--port", port)
        shown = json.loads(run("status", "--port", port, "--json").stdout)
    assert (result.exit_code, shown["warnings"]) == (0, [warning])
    assert result.stdout.splitlines()[-2] == r"warning: read as json: 9 of 10 lines of \x1b[31mx"


@pytest.mark.parametrize("through_service", [True, False])
def test_a_wrong_parameter_is_named(run: Run, service: Service, stored: str, through_service: bool) -> None:
    where = ("--port", service.port) if through_service else ("--store-url", stored)
    result = run("stats", "cust_1", "--from", "2024-02-30", *where)
    assert (result.exit_code, "from: found '2024-02-30'" in result.stderr) == (2, True)


def test_a_store_is_closed_after_a_question(run: Run, stored: str) -> None:
    run("stats", "--store-url", stored)
    open_store(settings_of(Path(stored.removeprefix("duckdb:///")))).close()


def test_stats_of_the_store_are_those_of_the_service(run: Run, service: Service, stored: str) -> None:
    arguments = (
        "stats",
        "cust_7",
        "--from",
        "2024-09-05",
        "--every",
        "12h",
        "--tz",
        "Asia/Kolkata",
        "--json",
    )
    from_store = as_json(run(*arguments, "--store-url", stored))
    assert as_json(run(*arguments, "--port", service.port)) == from_store
    assert from_store["total_requests"] > 0


def test_customers_of_the_store_are_those_of_the_service(run: Run, service: Service, stored: str) -> None:
    arguments = ("customers", "--sort=-requests", "--limit", 3, "--search", "cust_1", "--json")
    from_store = as_json(run(*arguments, "--store-url", stored))
    assert as_json(run(*arguments, "--port", service.port)) == from_store
    assert len(from_store["customers"]) == 3


def test_customers_of_few_requests_are_left_out(run: Run, stored: str) -> None:
    arguments = ("customers", "--sort=requests", "--json", "--store-url", stored)
    least, *others = as_json(run(*arguments))["customers"]
    enough = str(least["total_requests"] + 1)
    found = as_json(run(*arguments, "--min-requests", enough))
    assert found["customers"] == [each for each in others if each["total_requests"] >= int(enough)] != []


@pytest.mark.parametrize("command", [["stats", "--json"], ["customers", "--json"], ["top"]])
def test_events_of_a_store_do_not_mix_with_what_is_printed(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("INFLUXDB_TOKEN", "token")
    result = run(*command, "--store-url", f"influxdb://127.0.0.1:{free_port()}/bucket?org=shop")
    assert (result.exit_code, result.stdout) == (69, "")
    assert re.match(r"timestamp=\S+ level=warning event=.*the store is not ready", result.stderr)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks readers for a key of a file, and writers for the one of a setting."""
    folder = tmp_path_factory.mktemp("closed")
    keys = folder / "readers"
    keys.write_text("the-readers-key screen in the hall\n")
    service = Service(folder, str(LOG), API_KEY="the-writers-key", API_READ_KEY_FILE=str(keys))
    service.client.headers["X-API-Key"] = "the-writers-key"
    try:
        service.start()
        service.await_total(10_000)
        yield service
    finally:
        service.close()


@pytest.mark.parametrize(
    ("setting", "key"), [("API_READ_KEY", "the-readers-key"), ("API_KEY", "the-writers-key")]
)
def test_the_key_of_the_settings_is_sent(
    run: Run, closed: Service, monkeypatch: pytest.MonkeyPatch, setting: str, key: str
) -> None:
    monkeypatch.setenv(setting, key)
    assert as_json(run("stats", "cust_1", "--json", "--port", closed.port))["total_requests"] == 161
    assert as_json(run("status", "--json", "--port", closed.port))["sources"]
    assert run("report", "--port", closed.port).exit_code == 0


def test_the_key_of_a_file_is_sent(run: Run, closed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_READ_KEY_FILE", str(closed.folder / "readers"))
    assert run("top", "--count", "1", "--from", "2024-01-01", "--port", closed.port).exit_code == 0


EXPECTED = "expected a key of the setting API_KEY or API_READ_KEY_FILE"
NOTHING = f"found nothing, {EXPECTED}; no key was sent: "


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {},
            f"{NOTHING}set API_READ_KEY or API_READ_KEY_FILE as the service has it",
        ),
        ({"API_READ_KEY": "old"}, f"found another value, {EXPECTED}; the key sent is of API_READ_KEY"),
        (
            {"API_READ_KEY_FILE": "none"},
            f"{NOTHING}API_READ_KEY_FILE cannot be read (No such file or directory)",
        ),
    ],
)
def test_which_key_is_missing_is_said(
    run: Run, closed: Service, monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str], said: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    result = run("stats", "--port", closed.port)
    assert (result.exit_code, result.stderr) == (77, f"tailmetrics stats: X-API-Key: {said}\n")


def test_a_readers_key_does_not_load(run: Run, closed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_READ_KEY", "the-readers-key")
    result = run("load", LOG, "--port", closed.port)
    assert (result.exit_code, "set API_KEY or API_KEY_FILE as the service has it" in result.stderr) == (
        77,
        True,
    )


def test_status_without_a_key_says_that_logs_are_left_out(run: Run, closed: Service) -> None:
    result = run("status", "--port", closed.port)
    assert result.exit_code == 0
    assert "logs are shown to those with a key: set API_READ_KEY" in result.stdout
    assert str(LOG) not in result.stdout


def test_who_may_open_the_store_needs_no_key(run: Run, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_READ_KEY", "key")
    monkeypatch.setenv("API_KEY_FILE", "none")
    answer = as_json(run("stats", "cust_1", "--json", "--store-url", stored))
    assert answer["total_requests"] == 161


def test_no_key_is_in_the_log_of_the_service(closed: Service) -> None:
    said = closed.said()
    assert "keys=1" in said and "the-" not in said


def test_a_store_that_refuses_the_service_is_a_wrong_setting(run: Run) -> None:
    body = b'{"type": "urn:tailmetrics:problem:store-refused", "detail": "INFLUXDB_TOKEN: no"}'
    with program({**ALIVE, "/stats": (503, body)}) as port:
        result = run("stats", "--port", port)
    assert (result.exit_code, result.stderr) == (78, "tailmetrics stats: INFLUXDB_TOKEN: no\n")
