"""Templates from HAProxy's log-format."""

# ruff: noqa: E501  # a line of a log is as long as it is

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.errors import FormatError
from tailmetrics.formats import open_format
from tailmetrics.formats.templates.haproxy_variables import from_haproxy
from tests.builders import format_options

from ..logs import few_of_each
from .access_logs import HAPROXY

A_TIME = datetime.fromisoformat("2024-10-10 13:55:36")
LINE = '203.0.113.9:33317 [10/Oct/2024:13:55:36.000] http-in~ static/srv1 10/0/30/69/500 200 2750 - - ---- 1/1/1/1/0 0/0 {shop.example|curl} {} "GET /a?b HTTP/1.1"'
BARE = LINE.replace(" {shop.example|curl} {}", "")
CLF = r"%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl"
OF_CLF = '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 0 "" "" 4711 007 "in" "be" "srv" 0 0 0 0 500 ---- 1 1 1 1 0 0 0 "-" "-" '

_lines = st.builds(
    '{}:3317 [10/Oct/2024:13:55:36.{}] in {} 10/0/30/-1/{} {} 27 - - ---- 1/1/1/1/+0 0/0 {}"{}{}'.format,
    st.sampled_from(["203.0.113.9", "2001:db8::1", "::ffff:10.0.0.1", "-", "unix"]),
    st.sampled_from(["123", "000"]),
    st.sampled_from(["web/srv", "web/<NOSRV>"]),
    st.sampled_from(["0", "12", "+6002", "-1", "x"]),
    st.sampled_from(["200", "-1", "404", "2000"]),
    st.sampled_from(["", "{a|b} ", "{a|b c} {} ", "{} ", "{#22|客} {a} ", "{"]),
    st.sampled_from(["GET / HTTP/1.1", "GET /a?b#22 HTTP/2.0", "POST https://e.org/a HTTP/1.1", "GET /a\\ HTTP/1.1", "<BADREQ>", "GET /cut "]),
    st.sampled_from(['"', '"', '"', "", '" x']),
)  # fmt: skip


def record(text: str, line: str, **options: object) -> tuple[object, ...]:
    parsed = open_format(format_options(f"haproxy:{text}", **options)).parse(line.encode(), 0)
    assert parsed.rejects["reason"].to_list() == []
    return parsed.records.row(0)[:5]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HAPROXY, LINE),
        (HAPROXY, BARE),
        (HAPROXY, BARE.replace("/500 ", "/+500 ")),
        (f'log-format "{HAPROXY}"', LINE),
        (f"  log-format '{HAPROXY}'  # for the site", LINE),
        (f'"{HAPROXY}"', LINE),
        ("log-format " + HAPROXY.replace(" ", "\\ "), LINE),
        (HAPROXY.replace(" ", "\\ "), LINE),
        (f'log-format "{CLF}"', OF_CLF),
        (CLF, OF_CLF + '"shop.example" "curl/8.5" "nginx"'),
        ("%ci %Ts %HM %HU %HV %ST %Tt", "203.0.113.9 1728568536 GET /a?b HTTP/1.1 200 500"),
        ("%ci %Ts.%ms %HP%HQ %ST %Tu %Tt", "203.0.113.9 1728568536.000 /a?b 200 500 9000"),
        ("%ci %Ts%ms %HPO %ST %Ta", "203.0.113.9 1728568536000 /a 200 500"),
        ("%T %ci %HPO %ST %Ta", "10/Oct/2024:13:55:36 +0000 203.0.113.9 /a 200 500"),
        ("%t %tr %ci %HPO %ST %Ta", "10/Oct/2024:13:00:00.000 10/Oct/2024:13:55:36.000 203.0.113.9 /a 200 500"),
        ("%trl %ci %HPO %ST %Ta 100%%", "10/Oct/2024:15:55:36 +0200 203.0.113.9 /a 200 500 100%"),
        ("%(time)trg %(who:str){+Q}ci  %{+Q,+E}HU %(took:sint)[txn.timer.total] %[status]", '10/Oct/2024:13:55:36 +0000 "203.0.113.9" "/a?b" 500 200'),
        ("%[src] %trg %[pathq] %ST %Ta %[req.hdr(user-agent),lower] %[var(txn.x),regsub(\"[a-z]\",x)]", "203.0.113.9 10/Oct/2024:13:55:36 +0000 /a?b 200 500 curl/8.5 b"),
        ("%[req.hdr(X-Forwarded-For)] %ci %trg %HU %ST %Ta", "203.0.113.9, 10.0.0.1 10.0.0.2 10/Oct/2024:13:55:36 +0000 /a 200 500"),
    ],
)  # fmt: skip
def test_lines_of_a_log_format_are_records(text: str, line: str) -> None:
    assert record(text, line) == (A_TIME, "203.0.113.9", "/a", 200, 0.5)


@pytest.mark.parametrize(
    ("name", "customer"),
    [("host", "shop.example"), ("req.hdr(x-tenant)", "shop 7"), ("tenant", "a b"), ("hr", "c|d")],
)
def test_headers_can_tell_the_customer(name: str, customer: str) -> None:
    text = '%trg %HU %ST "%[req.hdr(Host)]" %{+Q}[req.hdr(x-tenant)] %(tenant){+Q}[capture.req.hdr(0)] %hr'
    line = '10/Oct/2024:13:55:36 +0000 /a -1 "shop.example:443" "shop 7" "a b" {c|d}'
    assert record(text, line, log_customer=name) == (A_TIME, customer, "/a", 0, None)


def test_times_without_a_zone_are_local() -> None:
    assert record(HAPROXY, LINE, log_timezone="Europe/Paris")[0] == A_TIME.replace(hour=11)


def test_an_address_of_ipv6_is_the_customer_without_the_port_behind_it() -> None:
    assert record(HAPROXY, LINE.replace("203.0.113.9", "2001:db8::1"))[1] == "2001:db8::1"


@few_of_each
@given(st.lists(_lines, min_size=1, max_size=10))
def test_the_default_format_reads_what_the_format_of_that_name_reads(lines: list[str]) -> None:
    log = "\n".join(lines).encode()
    named = open_format(format_options("haproxy")).parse(log, 0)
    read = open_format(format_options(f"haproxy:{HAPROXY}")).parse(log, 0)
    assert_frame_equal(read.records, named.records, check_exact=True)
    assert read.rejects["offset"].to_list() == named.rejects["offset"].to_list()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("%ci %trx", r"found %trx at column 5, expected %tr[a-z]?, or another one of .*%ST"),
        ("%ci % x", r"found % at column 5, expected one of "),
        ("%{+json}o %(a)ci", r"found \+json at column 1, expected lines of text; .* LOG_FORMAT=json"),
        ("%{+X}Ts", r"found %\{\+X\}Ts at column 1 in hexadecimals"),
        ("%ci %[req.hdr(a)", r"found the end of the format, expected \] for %\[ at column 5"),
        ("log-format %ci %tr", r"found '%tr' behind the format, expected it in quotes"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, error: str) -> None:
    with pytest.raises(FormatError, match=f"^log-format: {error}"):
        from_haproxy(text)
