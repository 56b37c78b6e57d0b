"""Globs, one text at a time and a column at a time."""

from __future__ import annotations

import re

import polars as pl
import pytest

from tailmetrics.stores.filtering import is_one_of, matches, regex_of

GLOBS = ["", "a", "*", "a*", "*a", "a*a", "*a*", "a*b*c", "**", "a.c", "ab*bc", "*\n"]
TEXTS = ["", "a", "aa", "ab", "abc", "abbc", "aXbYc", "ba", "a.c", "a\n", "\n"]


@pytest.mark.parametrize("glob", GLOBS)
def test_a_glob_matches_the_same_texts_in_each_way(glob: str) -> None:
    expected = [re.fullmatch(regex_of((glob,)), text) is not None for text in TEXTS]

    assert [matches((glob,), text) for text in TEXTS] == expected
    assert pl.select(is_one_of(pl.lit(pl.Series(TEXTS)), (glob,))).to_series().to_list() == expected


def test_thousands_of_names_are_matched_beside_globs() -> None:
    globs = (*(f"customer-number-{number:020}" for number in range(20_000)), "shop-*")
    found = is_one_of(pl.lit(pl.Series([globs[-2], "shop-1", "other", None])), globs)

    assert pl.select(found).to_series().to_list() == [True, True, False, None]


def test_a_glob_of_many_stars_is_matched_at_once() -> None:
    assert not matches((100 * "*a" + "*b",), 256 * "a")
