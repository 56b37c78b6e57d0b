"""Alerts and silences for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.text import Text

from tailmetrics.cli.client import Answer
from tailmetrics.cli.documents import Alert, AlertHistory, Alerts, Silence, Silences
from tailmetrics.cli.tables import STYLES, is_ascii, print_rows, print_text, text_table
from tailmetrics.cli.text import counted, escaped

# By the state: the colour, the shape, and that where there are no others.
_STATES: Final = {
    "firing": ("wrong", "✗", "x"),
    "pending": ("note", "▲", "!"),
    "resolved": ("ok", "●", "+"),
}


def print_alerts(answer: Answer[Alerts]) -> None:
    """One row an alert, and what keeps others from being there."""
    page = answer.document
    evaluated = "" if page.evaluated_at is None else f", evaluated at {_short(page.evaluated_at)}"
    print_text(f"{_shown(page.alerts, page.total, 'alert')}{evaluated}")
    _print_rows(page.alerts)
    for warning in page.warnings:
        print_text(f"warning: {escaped(warning)}")
    print_text(f"from {answer.origin}")


def print_history(answer: Answer[AlertHistory]) -> None:
    """One row a change."""
    page = answer.document
    print_text(_shown(page.changes, page.total, "change"))
    _print_rows(page.changes)
    print_text(f"from {answer.origin}")


def print_changes(changes: tuple[Alert, ...]) -> None:
    """One row a change, of which there may be none."""
    print_text(counted(len(changes), "change"))
    _print_rows(changes)


def print_silences(answer: Answer[Silences]) -> None:
    """One row a silence."""
    silences = answer.document.silences
    print_text(counted(len(silences), "silence"))
    table = text_table(("id", "customer", "rule", "until", "by", "reason"))
    for each in silences:
        texts = (each.id, each.customer, each.rule, _short(each.until), each.created_by, each.reason)
        table.add_row(*(Text(escaped(text)) for text in texts))
    print_rows(table)
    print_text(f"from {answer.origin}")


def silence_text(silence: Silence) -> str:
    """What a silence is about."""
    return f"silence {silence.id} of {silence.rule} for {silence.customer}"


def _print_rows(alerts: Iterable[Alert]) -> None:
    table = text_table(("state", "severity", "rule", "about", "since", "what"))
    plain = is_ascii()
    for each in alerts:
        style, shape, letter = _STATES[each.state]
        silenced = "" if each.silenced_by is None else f" (silenced: {each.silenced_by})"
        table.add_row(
            Text(f"{letter if plain else shape} {each.state}", STYLES[style]),
            each.severity,
            Text(escaped(each.name)),
            Text(escaped(each.subject)),
            _short(each.since),
            Text(escaped(f"{each.summary}{silenced}")),
        )
    print_rows(table)


def _shown(alerts: tuple[Alert, ...], total: int, noun: str) -> str:
    return counted(total, noun) if len(alerts) == total else f"{len(alerts)} of {counted(total, noun)}"


def _short(moment: str) -> str:
    return moment[:16].replace("T", " ")
