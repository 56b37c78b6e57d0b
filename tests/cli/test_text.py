"""Text for people."""

from __future__ import annotations

import pytest

from tailmetrics.cli.text import counted, escaped


@pytest.mark.parametrize(("number", "shown"), [(0, "0 lines"), (1, "1 line"), (2000, "2,000 lines")])
def test_a_noun_has_the_form_of_its_number(number: int, shown: str) -> None:
    assert counted(number, "line") == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Grüße 客 \u00a0é", "Grüße 客 \u00a0é"),
        ("\x1b[31m\x07", r"\x1b[31m\x07"),
        ("left\u202eright", r"left\u202eright"),
        ("one\u2028two", r"one\u2028two"),
        ("\udcff", r"\udcff"),
    ],
)
def test_only_what_can_upset_a_terminal_is_escaped(given: str, shown: str) -> None:
    assert escaped(given) == shown
