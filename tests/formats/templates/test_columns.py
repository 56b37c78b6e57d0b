"""The rules for what the fields of a template are."""

from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.templates.columns import epoch_seconds, target_of
from tailmetrics.formats.templates.template import Role


@pytest.mark.parametrize(
    ("role", "text", "path"),
    [
        (Role.TARGET, "/a?b", "/a?b"),
        (Role.TARGET, "?b", "?b"),
        (Role.TARGET, "", "-"),
        (Role.PATH, "/a?b", "/a?b"),
        (Role.REQUEST, "GET /a?b HTTP/1.1", "/a?b"),
    ],
)
def test_a_target_is_as_it_is_logged_with_its_query(role: Role, text: str, path: str) -> None:
    assert target_of(pl.Series([text]), role).to_list() == [path]


@pytest.mark.parametrize(
    ("text", "unit", "expected"), [("1728568536123", "ms", "1728568536.123"), ("12", "us", "12")]
)
def test_parts_of_a_second_since_1970_are_seconds(text: str, unit: str, expected: str) -> None:
    assert pl.select(epoch_seconds(pl.lit(text), unit)).item() == expected
