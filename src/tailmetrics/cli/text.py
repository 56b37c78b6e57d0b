"""Text for people: numbers with their nouns, and names that cannot upset a terminal."""

from __future__ import annotations

import unicodedata


def escaped(text: str) -> str:
    r"""The text with what could move the cursor, change colours or turn letters round written as \xNN."""
    return "".join(character if _is_harmless(character) else _escape(character) for character in text)


def _is_harmless(character: str) -> bool:
    # Control and format characters (among them those that turn the direction of writing), line separators,
    # lone surrogates.
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 line, 2,000 lines."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
