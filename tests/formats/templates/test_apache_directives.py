"""Templates from Apache's LogFormat."""

# ruff: noqa: E501  # a line of a log is as long as it is

from __future__ import annotations

from datetime import datetime

import pytest

from tailmetrics.errors import FormatError
from tailmetrics.formats.templates.apache_directives import from_apache
from tailmetrics.formats.templates.format import template_format
from tests.builders import format_options

A_TIME = datetime.fromisoformat("2024-10-10 13:55:36")
TIME = "[10/Oct/2024:13:55:36 +0000]"


def record(log_format: str, line: str, *customer: str) -> tuple[object, ...]:
    read = template_format(from_apache(log_format), format_options("apache", log_customer=customer))
    parsed = read.parse(line.encode(), 0)
    assert parsed.rejects["reason"].to_list() == []
    return parsed.records.row(0)[:5]


@pytest.mark.parametrize(
    ("log_format", "line"),
    [
        ('%h %l %u %t "%r" %>s %b "%{Referer}i" %D', f'::1 - - {TIME} "GET /a?b HTTP/1.1" 200 12 "-" 500000'),
        (r'LogFormat "%h %l %u %t \"%r\" %>s %b %{us}T" timed', f'::1 - - {TIME} "GET /a HTTP/1.1" 200 - 500000'),
        ("%a %t %U%q %<s %{ms}T", f"::1 {TIME} /a?b 200 500"),
        ("%{c}a %{remote}p %t %m %U %q %H %>s %T %{us}T", f"::1 5 {TIME} GET /a ?b HTTP/1.1 200 0 500000"),
        ("%v:%p %h %l %u %t %U %!200,304{Via}i %>s %I %O %X %L %k %P %{ms}T", f"e.org:443 ::1 - - {TIME} /a - 200 5 6 + - 1 77 500"),
        ("[%{%Y-%m-%d %H:%M:%S}t.%{msec_frac}t] %h %U %s %{ms}T", "[2024-10-10 13:55:36.000] ::1 /a 200 500"),
        ("%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t %h %U %s %{ms}T", "10/Oct/2024:15:55:36.000 +0200 ::1 /a 200 500"),
        ("%{sec}t.%{usec_frac}t %h %U %s %{ms}T", "1728568536.000000 ::1 /a 200 500"),
        ("%{msec}t %h %U %s %{ms}T", "1728568536000 ::1 /a 200 500"),
        ("%{begin:usec}t %h %U %s %{ms}T", "1728568536000000 ::1 /a 200 500"),
        ("100%% %h %t %U %s %{ms}T", f"100% ::1 {TIME} /a 200 500"),
    ],
)  # fmt: skip
def test_lines_of_a_log_format_are_records(log_format: str, line: str) -> None:
    assert record(log_format, line) == (A_TIME, "::1", "/a", 200, 0.5)


def test_a_header_can_tell_the_customer() -> None:
    log_format, line = '%h %t %U %s "%{X-Tenant}i"', f'::1 {TIME} /a 200 "shop 7"'
    assert record(log_format, line, "{X-Tenant}i", "address") == (A_TIME, "shop 7", "/a", 200, None)
    assert record(log_format, line.replace("shop 7", "-"), "{X-Tenant}i", "address")[1] == "::1"


@pytest.mark.parametrize(
    ("log_format", "directive"), [("%h %y", "%y"), ("%h %{h}T", r"%\{h\}T"), ("%h %", "%")]
)
def test_an_unknown_directive_is_named_with_its_place_and_those_there_are(
    log_format: str, directive: str
) -> None:
    with pytest.raises(
        FormatError, match=f"^LogFormat: found {directive} at column 4, expected one of .*%>?s"
    ):
        from_apache(log_format)


def test_a_time_that_tells_no_day_is_refused() -> None:
    with pytest.raises(FormatError, match="strftime format that tells year, month and day"):
        template_format(from_apache("%{%H:%M}t %h %U %s"), format_options("apache"))


@pytest.mark.parametrize(
    ("who", "customer"),
    [
        ("198.51.100.1 10.0.0.9 -", "198.51.100.1"),
        ("198.51.100.1, 10.0.0.2 10.0.0.9 -", "198.51.100.1"),
        ("198.51.100.1,10.0.0.2 10.0.0.9 -", "198.51.100.1"),
        ("- 10.0.0.9 -", "10.0.0.9"),
    ],
)
def test_forwarded_addresses_before_the_address_tell_the_client(who: str, customer: str) -> None:
    log_format = '%{X-Forwarded-For}i %h %l %u %t "%r" %>s %b'
    assert record(log_format, f'{who} - {TIME} "GET /a?b HTTP/1.1" 200 12')[1] == customer


@pytest.mark.parametrize("who", ["a b - -", '"198.51.100.1, 10.0.0.2" 10.0.0.9 - -'])
def test_words_too_many_are_no_customer(who: str) -> None:
    read = template_format(from_apache('%h %l %u %t "%r" %>s %b'), format_options("apache"))
    parsed = read.parse(f'{who} {TIME} "GET /a?b HTTP/1.1" 200 12'.encode(), 0)
    assert parsed.rejects["reason"].to_list()[0].startswith("line: found ")


@pytest.mark.parametrize("behind", ["", " timed"])
def test_the_quoted_text_of_a_directive_will_do(behind: str) -> None:
    log_format = rf'"%h %l %u %t \"%r\" %>s %b %D"{behind}'
    assert record(log_format, f'::1 - - {TIME} "GET /a?b HTTP/1.1" 200 12 500000')[4] == 0.5
