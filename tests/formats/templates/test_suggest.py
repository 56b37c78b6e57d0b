"""The format strings that are suggested: each reads the line that it is suggested for."""

from __future__ import annotations

import pytest

from tailmetrics.errors import UndecidedFormat
from tailmetrics.formats import open_format
from tailmetrics.formats.detection import decided
from tailmetrics.formats.templates.suggest import suggested_template
from tests.builders import format_options

BEGINNING = '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /a?b=1 HTTP/1.1" 200 612'
COMBINED = f'{BEGINNING} "-" "curl/8.5"'
ISO = "2024-10-10T13:55:36+00:00"
BARE_ISO = COMBINED.replace("[10/Oct/2024:13:55:36 +0000]", ISO)
ISO_FIRST = f"{ISO} {COMBINED.replace('[10/Oct/2024:13:55:36 +0000] ', '')}"


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (BARE_ISO, None),
        (f"{BARE_ISO} 0.123", 0.123),
        (ISO_FIRST, None),
        (COMBINED.replace(" 612 ", " 612 0.123 "), 0.123),
        (ISO_FIRST.replace(ISO, "2024-10-10 13:55:36") + " 0.123", 0.123),
        (ISO_FIRST.replace(ISO, "2024/10/10 13:55:36"), None),
        (BARE_ISO.replace(ISO, "[2024-10-10 13:55:36]").replace("- - [", "["), None),
        (COMBINED.replace(" 612 ", " 612 0.120 0.123 "), 0.123),
        (
            COMBINED.replace("] ", "] shop.example:9080 ") + ' 10.0.0.1:80 200 0.120 "http://shop.example"',
            0.12,
        ),
        (f"{ISO_FIRST.replace('- - ', '- ')} 0.123", 0.123),
        (f"{COMBINED} 3.98", None),
        (f"10.0.0.5 {COMBINED}", None),
        (COMBINED.replace(" - - [", " - HIT [").replace('"GET', 'shop.example "GET'), None),
        (COMBINED.replace(" - - [", " 0.118 MISS [").replace('"GET', 'shop.example "GET'), 0.118),
        ('203.0.113.9 -  10/Oct/2024:13:55:36 +0000 "GET /a" 200', None),
        (
            (
                '[10/Oct/2024:13:55:36 +0000] - 200 200 - GET https shop.example "/a?b=1" '
                '[Client 203.0.113.9] [Length 612] [Gzip 2.10] [Sent-to 10.0.0.1] "curl/8.5" "-"'
            ),
            None,
        ),
        (f"{COMBINED} **0/15234**", 0.015234),
        (f"{COMBINED} 1/1215234", 1.215234),
        (f"{COMBINED} 0 15234", 0.015234),
        (f"{COMBINED} 0.000123 15234", 0.015234),
        (
            f'{BEGINNING} "" "" 33317 123 "http-in" "static" "srv1" 10 0 30 69 109 ---- 1 1 1 1 0 0 0 "" ""',
            None,
        ),
        (f"1728568536.123 {BEGINNING.replace('[10/Oct/2024:13:55:36 +0000] ', '')} 0.123", 0.123),
    ],
)
def test_a_line_is_read_by_the_format_that_is_suggested_for_it(line: str, seconds: float | None) -> None:
    with pytest.raises(UndecidedFormat, match="LOG_FORMAT='") as raised:
        decided(line.encode(), format_options("auto"), is_whole=True)
    name = str(raised.value).partition("LOG_FORMAT='")[2].partition("'")[0]
    parsed = open_format(format_options(name)).parse(line.encode(), 0)
    assert parsed.rejects["reason"].to_list() == []
    [(time, *fields)] = parsed.records.drop("offset").rows()
    assert time.isoformat(" ", "seconds") == "2024-10-10 13:55:36"
    assert fields == ["203.0.113.9", "/a", 200, seconds]


@pytest.mark.parametrize(
    "line",
    ["GET /a 200 1.234 ms - 12", "an error occurred", f"a.log:{COMBINED}", BEGINNING.partition("] ")[0]],
)
def test_nothing_is_suggested_for_what_tells_no_request(line: str) -> None:
    assert suggested_template(line) == ""


def test_the_time_is_asked_for_where_it_is_not_plain_which_word_it_is() -> None:
    assert suggested_template(f"{COMBINED} **15234**").endswith(
        "$request_time in place of what is its time in seconds, if it is logged"
    )


@pytest.mark.parametrize("user", ["bob", "bob.smith"])
def test_the_user_is_the_customer_of_a_format_that_is_suggested(user: str) -> None:
    for line in (BARE_ISO, ISO_FIRST, f"2024/10/10 13:55:36 {COMBINED}"):
        line_of_user = line.replace("- -", f"- {user}", 1)
        name = suggested_template(line_of_user).partition("'")[2].rpartition("'")[0]
        parsed = open_format(format_options(name)).parse(line_of_user.encode(), 0)
        assert parsed.records["customer_id"].to_list() == [user]


def test_addresses_that_were_forwarded_tell_the_client_of_a_format_that_is_suggested() -> None:
    line = f'"198.51.100.7, 10.0.0.1" {BARE_ISO}'
    name = suggested_template(line).partition("'")[2].rpartition("'")[0]
    parsed = open_format(format_options(name)).parse(line.encode(), 0)
    assert parsed.records["customer_id"].to_list() == ["198.51.100.7"]


def test_of_a_line_that_is_wrapped_the_wrapper_is_named_before_the_format_string() -> None:
    line = f"2024-10-10T13:55:36.123456789Z stdout F {COMBINED} **0/15234**".encode()
    with pytest.raises(UndecidedFormat, match="LOG_FORMAT='cri:apache:") as raised:
        decided(line, format_options("auto"), is_whole=True)
    name = str(raised.value).partition("LOG_FORMAT='")[2].partition("'")[0]
    parsed = open_format(format_options(name)).parse(line, 0)
    assert parsed.records["duration"].to_list() == [0.015234]
