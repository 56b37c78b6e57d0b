from __future__ import annotations

import pytest

from tailmetrics.formats.wrappers.carriers import how_to_leave_out, is_of_journal


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (" ", " (rsyslog: %msg:2:$% for %msg%)"),
        ("web_1 x | ", " (docker compose logs --no-log-prefix)"),
        ("[shop/web-1] ", " (kubectl logs without --prefix)"),
        ("2026-11-20T10:00:01.123000+00:00 web/1/ab ", " (aws logs tail --format short)"),
        ("web-5d8f nginx ", " (stern --output raw)"),
        ("2024-12-26 16:22:13,123 DEBG web stdout output: ", ""),
    ],
)
def test_what_leaves_out_the_words_is_told_by_what_they_are(words: str, remedy: str) -> None:
    assert how_to_leave_out(words) == remedy


@pytest.mark.parametrize(
    "lines",
    [
        ['\x1e{"MESSAGE":"a"}'],
        ['data: {"__CURSOR":"s=1"}'],
        ["{", '\t"__CURSOR" : "s=1",'],
        ["__CURSOR=s=1;i=2", "MESSAGE=a"],
        ["Fri 2026-11-20 11:00:01.123456 UTC [s=0a;i=1;b=2]"],
    ],
)
def test_lines_of_journalctl_in_another_way_than_json_are_known(lines: list[str]) -> None:
    assert is_of_journal(lines)


@pytest.mark.parametrize("lines", [[], ["hello"], ["{", "}"], ['{"__CURSOR":"s=1"}']])
def test_other_lines_are_none_of_journalctl(lines: list[str]) -> None:
    assert not is_of_journal(lines)
