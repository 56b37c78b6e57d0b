"""What a template means: one regular expression, and where a line differs from it."""

# ruff: noqa: E501  # a line of a log is as long as it is

from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.templates.nginx_variables import from_nginx

TEMPLATE = from_nginx('$remote_addr - $remote_user [$time_local] "$request" $status')
LINE = r'::1 - bob smith [10/Oct/2024:13:55:36 +0000] "GET /\"a\" HTTP/1.1" 200'


def test_the_wanted_fields_are_told_by_name_and_are_null_where_a_line_does_not_fit() -> None:
    found = TEMPLATE.extract(pl.Series([LINE, "garbage"]), ["status", "remote_user", "request"])
    assert found.rows() == [("200", "bob smith", r"GET /\"a\" HTTP/1.1"), (None, None, None)]
    assert found.columns == ["status", "remote_user", "request"]


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ("garbage", "line: found the end of the line, expected ' - ' after remote_addr"),
        ("::1 - bob GET /", "line: found 'bob GET /', expected ' [' after remote_user"),
        (LINE.replace("] ", " "), "line: found the end of the line, expected '] \"' after time_local"),
        (LINE.replace('" 200', "200"), "line: found the end of the line, expected '\" ' after request"),
        (LINE.replace('] "', "] "), "line: found '] GET /\\\"a\\\" HTTP/1.1\" 200', expected '] \"' after time_local"),
        (LINE + " 0.5", "line: found ' 0.5', expected the end of the line"),
        (LINE + " " + "x" * 99, f"line: found ' {'x' * 39}…', expected the end of the line"),
    ],
)  # fmt: skip
def test_a_line_that_does_not_fit_is_told_where_it_first_differs(line: str, failure: str) -> None:
    assert TEMPLATE.fits(LINE)
    assert not TEMPLATE.fits(line)
    assert TEMPLATE.failure(line) == failure
