"""Objectives in the terminal: states have a shape and words, not colour alone, and names cannot upset it."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from tailmetrics.cli import tables
from tailmetrics.cli.client import Answer
from tailmetrics.cli.documents import ObjectiveBudget, Objectives
from tailmetrics.cli.objectives.table import print_objectives


def budget(**changes: Any) -> ObjectiveBudget:
    values = {
        "objective": "available",
        "customer_id": "cust_1",
        "state": "kept",
        "target": 99.9,
        "period": "30d",
        "total_requests": 0,
        "bad_requests": 0,
        "compliance": None,
        "left_requests": 0.0,
        "left_percent": None,
        "burn_rate_1h": None,
        "burn_rate_6h": None,
        "runs_out_at": None,
    }
    return ObjectiveBudget(**{**values, **changes})


def shown(*budgets: ObjectiveBudget, warnings: tuple[str, ...] = (), cursor: str | None = None) -> str:
    page = Objectives("2024-10-01T00:00:00Z", len(budgets), cursor, warnings, budgets)

    @click.command()
    def show() -> None:
        print_objectives(Answer(page, b"", "here"))

    return CliRunner().invoke(show).stdout


@pytest.mark.parametrize(
    ("state", "text"), [("kept", "● kept"), ("at_risk", "▲ at risk"), ("broken", "✗ broken")]
)
def test_a_state_has_a_shape_and_words(state: str, text: str) -> None:
    assert text in shown(budget(state=state))


def test_a_terminal_without_other_signs_gets_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailmetrics.cli.objectives.table.is_ascii", lambda: True)
    assert "x broken" in shown(budget(state="broken"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("2024-10-01T12:34:56.789Z", "2024-10-01 12:34Z"),
        ("2024-10-01T12:34:56+02:00", "2024-10-01 12:34+02:00"),
    ],
)
def test_when_a_budget_runs_out_is_told_to_the_minute_with_its_offset(given: str, text: str) -> None:
    assert text in shown(budget(state="at_risk", runs_out_at=given))


def test_names_cannot_upset_the_terminal() -> None:
    text = shown(budget(customer_id="a\x1b[31mb", objective="c\u202ed"), warnings=("e\x1b]0;f\x07",))
    assert r"a\x1b[31mb" in text
    assert r"c\u202ed" in text
    assert "\x1b" not in text


def test_without_entries_there_is_no_table_and_with_more_it_is_said() -> None:
    assert shown() == "0 of 0 budgets, at 2024-10-01T00:00:00Z\nfrom here\n"
    assert shown(budget(), cursor="abc").endswith("More of them: the same command with --cursor abc\n")


def test_a_narrow_terminal_shows_state_and_budget_and_names_what_it_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_console", lambda: Console(width=60, highlight=False))
    text = shown(budget(state="broken", left_percent=-12.5))
    assert max(map(len, text.splitlines()[:4])) <= 60
    assert "✗ broken" in text
    assert "-12.5" in text
    assert "left out, as the terminal is narrow: " in text
