"""The rules for what the fields of a template are."""

from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.templates.columns import epoch_seconds, path_of, seconds, unknown_unit
from tailmetrics.formats.templates.template import Role


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("0.123", "s", "0.123"),
        ("123", "ms", "0.123"),
        ("152340", "us", "0.15234"),
        ("1e3", "ms", "1.0"),
        ("12ms", "s", "0.012"),
        ("1.5 s", "us", "1.5"),
        ("5ns", "s", "5e-9"),
        ("fast", "ms", "fast"),
        ("nan", "ms", "nan"),
        ("-5", "ms", "-5"),
    ],
)
def test_durations_in_any_unit_are_seconds_and_other_texts_stay(text: str, unit: str, expected: str) -> None:
    assert pl.select(seconds(pl.lit(text), unit)).item() == expected


@pytest.mark.parametrize(
    ("text", "is_unknown"), [("152340", True), ("0.5", False), ("12ms", False), ("-", False)]
)
def test_the_unit_of_a_whole_number_is_unknown(text: str, *, is_unknown: bool) -> None:
    assert (pl.select(unknown_unit(pl.lit(text))).item() is not None) == is_unknown


@pytest.mark.parametrize(
    ("role", "text", "path"),
    [
        (Role.TARGET, "/a?b", "/a"),
        (Role.TARGET, "?b", "?b"),
        (Role.TARGET, "", "-"),
        (Role.PATH, "/a?b", "/a?b"),
        (Role.REQUEST, "GET /a?b HTTP/1.1", "/a"),
    ],
)
def test_a_path_has_no_query_unless_it_is_part_of_its_name(role: Role, text: str, path: str) -> None:
    assert path_of(pl.Series([text]), role).to_list() == [path]


@pytest.mark.parametrize(
    ("text", "unit", "expected"), [("1728568536123", "ms", "1728568536.123"), ("12", "us", "12")]
)
def test_parts_of_a_second_since_1970_are_seconds(text: str, unit: str, expected: str) -> None:
    assert pl.select(epoch_seconds(pl.lit(text), unit)).item() == expected
