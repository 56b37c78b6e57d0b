"""Objectives for the terminal."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from tailmetrics.cli.client import Answer
from tailmetrics.cli.documents import Objectives
from tailmetrics.cli.tables import (
    STYLES,
    figures_table,
    is_ascii,
    number,
    print_cursor,
    print_fitting,
    print_text,
)
from tailmetrics.cli.text import counted, escaped

# By the state: the colour, the shape, that where there are no others, and the words.
_STATES: Final = {
    "kept": ("ok", "●", "+", "kept"),
    "at_risk": ("note", "▲", "!", "at risk"),
    "broken": ("wrong", "✗", "x", "broken"),
}


def print_objectives(answer: Answer[Objectives]) -> None:
    """One row an objective and customer; says how to get the next page when there is one."""
    page = answer.document
    table = figures_table(
        "customer",
        "objective",
        "state",
        "compliance %",
        "target %",
        "budget left %",
        "requests left",
        "burn 1h",
        "burn 6h",
        "runs out",
    )
    for column in table.columns[1:3]:
        column.justify = "left"
    plain = is_ascii()
    for each in page.objectives:
        style, shape, letter, words = _STATES[each.state]
        table.add_row(
            Text(escaped(each.customer_id)),
            Text(escaped(f"{each.objective} ({each.period})")),
            Text(f"{letter if plain else shape} {words}", STYLES[style]),
            number(each.compliance, 3),
            f"{each.target:g}",
            number(each.left_percent, 1),
            f"{each.left_requests:,.1f}",
            number(each.burn_rate_1h, 1),
            number(each.burn_rate_6h, 1),
            _to_the_minute(each.runs_out_at),
        )
    print_text(f"{len(page.objectives)} of {counted(page.total, 'budget')}, at {page.at}")
    if page.objectives:
        print_fitting(table)
    for warning in page.warnings:
        print_text(f"warning: {escaped(warning)}")
    print_text(f"from {answer.origin}")
    print_cursor(page.next_cursor)


def _to_the_minute(time: str | None) -> str:
    """A time as the API gives it, without seconds."""
    if time is None:
        return "-"
    offset = "Z" if time.endswith("Z") else time[-6:]
    return f"{time[:10]} {time[11:16]}{offset}"
