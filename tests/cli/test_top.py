"""`tailmetrics top`, also in a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailmetrics.cli.top import SORTS, Choice
from tests.integration.running import Service
from tests.paths import DATA

LOG = DATA / "requests-10k.log"


class TestKeys:
    def test_s_goes_through_all_columns_and_begins_again(self) -> None:
        choice = Choice()
        seen = []
        for _ in SORTS:
            choice.press("s", None)
            seen.append(choice.sort)
        assert seen == [*SORTS[1:], SORTS[0]]

    def test_the_lowest_uptime_comes_first(self) -> None:
        choice = Choice("failures")
        choice.press("s", None)
        assert choice.parameters(10)["sort"] == "uptime"

    def test_r_turns_the_order_round(self) -> None:
        choice = Choice()
        choice.press("r", None)
        assert choice.parameters(10)["sort"] == "requests"

    def test_pages_are_turned_both_ways(self) -> None:
        choice = Choice()
        choice.press("n", "second")
        choice.press("n", "third")
        choice.press("p", None)
        assert choice.parameters(10)["cursor"] == "second"
        choice.press("p", None)
        assert "cursor" not in choice.parameters(10)

    def test_the_last_page_is_the_last(self) -> None:
        choice = Choice()
        choice.press("n", None)
        assert "cursor" not in choice.parameters(10)

    def test_a_filter_is_typed_and_begins_at_the_first_page(self) -> None:
        choice = Choice(cursors=["second"])
        for key in ("/", "q", "x", "\x7f", "ü", "\r"):
            choice.press(key, None)
        assert choice.parameters(10) == {"sort": "-requests", "limit": "10", "search": "qü"}
        assert not choice.ended

    def test_escape_leaves_the_filter_as_it_was(self) -> None:
        choice = Choice(search="a")
        for key in ("/", "b", "\x1b"):
            choice.press(key, None)
        assert (choice.search, choice.typed, choice.ended) == ("a", None, False)

    def test_space_pauses_and_goes_on(self) -> None:
        choice = Choice()
        choice.press(" ", None)
        assert choice.paused
        choice.press(" ", None)
        assert not choice.paused

    @pytest.mark.parametrize("key", ["q", "\x1b"])
    def test_it_ends(self, key: str) -> None:
        choice = Choice()
        choice.press(key, None)
        assert choice.ended


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    log = folder / "requests.log"
    log.write_bytes(LOG.read_bytes())
    service = Service(folder, str(log))
    service.start()
    service.await_total(10_000)
    yield service
    service.close()


def command(service: Service, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tailmetrics", *arguments, "--port", str(service.port)]


def test_without_a_terminal_it_prints_once_and_ends(service: Service) -> None:
    ended = subprocess.run(
        command(service, "top", "--from=2020-01-01"), capture_output=True, text=True, timeout=30, check=True
    )
    wanted = service.client.get("/customers", params={"sort": "-requests", "limit": 1}).json()["customers"][0]
    row = next(line for line in ended.stdout.splitlines() if line.startswith("cust_"))
    assert row.split()[:2] == [wanted["customer_id"], f"{wanted['total_requests']:,}"]
    assert "\x1b" not in ended.stdout


def test_it_prints_as_often_as_asked(service: Service) -> None:
    arguments = ("top", "--from=2020-01-01", "--count", "2", "--interval", "0.1", "--search", "cust_1")
    ended = subprocess.run(
        command(service, *arguments), capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout.count("requests  ") == 2


def test_stats_have_bars_where_there_is_room(service: Service) -> None:
    ended = subprocess.run(
        command(service, "stats"), capture_output=True, text=True, timeout=30, check=True, encoding="utf-8"
    )
    assert "█" in ended.stdout


def test_customers_of_few_requests_are_left_out(service: Service) -> None:
    wanted = service.client.get("/customers", params={"sort": "-requests", "limit": 3}).json()["customers"]
    least = str(wanted[-1]["total_requests"])
    ended = subprocess.run(
        command(service, "top", "--from=2020-01-01", "--sort=uptime", "--min-requests", least),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    shown = {line.split()[0] for line in ended.stdout.splitlines() if line.startswith("cust_")}
    assert {customer["customer_id"] for customer in wanted} <= shown
    assert len(shown) < 10


class Terminal:
    """A program in a pseudo-terminal, and the text that it has written to it."""

    def __init__(self, arguments: list[str]) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "30"}
        self.process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.text = ""

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait_for(self, pattern: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            assert left > 0, self.text[-3000:]
            if select.select([self.master], [], [], left)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal_with_top(service: Service) -> Iterator[Terminal]:
    opened = Terminal(command(service, "top", "--from=2020-01-01", "--interval", "0.2"))
    yield opened
    opened.close()


def test_keys_sort_filter_and_end(terminal_with_top: Terminal) -> None:
    top = terminal_with_top
    top.wait_for("requests ▼")
    top.press("s")
    top.wait_for("failed ▼")
    top.press("/cust_1\r")
    top.wait_for("filter 'cust_1'")
    top.press("q")
    assert top.process.wait(10) == 0


@pytest.mark.slow
def test_a_service_that_is_gone_is_said_and_what_was_shown_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "requests.log"
    log.write_text("2024-10-10 08:00:00 cust_1 / 200 0.1\n")
    service = Service(tmp_path, str(log))
    service.start()
    service.await_total(1)
    monkeypatch.setenv("STORE_URL", f"duckdb:///{tmp_path}/none.duckdb")
    top = Terminal(command(service, "top", "--from=2020-01-01", "--interval", "0.2"))
    try:
        top.wait_for("cust_1")
        service.end()
        top.text = ""
        top.wait_for("Not current: .*")
        assert "cust_1" in top.text
    finally:
        top.close()
        service.close()
