"""Paths are matched by globs to the letter and in their case, whatever a database takes for special."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from tailmetrics.stats import BreakdownQuery, RequestFilter
from tailmetrics.stores import Store
from tests.builders import Record, batch_of, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import NOON

PATHS = [
    "/a",
    "/A",
    "/a_b",
    "/axb",
    "/a%b",
    "/a\\b",
    "/a\nb",
    "/a[b]",
    "/a?b",
    "/\u00e4",
    "/\u00c4",
    "/a'b",
    "",
]
GLOBS = [
    "/a",
    "/a_*",
    "/a%*",
    "*\\*",
    "/a[*",
    "*[b]",
    "/a?*",
    "/\u00e4*",
    "/A*",
    "*\n*",
    "/a*b",
    "*'*",
    "*",
    "",
]


@pytest.mark.servers
def test_globs_select_what_they_spell(store: Store, ask: Ask[Any]) -> None:
    rows: list[Record] = [
        (NOON + timedelta(seconds=place), "a", path, 200, None) for place, path in enumerate(PATHS)
    ]
    store.write([batch_of(store.register(source_of()), rows)])
    for glob in GLOBS:
        pattern = re.compile(".*".join(map(re.escape, glob.split("*"))), re.DOTALL)
        matching = {path for path in PATHS if pattern.fullmatch(path)}
        for only, expected in (
            (RequestFilter(paths=(glob,)), matching),
            (RequestFilter(other_paths=(glob, "no such path")), set(PATHS) - matching),
        ):
            found = ask(store.breakdown(BreakdownQuery("a", top=100, only=only)))
            assert {each.path for each in found.paths} == expected, only
