"""Templates from Envoy's format strings."""

# ruff: noqa: E501  # a line of a log is as long as it is

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.errors import FormatError
from tailmetrics.formats import open_format
from tailmetrics.formats.templates.envoy_operators import from_envoy
from tailmetrics.formats.templates.template import Kind
from tests.builders import format_options

from ..logs import few_of_each
from .access_logs import ENVOY, ISTIO

A_TIME = datetime.fromisoformat("2024-10-10 13:55:36")
REQUEST = '"%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%" %RESPONSE_CODE%'
LINE = '[2024-10-10T13:55:36.000Z] "GET /a?b HTTP/2" 200 - 0 612 500 11 "203.0.113.9" "curl/8.5" "cc21" "shop.example:8443" "10.0.2.1:80"'


def lines_of(details: st.SearchStrategy[str], trailer: str) -> st.SearchStrategy[str]:
    """Lines of Envoy's default format string with what Istio's has more."""
    return st.builds(
        '[2024-10-10T13:55:36.123Z] "{} /{} HTTP/1.1" {} {}{} 612 {} {} "{}" "{}" "cc21" "{}" "10.0.2.1:80"{}'.format,
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["", "a?b=c", 'a"b', "a%20b", "客", "a?b c", "a\\b", '" 200 - 0']),
        st.sampled_from(["200", "0", "503", "-", "9999"]),
        st.sampled_from(["-", "UF,URX"]),
        details,
        st.sampled_from(["0", "12", "-", "60000"]),
        st.sampled_from(["11", "-"]),
        st.sampled_from(["203.0.113.9", "203.0.113.9,10.0.0.1", "203.0.113.9, 10.0.0.1", "2001:db8::1", "-"]),
        st.sampled_from(["curl/8.5", "-", 'a "quoted" agent', 'a" "b', 'x" "cc21" "evil.example', "é 客", "a\\", '\\"', "?"]),
        st.sampled_from(["shop.example", "shop.example:8443", "[2001:db8::1]:80", "10.0.0.1:80", "[::1]"]),
        st.just(trailer),
    )  # fmt: skip


OF_ENVOY = lines_of(st.just(" 0"), "")
OF_ISTIO = lines_of(
    st.sampled_from([' via_upstream - "-" 0', ' - - "TLS error: 1" 0']),
    " outbound|80||a.svc 10.0.0.1:4 10.0.0.2:80 10.0.0.3:5 - default",
)


def record(text: str, line: str, **options: object) -> tuple[object, ...]:
    parsed = open_format(format_options(f"envoy:{text}", **options)).parse(line.encode(), 0)
    assert parsed.rejects["reason"].to_list() == []
    return parsed.records.row(0)[:5]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ENVOY, LINE),
        (f"{ENVOY}\\n", LINE),
        (f"{ENVOY}\n", LINE),
        ('"' + ENVOY.replace('"', '\\"') + '\\n"', LINE),
        (ENVOY.replace('"', '\\"'), LINE),
        (f"%START_TIME(%s)% %REQ(HOST)% {REQUEST} %DURATION%", '1728568536 shop.example "GET /a HTTP/1.1" 200 500'),
        (f"%START_TIME(%s.%3f)% %REQ(:AUTHORITY):20% {REQUEST} %DURATION%", '1728568536.000 shop.example "GET /a HTTP/1.1" 200 500'),
        (f"%START_TIME(%s%3f)% %REQ(:AUTHORITY)% {REQUEST} %DURATION%", '1728568536000 shop.example "GET /a HTTP/1.1" 200 500'),
        (f"%START_TIME(%s%f)% %REQ(:AUTHORITY)% {REQUEST} %DURATION%", '1728568536000000000 shop.example "GET /a HTTP/1.1" 200 500'),
        (f"%START_TIME(%Y/%m/%d %H:%M:%S.%1f)% %REQ(:AUTHORITY)% {REQUEST} %DURATION%", '2024/10/10 13:55:36.0 shop.example "GET /a HTTP/1.1" 200 500'),
        (f"%START_TIME(%Y-%m-%dT%H:%M:%S%z)% %REQ(:AUTHORITY)% {REQUEST} %DURATION%", '2024-10-10T15:55:36+0200 shop.example "GET /a HTTP/1.1" 200 500'),
        (f"%EMIT_TIME% [%START_TIME%] %REQ(:AUTHORITY)% {REQUEST} %DURATION%", '2024-10-10T14:00:00.000Z [2024-10-10T13:55:36.000Z] shop.example "GET /a HTTP/1.1" 200 500'),
        (f"100%% %START_TIME% %REQ(:AUTHORITY)% {REQUEST} %COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)% %DURATION%", '100% 2024-10-10T13:55:36.000Z shop.example "GET /a HTTP/1.1" 200 500000 1'),
        ("%START_TIME% %REQUESTED_SERVER_NAME(SNI_FIRST:HOST)% %PATH(NQ)% %RESPONSE_CODE% %CEL(request.url_path.contains('v1'))% %DURATION%", "2024-10-10T13:55:36.000Z shop.example /a 200 true 500"),
        ("%START_TIME% %REQ(x-envoy-original-host?:authority)% %PATH% %RESPONSE_CODE% %TRACE_ID% %STREAM_ID% %DYNAMIC_METADATA(a:b)% %DURATION%", "2024-10-10T13:55:36.000Z shop.example:80 /a?b 200 1 2 3 500"),
    ],
)  # fmt: skip
def test_lines_of_a_format_string_are_records(text: str, line: str) -> None:
    assert record(text, line) == (A_TIME, "shop.example", "/a", 200, 0.5)


@pytest.mark.parametrize(
    ("operator", "address"),
    [
        ("DOWNSTREAM_REMOTE_ADDRESS", "203.0.113.9:51206"),
        ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "203.0.113.9"),
        ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "203.0.113.9:51206"),
        ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "203.0.113.9"),
        ("REQ(X-FORWARDED-FOR)", "203.0.113.9, 10.0.0.1"),
    ],
)
@pytest.mark.parametrize("times", [1, 100])
def test_the_address_tells_the_customer_where_no_host_is_logged(
    operator: str, address: str, times: int
) -> None:
    text = f"%START_TIME% %{operator}% {REQUEST}"
    line = f'2024-10-10T13:55:36.000Z {address} "GET /a HTTP/1.1" 200\n'
    parsed = open_format(format_options(f"envoy:{text}")).parse(line.encode() * times, 0)
    assert parsed.records["customer_id"].to_list() == ["203.0.113.9"] * times


def test_any_header_can_tell_the_customer() -> None:
    text, line = (
        f'%START_TIME% {REQUEST} "%REQ(X-TENANT):9%"',
        '2024-10-10T13:55:36Z "GET /a HTTP/2" 0 "shop 7"',
    )
    assert record(text, line, log_customer="REQ(X-TENANT)") == (A_TIME, "shop 7", "/a", 0, None)


def test_an_agent_with_quotes_cannot_pass_for_the_host_behind_it() -> None:
    line = LINE.replace("curl/8.5", 'curl" "1" "evil.example')
    assert record(ENVOY, line)[1] == "shop.example"


@pytest.mark.parametrize(("operator", "hour"), [("START_TIME", 13), ("START_TIME_LOCAL", 11)])
def test_times_are_utc_unless_they_are_those_of_the_machine(operator: str, hour: int) -> None:
    text = f"%{operator}(%Y-%m-%d %H:%M:%S)% %REQ(:AUTHORITY)% {REQUEST}"
    line = '2024-10-10 13:55:36 shop.example "GET /a HTTP/2" 200'
    assert record(text, line, log_timezone="Europe/Berlin")[0] == A_TIME.replace(hour=hour)


@pytest.mark.parametrize("times", [1, 100])
def test_a_tcp_connection_is_no_request(times: int) -> None:
    line = f"{LINE.replace('GET /a?b HTTP/2', '- - -')}\n".encode() * times
    parsed = open_format(format_options(f"envoy:{ENVOY}")).parse(line, 0)
    assert parsed.records.height == 0
    assert "expected an HTTP request, not a TCP connection" in parsed.rejects["reason"][0]


@pytest.mark.parametrize(("text", "lines"), [(ENVOY, OF_ENVOY), (ISTIO, OF_ISTIO)], ids=["envoy", "istio"])
@few_of_each
@given(data=st.data())
def test_the_default_strings_read_what_the_format_of_that_name_reads(
    text: str, lines: st.SearchStrategy[str], data: st.DataObject
) -> None:
    log = "\n".join(data.draw(st.lists(lines, min_size=1, max_size=10))).encode()
    named = open_format(format_options("envoy")).parse(log, 0)
    read = open_format(format_options(f"envoy:{text}")).parse(log, 0)
    assert_frame_equal(read.records, named.records, check_exact=True)
    assert read.rejects["offset"].to_list() == named.rejects["offset"].to_list()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "%DURATON%",
            r"found %DURATON% at column 1, expected %DURATION%, or another one of .*%RESPONSE_CODE%",
        ),
        ("a %DURATION", r"found %DURATION at column 3, expected %DURATION%"),
        ("a %REQ%", r"found %REQ% at column 3"),
        ("%START_TIME(%H%4f)%", r"found %4f in %START_TIME\(%H%4f\)% at column 1, expected %3f, %6f, %9f"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, error: str) -> None:
    with pytest.raises(FormatError, match=f"^access log format: {error}"):
        from_envoy(text)


def test_only_what_clients_write_freely_and_objects_may_have_quotes() -> None:
    fields = from_envoy(f"{ISTIO} %REQ(REFERER)% %REQ(COOKIE)% %DYNAMIC_METADATA(a)%").fields
    assert [field.name for field in fields if field.kind is Kind.TEXT] == [
        "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)",
        "REQ(USER-AGENT)",
        "REQ(REFERER)",
        "DYNAMIC_METADATA(a)",
    ]
