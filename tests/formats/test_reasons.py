"""The sentence that says why a line is a reject."""

from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.reasons import found_instead


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("x", "'x'"),
        (None, "nothing"),
        ("a\tb\0c\x85", "'a\\tb\\x00c\\x85'"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 80}…'"),
    ],
)
def test_a_reason_names_the_field_what_was_found_and_what_was_expected(found: str | None, shown: str) -> None:
    sentence = pl.select(found_instead("path", pl.lit(found, pl.String()), "a path")).item()
    assert sentence == f"path: found {shown}, expected a path"
