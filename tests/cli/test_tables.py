"""Tables of figures, and the bars beside them."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from tailmetrics.cli import tables
from tailmetrics.cli.client import Answer
from tailmetrics.cli.documents import Customer, Customers, Figures, Readiness, SourceReadiness
from tests.cli.running import Run

EVIL = "evil\x1b]0;title\x07\x1b[31m"


def test_the_table_has_a_row_for_each_day_and_a_total(run: Run, stored: str) -> None:
    lines = run("stats", "cust_1", "--store-url", stored).stdout.splitlines()
    days = [line for line in lines if re.match(r"2024-09-\d\d ", line)]
    total = next(line.split() for line in lines if line.startswith("total "))
    assert (len(days), total) == (30, ["total", "161", "119", "26.09", "1.019", "1.024", "1.950"])


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("left\u202eright", r"left\u202eright"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_ids_cannot_upset_the_terminal(given: str, shown: str) -> None:
    customer = Customer(**vars(figures(1, 0, None)), customer_id=given)
    page = Customers(None, None, "UTC", "5xx", total=1, next_cursor=None, customers=(customer,))

    @click.command()
    def show() -> None:
        tables.print_customers(Answer(page, b"", "here"))

    assert f"\n{shown} " in CliRunner().invoke(show).stdout


def figures(requests: int, failed: int, p99: float | None) -> Figures:
    uptime = 100 * (requests - failed) / requests if requests else None
    return Figures(requests, requests - failed, failed, uptime, p99, p99, p99)


@pytest.fixture(params=[60, 40])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The width of the terminal."""
    width: int = request.param
    monkeypatch.setattr(tables, "_console", lambda: Console(width=width, highlight=False))
    return width


class TestNarrow:
    """The first column stays whole, and others are left out as a whole and named."""

    PAGE = Customers(
        None,
        None,
        "UTC",
        "5xx",
        total=1,
        next_cursor=None,
        customers=(Customer(**vars(figures(1000, 10, 0.5)), customer_id="cust_of_twenty_signs"),),
    )

    def test_customers(self, narrow: int, capsys: pytest.CaptureFixture[str]) -> None:
        tables.print_customers(Answer(self.PAGE, b"", "here"))
        _, head, _, row, left_out, _ = capsys.readouterr().out.splitlines()
        words = {60: "requests failed uptime % p99 s", 40: "requests failed"}[narrow]
        assert head.split() == ["customer", *words.split()]
        assert row.split()[:3] == ["cust_of_twenty_signs", "1,000", "10"]
        assert max(len(head), len(row)) <= narrow
        assert left_out.startswith("left out, as the terminal is narrow: ")
        assert "median s" in left_out

    def test_a_window_and_the_total_below_it(
        self, narrow: int, run: Run, stored: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = run("stats", "cust_1", "--store-url", stored, "--every", "1h").stdout.splitlines()
        first = [line.split()[0] for line in lines[3:-2] if line.strip()]
        assert re.fullmatch(r"2024-\d\d-\d\dT\d\d:00:00Z", first[0])
        assert {len(line) <= narrow for line in lines[1:-2]} == {True}
        assert first[-1] == "total"

    def test_the_column_that_it_is_sorted_by_stays(self, narrow: int) -> None:
        table = tables.customers_table(self.PAGE.customers, "average")
        fitted, left_out = tables.fitting(table, Console(width=narrow))
        assert [fitted.columns[0].header, "average s ▲" in left_out] == ["customer", False]

    def test_a_log_its_state_and_why_it_cannot_be_read(
        self, narrow: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = SourceReadiness(
            "", "/var/log/x/web.log", 0, 0, 0, "missing", 0, 0, 0, 0.0, "No such file or directory"
        )
        tables.print_status(Answer(Readiness(False, None, "running", None, None, 0, (source,)), b"", "here"))
        text = capsys.readouterr().out
        assert re.search(r"^/var/log/x/web.log +missing", text, re.MULTILINE)
        assert "No such file" in text
        assert "lag bytes, device:inode:epoch" in text.replace("lag s, ", "")

    def test_the_series_of_a_store_with_what_bounds_them(
        self, narrow: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        readiness = Readiness(True, None, None, None, None, 0, (), series=31_404)
        tables.print_status(Answer(readiness, b"", "here"))
        text = " ".join(capsys.readouterr().out.split())
        assert "31,404 series: one for each customer (LOG_CUSTOMER), status and lane" in text


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


def test_text_of_logs_cannot_steer_the_terminal(tmp_path: Path) -> None:
    customer = Customer(**vars(figures(1, 0, 0.1)), customer_id=EVIL)
    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(tables.customers_table([customer]))
    assert not {"\x1b", "\x07"} & set(captured.get())
    assert "evil\\x1b]0;title\\x07" in captured.get()
