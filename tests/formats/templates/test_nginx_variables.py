"""Templates from nginx's log_format."""

# ruff: noqa: E501  # a line of a log is as long as it is

from __future__ import annotations

from datetime import datetime

import pytest

from tailmetrics.errors import FormatError
from tailmetrics.formats.templates.format import template_format
from tailmetrics.formats.templates.nginx_variables import from_nginx
from tailmetrics.formats.templates.template import Kind, Role
from tests.builders import format_options

REQUEST = '[$time_local] "$request" $status'
A_TIME = datetime.fromisoformat("2024-10-10 13:55:36")


def record(log_format: str, line: str, **options: object) -> tuple[object, ...]:
    read = template_format(from_nginx(log_format), format_options("nginx", **options))
    parsed = read.parse(line.encode(), 0)
    assert parsed.rejects["reason"].to_list() == []
    return parsed.records.row(0)[:5]


@pytest.mark.parametrize(
    ("log_format", "line"),
    [
        (f"$remote_addr - $host {REQUEST} $request_time", '::1 - e.org [10/Oct/2024:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 0.5'),
        (f"log_format main '$remote_addr ' '{REQUEST} ${{request_time}}';", '::1 [10/Oct/2024:15:55:36 +0200] "GET /a HTTP/1.1" 200 0.5'),
        (f'log_format main escape=default "$remote_addr {REQUEST.replace(chr(34), chr(92) + chr(34))}" \' $request_time\';', '::1 [10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 0.5'),
        (f"{REQUEST} $upstream_response_time $request_time $remote_addr", '[10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 0.1, 0.2 : 0.3 0.5 ::1'),
        (f"{REQUEST} $upstream_response_time $remote_addr", '[10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 0.1, - : 0.4 ::1'),
        ("$time_iso8601|$remote_addr|$request_method|$uri$is_args$args|$status|$request_time", "2024-10-10T13:55:36+00:00|::1|GET|/a?b|200|0.5"),
        ("$msec $remote_addr $scheme://$host$request_uri $status $request_time", "1728568536.000 ::1 https://e.org/a?b 200 0.500"),
        ('escape=json {"t":"$time_iso8601","ip":"$remote_addr","u":"$request_uri","s":"$status","rt":"$request_time"}', '{"t":"2024-10-10T13:55:36Z","ip":"::1","u":"/a?b","s":"200","rt":"0.5"}'),
        (f"$http_x_forwarded_for $remote_addr {REQUEST} $request_time", '::1, 10.0.0.1 10.0.0.2 [10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 0.5'),
        (f"$http_x_forwarded_for $remote_addr {REQUEST} $request_time", '- ::1 [10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 0.5'),
    ],
)  # fmt: skip
def test_lines_of_a_log_format_are_records(log_format: str, line: str) -> None:
    assert record(log_format, line) == (A_TIME, "::1", "/a", 200, 0.5)


def test_any_variable_can_tell_the_customer() -> None:
    log_format, line = (
        f'{REQUEST} "$http_x_tenant"',
        '[10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 "shop 7"',
    )
    assert record(log_format, line, log_customer="http_x_tenant") == (A_TIME, "shop 7", "/a", 200, None)


def test_the_query_is_kept_on_demand() -> None:
    log_format, line = f"$remote_addr {REQUEST}", '::1 [10/Oct/2024:13:55:36 +0000] "GET /a?b=c HTTP/1.1" 200'
    assert record(log_format, line, log_keep_query=True)[2] == "/a?b=c"


def test_a_variable_in_quotes_may_have_spaces_and_quotes_and_any_other_ends_at_what_follows() -> None:
    kinds = {
        field.name: field.kind
        for field in from_nginx('$remote_addr "$request" [$time_local] $remote_user [').fields
    }
    assert kinds == {
        "remote_addr": Kind.WORD,
        "request": Kind.QUOTED,
        "time_local": Kind.TIME,
        "remote_user": Kind.TEXT,
    }


def test_the_time_of_the_request_counts_before_that_of_the_servers_behind() -> None:
    fields = from_nginx("$upstream_response_time $request_time").find(Role.DURATION)
    assert [field.name for field in fields] == ["request_time"]


def test_an_unknown_variable_is_named_with_its_place_and_those_there_are() -> None:
    with pytest.raises(
        FormatError, match=r"^log_format: found \$nonsense at column 14, expected one of .*\$status"
    ):
        from_nginx("$remote_addr $nonsense")


def test_of_variables_that_are_alike_the_nearest_is_told_first() -> None:
    with pytest.raises(
        FormatError, match=r"\$time_locl at column 2, expected \$time_local, or another one of"
    ):
        from_nginx("[$time_locl]")


def test_a_tab_may_be_written_as_nginx_has_it() -> None:
    assert from_nginx(r"$remote_addr\t$status").parts == from_nginx("$remote_addr\t$status").parts


@pytest.mark.parametrize(
    "forwarded", ["198.51.100.1", "198.51.100.1, 10.0.0.2", "198.51.100.1:80", "198.51.100.1:80, 10.0.0.2:80"]
)
@pytest.mark.parametrize("quotes", ['"', ""])
def test_of_forwarded_addresses_that_tell_the_customer_the_first_counts(forwarded: str, quotes: str) -> None:
    options = format_options("nginx", log_customer=("http_x_forwarded_for", "address"))
    read = template_format(
        from_nginx(f"$remote_addr [$time_local] $uri $status {quotes}$http_x_forwarded_for{quotes}"), options
    )
    line = f"10.0.0.9 [10/Oct/2024:13:55:36 +0000] /a 200 {quotes}{forwarded}{quotes}"
    assert read.parse(line.encode(), 0).records["customer_id"].to_list() == ["198.51.100.1"]


def test_the_client_may_be_told_by_a_header_of_its_own() -> None:
    read = template_format(
        from_nginx("$http_x_real_ip $remote_addr [$time_local] $uri $status"), format_options("nginx")
    )
    lines = [f"{who} 10.0.0.9 [10/Oct/2024:13:55:36 +0000] /a 200" for who in ("198.51.100.1", "-")]
    parsed = read.parse("\n".join(lines).encode(), 0)
    assert parsed.records["customer_id"].to_list() == ["198.51.100.1", "10.0.0.9"]


def test_two_variables_with_nothing_between_them_are_refused() -> None:
    with pytest.raises(FormatError, match=r"^found remote_addr and status with nothing between them"):
        from_nginx("$remote_addr$status")


def test_a_format_that_lacks_what_every_record_has_is_refused() -> None:
    with pytest.raises(FormatError, match=r"^found a log format without time and status, expected"):
        template_format(from_nginx("$remote_addr $request_uri"), format_options("nginx"))
