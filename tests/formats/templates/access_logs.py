"""Strategies for lines of access logs by a template: right ones, hostile fields, and damaged ones."""

from __future__ import annotations

from hypothesis import strategies as st

from tailmetrics.formats.templates.apache_directives import from_apache
from tailmetrics.formats.templates.envoy_operators import from_envoy
from tailmetrics.formats.templates.haproxy_variables import from_haproxy
from tailmetrics.formats.templates.nginx_variables import from_nginx
from tailmetrics.formats.templates.template import Field, Kind, Literal, Template

COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent"'
)
ENVOY = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"'
)
ISTIO = (
    ENVOY.replace(
        "%RESPONSE_FLAGS%",
        "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
        '"%UPSTREAM_TRANSPORT_FAILURE_REASON%"',
    )
    + " %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% "
    "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%"
)
HAPROXY = (
    "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs "
    "%{+Q}r"
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
    "envoy": from_envoy(ENVOY),
    "istio": from_envoy(ISTIO),
    "envoy in words": from_envoy(
        "%DOWNSTREAM_REMOTE_ADDRESS%|%REQ(:AUTHORITY)%|%START_TIME(%s.%6f)%|%PATH%|%RESPONSE_CODE%"
    ),
    "haproxy": from_haproxy(HAPROXY),
    "haproxy in quotes": from_haproxy(
        "%{+Q}o %ci:%cp %trg %hr %ID %HM %HU %HV %ST %Tt %[req.hdr(host)] %hrl %hsl"
    ),
    "haproxy in words": from_haproxy(
        "%ci:%cp,%Ts.%ms %hr|%hs %HPO %ST %[req.hdr(user-agent)] %Ta %[req.hdr(host)]"
    ),
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
_braces = ["", "{}", "{a|b}", "{a b|c}", '{"a"|"b"}', '"{a}"', "{", '"{', "{a", "}", "{{}}"]
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
    "address": [
        "203.0.113.9",
        "::1",
        "-",
        "unix:",
        "10.0.0.1, 10.0.0.2",
        "10.0.0.1,",
        "::ffff:10.0.0.1",
        "face:12",
        "10.0.0.1:80",
    ],
    "host": [
        "shop.example",
        "[2001:db8::2]",
        "[::1",
        "-",
        "",
        "a[",
        "2001:db8::2",
        "shop.example:8443",
        "[::1]:80",
        "a:b",
        "a:",
        "10.0.0.1:80",
        "a:1.5",
    ],
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
    "method": ["GET", "-"],
    "protocol": ["HTTP/1.1", "-"],
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
        "+12",
        "-1",
        "0.1, 0.2",
        "0.1 : 0.2",
    ],
}


@st.composite
def field_texts(draw: st.DrawFn, field: Field) -> str:
    role = field.role.value if field.role else ""
    likely = st.sampled_from(_of_role.get(role, ["-", "a", "612"]))
    if field.kind is Kind.BRACES:
        return draw(st.sampled_from(_braces)) + draw(st.sampled_from([field.unit, field.unit, "", " "]))
    good = st.just(_of_role.get(role, ["-"])[0])
    if field.unit.startswith("%d"):
        good = st.just("10/Oct/2024:13:55:36.123")
    elif role == "timestamp" and field.kind is not Kind.TIME:
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
