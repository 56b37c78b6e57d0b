"""Text for people: numbers with their nouns, and names that cannot upset a terminal."""

from __future__ import annotations

import unicodedata

# Control and format characters (among them those that turn the direction of writing), line separators, lone
# surrogates.
_HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escaped(text: str) -> str:
    r"""The text with what could move the cursor, change colours or turn letters round written as \xNN."""
    return "".join(
        each.encode("unicode_escape", "surrogatepass").decode()
        if unicodedata.category(each) in _HARMFUL
        else each
        for each in text
    )


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 line, 2,000 lines."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
