"""How far a load is, as it is shown without a terminal, and what became of it."""

from __future__ import annotations

import io

import pytest

from tailmetrics.cli import progress
from tailmetrics.cli.progress import count_bar, count_display, load_display, load_summary
from tailmetrics.status import LoadProgress


@pytest.mark.parametrize(
    ("load", "summary"),
    [
        (
            LoadProgress("done", lines=2000, records=1998, rejects=1, blanks=1),
            "x.log: 2,000 lines loaded: 1,998 records, 1 reject, 1 blank",
        ),
        (LoadProgress("done", already_loaded=True), "x.log: already loaded, nothing was added"),
        (LoadProgress("failed", lines=1), "x.log: failed after 1 line"),
    ],
)
def test_a_load_that_has_ended_is_told_in_one_line(load: LoadProgress, summary: str) -> None:
    assert load_summary("x.log", load) == summary


def test_a_name_cannot_upset_the_terminal() -> None:
    assert load_summary("\x1b[31m", LoadProgress("done", already_loaded=True)).startswith(r"\x1b[31m: ")


def test_lines_come_after_twice_the_time_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    out = io.StringIO()
    with load_display("x.log", out) as show:
        for now in (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 8.0):
            show(LoadProgress("running", bytes_total=100, bytes_done=int(10 * now), lines=int(1000 * now)))
    assert out.getvalue().splitlines() == [
        "x.log: 20%, 1,000 lines/s, 0 rejects",
        "x.log: 40%, 1,000 lines/s, 0 rejects",
        "x.log: 80%, 1,000 lines/s, 0 rejects",
    ]


@pytest.mark.parametrize(("total", "share"), [(400, "25%"), (0, "100%")])
def test_an_export_shows_how_many_of_how_many_now_and_then(
    monkeypatch: pytest.MonkeyPatch, total: int, share: str
) -> None:
    clock = iter([0.0, 1.0, 2.5, 3.0, 4.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = io.StringIO()
    show = count_display("export", "records", shown)
    for _ in range(4):
        show(100, total)
    assert shown.getvalue() == (
        f"export: {share}, 100 records, 40 a second\nexport: {share}, 100 records, 25 a second\n"
    )


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_copy_is_a_bar_on_a_terminal() -> None:
    shown = _Terminal()
    with count_bar("copy", "lines", shown) as show:
        show(1_000, 4_000)
    assert "copy" in shown.getvalue()
    assert "1000/4000" in shown.getvalue()
