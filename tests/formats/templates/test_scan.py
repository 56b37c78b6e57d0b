"""The look at the bytes finds the very fields that the regular expression of a template finds."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats.templates.scan import marks_of, scan

from ..logs import unhurried
from .access_logs import TEMPLATES, lines_of

GOOD = {
    "timed": '::1 - bob [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 612 "-" "curl" 0.5',
    "forwarded": '::1 ::2 - bob [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 612 "-" "curl"',
    "json": '{"time":"2024-10-10T13:55:36Z","who":"bob","url":"e.org/a?b","status":200,"took":0.5}',
    "bare": "10/Oct/2024:13:55:36 +0000|GET / HTTP/1.1|bob|200|curl",
    "strftime": "[2024-10-10 13:55:36.123] ::1 bob /a?b 200 12",
}


@pytest.mark.parametrize("name", TEMPLATES)
@unhurried
@given(data=st.data())
def test_clean_lines_have_the_fields_that_the_regular_expression_finds(
    name: str, data: st.DataObject
) -> None:
    template = TEMPLATES[name]
    whole = lines_of(template).filter(lambda line: not line.endswith("\r"))  # which is part of an end
    lines = data.draw(st.lists(whole, min_size=1, max_size=8))
    ends = data.draw(
        st.lists(st.sampled_from(["\n", "\n", "\r\n"]), min_size=len(lines), max_size=len(lines))
    )
    log = "".join(line + end for line, end in zip(lines, ends, strict=True)).encode()
    wanted = [field.name for field in template.fields]
    spans = scan(template, marks_of(log, 1), frozenset(wanted), 1 << 20)
    found = template.extract(pl.Series(lines, dtype=pl.String()).filter(pl.Series(spans.clean)), wanted)
    for field in wanted:
        begins, stops = spans.fields[field]
        texts = [spans.text[begin:end].decode() for begin, end in zip(begins, stops, strict=True)]
        assert texts == found[field].fill_null("").to_list()  # braces may be missing


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_right_lines_are_clean(name: str, end: str) -> None:
    log = f"{GOOD[name]}\r\n{GOOD[name]}\n{GOOD[name]}{end}".encode()
    assert scan(TEMPLATES[name], marks_of(log, 0), frozenset(), 1000).clean.tolist() == [True] * 3


@pytest.mark.parametrize("odd", ["\\", "\t", "\0", "\r", "\x7f", "\x80", '"'])
def test_a_line_with_an_odd_character_is_not_clean_and_its_neighbours_are(odd: str) -> None:
    line = GOOD["timed"]
    log = f"{line}\n{line.replace('curl', f'cu{odd}rl')}\n{line}\n".encode()
    assert scan(TEMPLATES["timed"], marks_of(log, 0), frozenset(), 1000).clean.tolist() == [True, False, True]


def test_a_line_that_is_too_long_or_not_utf8_is_not_clean() -> None:
    line = GOOD["timed"].encode()
    log = b"\n".join([line, line.replace(b"curl", b"\xff"), line.replace(b"curl", b"c" * 100)])
    assert scan(TEMPLATES["timed"], marks_of(log, 0), frozenset(), 100).clean.tolist() == [True, False, False]
