"""Strategies for lines of access logs by a template: right ones, hostile fields, and damaged ones."""

from __future__ import annotations

from hypothesis import strategies as st

from tailmetrics.formats.templates.apache_directives import from_apache
from tailmetrics.formats.templates.nginx_variables import from_nginx
from tailmetrics.formats.templates.template import Field, Kind, Literal, Template

COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent"'
)
TEMPLATES = {
    "timed": from_nginx(f"{COMBINED} $request_time"),
    "upstream": from_nginx(f'{COMBINED} "$http_x_forwarded_for" $request_time $upstream_response_time'),
    "named": from_nginx(
        f'{COMBINED} rt=$request_time uct="$upstream_connect_time" urt="$upstream_response_time"'
    ),
    "forwarded": from_nginx(f"$http_x_forwarded_for {COMBINED}"),
    "vhost": from_apache('%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"'),
    "json": from_nginx(
        'escape=json {"time":"$time_iso8601","who":"$remote_user","url":"$host$request_uri",'
        '"status":$status,"took":$request_time}'
    ),
    "tabs": from_nginx("$msec\t$remote_addr\t$request_method\t$request_uri\t$status\t$request_time"),
    "bare": from_nginx("escape=none $time_local|$request|$remote_user|$status|$http_user_agent"),
    "common": from_apache('%h %l %u %t "%r" %>s %b'),
    "micros": from_apache('%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i" %D'),
    "strftime": from_apache("[%{%Y-%m-%d %H:%M:%S}t.%{msec_frac}t] %h %u %U%q %s %{ms}T"),
}

_odd = st.sampled_from(
    [
        "",
        "-",
        " ",
        '"',
        '\\"',
        "\\",
        "\\\\",
        "[",
        "]",
        "?",
        ",",
        ", ",
        " : ",
        "\0",
        "\r",
        "\x7f",
        "\x80",
        "é",
        "客",
        "a b",
        'a"b',
        'a\\"b',
        "x" * 1100,
        "a?b",
        "\t",
        "|",
        "{",
        "}",
        ":",
        "/",
        "\x1b",
        "\\x22",
        "\\n",
        '" "',
        '" 200 ',
    ]
)
_of_role = {
    "timestamp": [
        "10/Oct/2024:13:55:36 +0000",
        "29/Feb/2023:13:55:36 +0000",
        "31/Dec/9999:23:59:59 -0100",
        "10/oct/2024:13:55:36 +0000",
        "10/Oct/2024:24:55:36 +0000",
        "10/Oct/2024:13:55:60 +0000",
        "2024-10-10T13:55:36+00:00",
        "2024-10-10 13:55:36.123",
        "1728568536.123",
        "01/Jan/0001:00:00:00 +0001",
    ],
    "address": ["203.0.113.9", "::1", "-", "unix:", "10.0.0.1, 10.0.0.2", "10.0.0.1,"],
    "host": ["shop.example", "[2001:db8::2]", "[::1", "-", "", "a[", "2001:db8::2"],
    "user": ["-", "bob", "bob smith", "- bob", "[x", "客", "u" * 257],
    "request": [
        "GET / HTTP/1.1",
        "GET /a?b=c HTTP/2.0",
        "GET  /a  HTTP/1.1",
        "GET http://e.org/a?b=c HTTP/1.1",
        "GET https://e.org:80/a HTTP/1.1",
        "GET http://e.org HTTP/1.1",
        "GET http://e.org?b=/c HTTP/1.1",
        "GET ws://e.org/a HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET a:b/c HTTP/1.1",
        "CONNECT e.org:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET /a b?c HTTP/1.1",
        "User User",
        "GET ?x HTTP/1.1",
        "G HTTP/1.1",
        " / HTTP/1.1",
        "GET /a HTTP/1.1 HTTP/1.1",
        "GET /a?b c HTTP/1.1",
        "",
        "-",
        "GET / HTTP/11",
        "GET /aHTTP/1.1",
        "GET /a?b=c",
        "GET / HTTP/1.1\\n",
        "\\x16\\x03 a?b",
    ],
    "target": ["/", "/a?b=c", "?x", "-", "/a b", "http://e.org/x?y", "https://e.org", "e.org/a"],
    "status_code": ["200", "599", "099", "600", "20", "2000", "-", "000", "2x0"],
    "duration": [
        "0.123",
        "12",
        "0",
        "1.",
        ".5",
        "-",
        "1e3",
        "123456.789",
        "99999999",
        "12ms",
        "0.1, 0.2",
        "0.1 : 0.2",
    ],
}


@st.composite
def field_texts(draw: st.DrawFn, field: Field) -> str:
    role = field.role.value if field.role else ""
    likely = st.sampled_from(_of_role.get(role, ["-", "a", "612"]))
    good = st.just(_of_role.get(role, ["-"])[0])
    if role == "timestamp" and field.kind is not Kind.TIME:
        good = st.sampled_from(_of_role[role][-4:-1])
    return draw(st.one_of(good, good, good, likely, likely, _odd, st.text(max_size=4)))


@st.composite
def lines_of(draw: st.DrawFn, template: Template) -> str:
    """A line of the template, most fields of which are right."""
    parts = [part.text if isinstance(part, Literal) else draw(field_texts(part)) for part in template.parts]
    line = "".join(parts).replace("\n", " ")
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(line)))
        line = line[:place] + draw(_odd) + line[place + draw(st.integers(0, 1)) :]
    return line
