from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats.digits import WORD, decimals, integers, pairs

from .logs import unhurried

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


def read(texts: list[str]) -> list[float | None]:
    """Each text as `decimals` reads it, None where it does not fit."""
    tails = b"".join(text.encode()[-WORD:].rjust(WORD) for text in texts)
    values, fits = decimals(np.frombuffer(tails, "<u8"), np.array([len(text) for text in texts]))
    return [value if fit else None for value, fit in zip(values.tolist(), fits.tolist(), strict=True)]


@pytest.mark.parametrize("text", ["0", "7.", ".5", "0.316", "12345678", "1234567.", ".1234567", "0000.100"])
def test_digits_with_a_dot_or_without_are_the_nearest_double(text: str) -> None:
    assert read([text]) == [float(text)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.2.3",
        "1..2",
        "-1",
        "+1",
        "1e5",
        "1,5",
        "inf",
        "nan",
        "1_0",
        "0x1",
        "1 ",
        "\x00",
        "123456789",
    ],
)
def test_what_is_no_short_decimal_does_not_fit(text: str) -> None:
    assert read([text]) == [None]


@unhurried
@given(
    st.lists(
        st.text("0123456789.", max_size=9) | st.text(st.characters(max_codepoint=127), max_size=9), min_size=1
    )
    | st.lists(st.from_regex(r"[0-9x.]{0,4}\.[0-9x]{3}", fullmatch=True), min_size=1)  # dots in one place
)
def test_just_what_is_a_short_decimal_is_read(texts: list[str]) -> None:
    short = [len(text) <= WORD and _DECIMAL.fullmatch(text) is not None for text in texts]
    assert read(texts) == [float(text) if fits else None for text, fits in zip(texts, short, strict=True)]


@pytest.mark.parametrize("byte", range(256))
def test_of_all_bytes_only_digits_are_digits(byte: int) -> None:
    _, fits = pairs(np.frombuffer(bytes([0x20, byte, 0x30, 0x39]), "<u4"), b" 000")
    assert fits.tolist() == [chr(byte) in "0123456789"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("7", 7),
        ("007", 7),
        ("12345678", 12345678),
        ("", None),
        ("1.5", None),
        ("12 4", None),
        ("-1", None),
    ],
)
def test_an_integer_is_digits_alone(text: str, number: int | None) -> None:
    words = np.frombuffer(text.encode().rjust(WORD, b"9"), dtype="<u8")
    values, fits = integers(words, np.array([len(text)]))
    assert (int(values[0]) if fits[0] else None) == number
