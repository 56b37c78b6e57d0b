from __future__ import annotations

import pytest

from .rows import Row, lines_of, parsed, reasons, row, rows

TRAEFIK_TIME = "[10/Oct/2024:15:55:36 +0200]"
UTC = "2024-10-10 13:55:36"
HAPROXY = (
    "haproxy[14389]: 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 "
    '- - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1"'
)
SQUID_TIME = "2010-10-08 11:11:49.450000"
ENVOY_TIME = "2016-04-15 20:17:00.310000"
FEB = "2009-02-06 12:14:14.655000"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            (
                f'192.0.2.1 - - {TRAEFIK_TIME} "GET /whoami?a=1 HTTP/1.1" 200 415 "-" "curl/8" 3 '
                f'"whoami@docker" '
                '"http://172.18.0.3:80" 1ms'
            ),
            ("192.0.2.1", "/whoami", 200, 0.001, UTC),
        ),
        (
            (
                f'192.0.2.1 - bob {TRAEFIK_TIME} "POST /api HTTP/2.0" 502 11 "https://e.org/" "a "q" b" 12 '
                '"api@file" "http://10.0.0.1:8080" 30001ms'
            ),
            ("bob", "/api", 502, 30.001, UTC),
        ),
        (
            f'2001:db8::1 - - {TRAEFIK_TIME} "GET / HTTP/1.1" 404 19 "-" "-" 1 "-" "-" 0ms',
            ("2001:db8::1", "/", 404, 0, UTC),
        ),
        (
            f'192.0.2.1 - - {TRAEFIK_TIME} "GET /a HTTP/1.1" 499 21 "-" "-" 5 - - 812ms',
            ("192.0.2.1", "/a", 499, 0.812, UTC),
        ),
        (
            f'192.0.2.1 - - {TRAEFIK_TIME} "GET /a HTTP/1.1" 0 - "-" "-" 5 "a@docker" "-" 7ms',
            ("192.0.2.1", "/a", 0, 0.007, UTC),
        ),
        (
            f'192.0.2.1 - - {TRAEFIK_TIME} "GET /a HTTP/1.1" 200 8 - "Mobile" 5 "a" "http://10.0.0.1" 7ms',
            ("192.0.2.1", "/a", 200, 0.007, UTC),
        ),
        (
            f'192.0.2.1 - - {TRAEFIK_TIME} "GET /" HTTP/1.1" 400 0 "-" "-" 5 "a@docker" "-" 7ms',
            ("192.0.2.1", '/"', 400, 0.007, UTC),
        ),
    ],
)
def test_lines_of_traefik(line: str, expected: Row) -> None:
    assert row("traefik", line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (HAPROXY, ("10.0.1.2", "/index.html", 200, 0.109, FEB)),
        (f"Feb  6 12:14:14 localhost {HAPROXY}", ("10.0.1.2", "/index.html", 200, 0.109, FEB)),
        (f"<6>{HAPROXY.removeprefix('haproxy[14389]: ')}", ("10.0.1.2", "/index.html", 200, 0.109, FEB)),
        (
            HAPROXY.removeprefix("haproxy[14389]: ").replace(" {1wt.eu} {}", ""),
            ("10.0.1.2", "/index.html", 200, 0.109, FEB),
        ),
        (
            (
                "10.0.1.2:33318 [06/Feb/2009:12:14:14.655] in~ static/<NOSRV> -1/-1/-1/-1/50001 408 2750 - - "
                'cR-- 2/2/2/0/+3 0/0 "<BADREQ>"'
            ),
            ("10.0.1.2", "<BADREQ>", 408, 50.001, FEB),
        ),
        (
            (
                "2001:db8::1:33318 [06/Feb/2009:12:14:14.655] http-in bck/srv 0/0/0/-1/+6002 -1 +0 "
                "JSESSION=1 - "
                'CDVN 2/2/2/0/0 0/0 {|Mozilla 5 (X11)|} {} "POST https://a.example/log#22in?x HTTP/2.0"'
            ),
            ("2001:db8::1", "/log#22in", 0, 6.002, FEB),
        ),
        (
            HAPROXY.replace('HTTP/1.1"', ""),
            ("10.0.1.2", "/index.html", 200, 0.109, FEB),
        ),
        (
            HAPROXY + " 0/0000000000000000/0/0/0 1wt.eu/TLSv1.3/TLS_AES_256_GCM_SHA384",
            ("10.0.1.2", "/index.html", 200, 0.109, FEB),
        ),
    ],
)
def test_lines_of_haproxy(line: str, expected: Row) -> None:
    assert row("haproxy", line) == expected


def test_times_of_haproxy_are_local() -> None:
    assert row("haproxy", HAPROXY, log_timezone="Europe/Paris")[4] == "2009-02-06 11:14:14.655000"


def test_a_wrong_time_of_haproxy_is_told_with_one_that_is_right() -> None:
    assert reasons("haproxy", HAPROXY.replace("Feb/", "Fev/")) == [
        "timestamp: found '06/Fev/2009:12:14:14.655', expected a real time as 10/Oct/2024:13:55:36.123"
    ]


def test_a_tcp_log_of_haproxy_is_no_http_log() -> None:
    line = "10.0.1.2:3331 [06/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0"
    assert reasons("haproxy", line)[0].startswith(f"line: found '{line[:80]}…', expected an HTTP log: ")


def test_a_header_that_haproxy_captured_may_be_the_customer() -> None:
    assert row("haproxy", HAPROXY, log_customer="captured_request_headers")[0] == "1wt.eu"
    assert row("haproxy", HAPROXY, log_customer="backend_name")[0] == "static"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            (
                '[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" '
                '"nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80"'
            ),
            ("locations", "/api/v1/locations", 204, 0.226, ENVOY_TIME),
        ),
        (
            (
                '[2016-04-15T20:17:00.310Z] "GET /a?b HTTP/1.1" 0 DC 0 0 60000 - '
                '"203.0.113.9,10.0.0.1" "-" "-" '
                '"shop.example:8443" "-"'
            ),
            ("shop.example", "/a", 0, 60, ENVOY_TIME),
        ),
        (
            (
                '[2016-04-15T20:17:00.310Z] "GET /a HTTP/1.1" 503 UF,URX 0 91 2 - "203.0.113.9, 10.0.0.1" '
                '"a "quoted" agent" "-" "-" "10.0.2.1:80"'
            ),
            ("203.0.113.9", "/a", 503, 0.002, ENVOY_TIME),
        ),
        (
            (
                '[2020-11-25T21:26:18.409Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 '
                '135 4 4 "-" '
                '"curl/7.73.0-DEV" "84961386" "httpbin:8000" "127.0.0.1:80" inbound|8000|| 127.0.0.1:41854 '
                "10.44.1.27:80 10.44.1.23:37652 outbound_.8000_._.httpbin.foo.svc.cluster.local default"
            ),
            ("httpbin", "/status/418", 418, 0.004, "2020-11-25 21:26:18.409000"),
        ),
        (
            (
                '[2016-04-15T20:17:00.310Z] "GET /a HTTP/1.1" 200 - "-" "-" 0 612 12 11 "-" "curl/8.5" '
                '"cc21" "shop.example" "10.0.0.1:80" outbound|80||x - 10.1.1.1:80 10.1.1.1:5 -'
            ),
            ("shop.example", "/a", 200, 0.012, ENVOY_TIME),
        ),
        (
            '[2016-04-15T20:17:00.310Z] "- - HTTP/1.1" 400 DPE 0 11 0 - "-" "-" "-" "-" "-"',
            None,
        ),
    ],
)
def test_lines_of_envoy(line: str, expected: Row | None) -> None:
    if expected:
        assert row("envoy", line) == expected
    else:
        assert reasons("envoy", line)[0].startswith("customer_id: found nothing")


def test_a_tcp_connection_through_envoy_is_no_request() -> None:
    line = '[2016-04-15T20:17:00.310Z] "- - -" 0 - 3 84 1 - "-" "-" "-" "-" "127.0.0.1:80"'
    assert reasons("envoy", line)[0].endswith("', expected an HTTP request, not a TCP connection")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            (
                "1286536309.450    180 10.0.0.9 TCP_MISS/200 411 GET http://e.org/a?b=1 - "
                "DIRECT/198.51.100.7 "
                "text/html"
            ),
            ("10.0.0.9", "/a", 200, 0.18, SQUID_TIME),
        ),
        (
            "1286536309.450 123456 10.0.0.9 TCP_TUNNEL/200 39 CONNECT e.org:443 bob DIRECT/2001:db8::1 -",
            ("bob", "e.org:443", 200, 123.456, SQUID_TIME),
        ),
        (
            "1286536309.450     30 10.0.0.9 TCP_MISS/000 0 GET http://e.org/ - HIER_NONE/- -",
            ("10.0.0.9", "/", 0, 0.03, SQUID_TIME),
        ),
        (
            "1286536309.450      0 10.0.0.9 TCP_DENIED/407 3895 GET http://e.org/ - HIER_NONE/- text/html",
            ("10.0.0.9", "/", 407, 0, SQUID_TIME),
        ),
        (
            "1286536309.450      0 10.0.0.9 NONE/400 3895 - error:invalid-request - HIER_NONE/- text/html",
            ("10.0.0.9", "error:invalid-request", 400, 0, SQUID_TIME),
        ),
        (
            "1286536309.450      5 10.0.0.1 TCP_MEM_HIT/304 3 GET http://e.org/ a%20b NONE/- - [a: b] [c: d]",
            ("a%20b", "/", 304, 0.005, SQUID_TIME),
        ),
    ],
)
def test_lines_of_squid(line: str, expected: Row) -> None:
    assert row("squid", line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "1286536309.450 0 10.0.0.1 NONE_NONE/000 0 - error:transaction-end-before-headers - HIER_NONE/- -",
        "1286536309.450 0 10.0.0.1 UDP_HIT/000 411 ICP_QUERY http://e.org/ - HIER_NONE/- -",
    ],
    ids=["nothing-asked", "by-another-cache"],
)
def test_what_is_no_request_of_squid_is_refused(line: str) -> None:
    assert reasons("squid", line)[0].endswith("', expected an HTTP request")


def ingress(who: str = "192.0.2.1 - -", request: str = "GET /a?b HTTP/1.1", end: str = "") -> str:
    return (
        f'{who} [10/Oct/2024:13:55:36 +0000] "{request}" 200 2 "-" "Go-http-client/2.0" 88 0.025 '
        f"[default-web-80] {end or '[] 10.4.0.7:8080 2 0.024 200 9b7d'}"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (ingress(), ("192.0.2.1", "/a", 200, 0.025, UTC)),
        (ingress(who="192.0.2.1 - [192.0.2.9] - bob"), ("bob", "/a", 200, 0.025, UTC)),
        (ingress(end="10.4.0.7:8080 2 0.024 200 9b7d"), ("192.0.2.1", "/a", 200, 0.025, UTC)),
        (
            ingress(end="[] 10.4.0.7:8080, 10.4.0.8:8080 0, 2 0.001, 0.024 502, 200 9b7d"),
            ("192.0.2.1", "/a", 200, 0.025, UTC),
        ),
        (ingress(request=r"GET /\x22\xE5\xAE\xA2 HTTP/1.1"), ("192.0.2.1", '/"客', 200, 0.025, UTC)),
        (
            ingress(request=r"\x16\x03\x01", end="[] - - - - 1"),
            ("192.0.2.1", r"\x16\x03\x01", 200, 0.025, UTC),
        ),
    ],
)
def test_lines_of_ingress_nginx(line: str, expected: Row) -> None:
    assert row("ingress-nginx", line) == expected


def test_the_log_of_a_traefik() -> None:
    assert rows("traefik", *lines_of("traefik.log")) == [
        ("198.51.100.7", "/x", 200, 0.012, "2024-07-29 18:03:08"),
        ("198.51.100.7", "/x", 404, 0, "2024-07-29 18:03:08"),
    ]


def test_the_log_of_an_envoy() -> None:
    assert rows("envoy", *lines_of("envoy.log")) == [
        ("locations", "/api/v1/locations", 204, 0.226, "2024-04-15 20:17:00.310000"),
        ("locations", "/x", 0, 0.226, "2024-04-15 20:17:00.310000"),
    ]


def test_requests_of_robots_are_known_by_their_agent() -> None:
    line = f'192.0.2.1 - - {TRAEFIK_TIME} "GET / HTTP/1.1" 200 4 "-" "Googlebot/2.1" 1 "a@b" "-" 1ms'
    assert parsed("traefik", line, log_exclude="bots").blanks == 1
