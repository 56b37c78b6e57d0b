"""Objects of https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats import open_format
from tailmetrics.formats.wrappers.journald import JOURNALD
from tailmetrics.formats.wrappers.wrapper import UNWRAPPED_SCHEMA
from tests.builders import format_options
from tests.formats.logs import unhurried

AT = "1423944916.375353"


def entry(message: object, **fields: object) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": "1423944916375353", "MESSAGE": message, **fields})


LINES = [
    (entry("a", _HOSTNAME="web1", PRIORITY="6", _PID="123"), "a", AT),
    (entry('é "b" \\'), 'é "b" \\', AT),
    (entry(list(b"\x1b[1mbold")), "\x1b[1mbold", AT),
    (entry(""), "", AT),
    ('{"MESSAGE":"a","__REALTIME_TIMESTAMP":"1","_CMDLINE":null,"UNIT":["a","b"]}', "a", "1"),
]
NULL = "as journalctl writes long ones, expected text (journalctl --all -o json)"
PROBLEMS = [
    (entry([255]), "line: found bytes that are not UTF-8 in MESSAGE, expected UTF-8"),
    (entry([256]), "line: found bytes that are not UTF-8 in MESSAGE, expected UTF-8"),
    (entry(None), f"line: found a MESSAGE of null, {NULL}"),
]
OTHERS = [
    "",
    "x",
    "{}",
    '{"MESSAGE":"a"}',
    '{"__REALTIME_TIMESTAMP":"1"}',
    entry(["a", "b"]),
    entry({}),
    '{"MESSAGE":"a","__REALTIME_TIMESTAMP":1}',
]


@pytest.mark.parametrize(("line", "inner", "time"), LINES)
def test_an_entry_of_the_journal_is_its_message(line: str, inner: str, time: str) -> None:
    assert JOURNALD.wraps(line)
    assert JOURNALD.unwrap(pl.Series([line])).rows() == [(inner, None, None, False, time)]


@pytest.mark.parametrize(("line", "problem"), PROBLEMS)
def test_a_message_that_is_no_text_is_a_reject_that_says_so(line: str, problem: str) -> None:
    assert JOURNALD.wraps(line)
    parsed = open_format(format_options("journald")).parse(f"{LINES[0][0]}\n{line}\n".encode(), 0)
    assert parsed.rejects.rows()[1:] == [(len(LINES[0][0]) + 1, problem, line)]


@pytest.mark.parametrize("line", OTHERS)
def test_another_line_is_none_of_the_journal(line: str) -> None:
    unwrapped = JOURNALD.unwrap(pl.Series([line, LINES[0][0]]))
    assert unwrapped["inner"].to_list() == [None, "a"]
    assert (unwrapped["problem"].null_count(), unwrapped.schema) == (2, UNWRAPPED_SCHEMA)
    assert not JOURNALD.wraps(line)


@unhurried
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), as_bytes=st.booleans())
def test_any_text_wrapped_and_unwrapped_is_itself(texts: list[str], as_bytes: bool) -> None:
    lines = [entry(list(text.encode()) if as_bytes else text) for text in texts]
    assert JOURNALD.unwrap(pl.Series(lines))["inner"].to_list() == texts
    assert all(map(JOURNALD.wraps, lines))
