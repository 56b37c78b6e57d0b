"""`tailmetrics top` and the charts of `tailmetrics stats`, also in a real terminal."""

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
from typing import Any

import pytest
from rich.console import Console

from tailmetrics.cli import tables
from tailmetrics.cli.top import SORTS, Choice
from tests.integration.running import Service
from tests.paths import DATA

LOG = DATA / "requests-10k.log"
EVIL = "evil\x1b]0;title\x07\x1b[31m"


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


def figures(requests: int, failed: int, p99: float | None) -> dict[str, Any]:
    return {
        "total_requests": requests,
        "successful_requests": requests - failed,
        "failed_requests": failed,
        "uptime": 100 * (requests - failed) / requests if requests else None,
        "average_latency": p99,
        "median_latency": p99,
        "p99_latency": p99,
    }


class TestCharts:
    def drawn(self, *windows: tuple[int, int, float | None]) -> list[list[str]]:
        """The bars of each window."""
        console = Console(width=200, legacy_windows=False, _environ={})
        charts = tables._charts([figures(*window) for window in windows], console)
        return [
            [text.plain.translate({0x2588: "#", 0x2592: "x"}) for text in column]
            for column in charts.values()
        ]

    def test_bars_are_as_long_as_their_share_of_the_largest(self) -> None:
        requests, latencies = self.drawn((100, 0, 1.0), (50, 0, 0.25))
        assert (requests, latencies) == (["#" * 20, "#" * 10], ["#" * 20, "#" * 5])

    def test_what_failed_is_seen_however_little_it_is(self) -> None:
        requests, _ = self.drawn((10_000, 1, 1.0), (10_000, 9_999, 1.0))
        assert requests == ["#" * 19 + "x", "#" + "x" * 19]

    def test_windows_without_requests_have_no_bar(self) -> None:
        assert self.drawn((0, 0, None), (0, 0, None)) == [["", ""], ["", ""]]

    def test_one_window_needs_no_chart(self) -> None:
        assert self.drawn((1, 0, 1.0)) == []


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


def test_text_of_logs_cannot_steer_the_terminal(tmp_path: Path) -> None:
    document = {"customers": [{"customer_id": EVIL, **figures(1, 0, 0.1)}], "total": 1, "next_cursor": None}
    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(tables.customers_table(document))
    assert not {"\x1b", "\x07"} & set(captured.get())
    assert "evil\\x1b]0;title\\x07" in captured.get()
