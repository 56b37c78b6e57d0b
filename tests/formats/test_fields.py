"""The rules of the fields: which texts are values."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from tailmetrics.formats import fields


def read(rule: Callable[[pl.Expr], pl.Expr], text: str) -> object:
    return pl.select(rule(pl.lit(text))).item()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("200", 200),
        ("599", 599),
        ("600", None),
        ("099", None),
        ("0200", None),
        ("+20", None),
        ("200 OK", None),
    ],
)
def test_a_status_is_three_digits_from_100_to_599(text: str, status: int | None) -> None:
    assert read(fields.status_code, text) == status


@pytest.mark.parametrize(
    ("text", "status"),
    [("0", 0), ("-1", 0), ("000", 0), ("-", 0), ("00", None), ("-0", None), ("0.0", None), ("", None)],
)
def test_just_four_texts_are_the_status_of_no_answer(text: str, status: int | None) -> None:
    assert read(fields.status_code, text) == status


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.5", 0.5), (".5", 0.5), ("1e-3", 0.001), ("-1", None), ("1e999", None), ("nan", None), ("", None)],
)
def test_a_duration_is_a_finite_decimal_without_a_sign(text: str, seconds: float | None) -> None:
    assert read(fields.duration, text) == seconds


@pytest.mark.parametrize(
    ("text", "fits"), [("a", True), ("客" * 256, True), ("a" * 257, False), ("", False), ("a\tb", False)]
)
def test_a_customer_is_1_to_256_characters_without_control_characters(text: str, *, fits: bool) -> None:
    assert read(fields.customer_id, text) == (text if fits else None)


@pytest.mark.parametrize(("text", "fits"), [("/", True), ("a\tb", True), ("", False), ("a\0b", False)])
def test_a_path_is_any_text_without_a_nul(text: str, *, fits: bool) -> None:
    assert read(fields.path, text) == (text if fits else None)
