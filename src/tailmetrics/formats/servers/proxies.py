"""The logs of proxies.

The definitions are those of the servers' documentation: Traefik, "Access Logs" (Common Log Format); HAProxy,
"Configuration Manual", sections 8.2.3 to 8.2.5; Envoy, "Access logging" (Default Format String), and Istio,
"Envoy Access Logs"; Squid, "logformat" (the format `squid`); ingress-nginx, "Log format".

Traefik and Envoy write what clients sent as it was sent, quotes and all. HAProxy writes #22 for a quote, and
cuts long requests, with the quote at their end.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.formats import timestamps
from tailmetrics.formats.servers.pattern import CLF, QUOTED, RAW, ServerLog
from tailmetrics.formats.templates.columns import unescaped

NO_HTTP: Final = pl.col("request").str.contains(r"\A- - - ?\z")
# Of Squid: a connection that ended before it asked for anything, and what caches ask each other.
_NOTHING_ASKED = (pl.col("target") == "error:transaction-end-before-headers") | pl.col(
    "result"
).str.starts_with("UDP_")

_TRAEFIK = ServerLog(
    name="traefik",
    title="Traefik's access log (Common Log Format)",
    example=(
        '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" '
        '17 "web@docker" "http://172.17.0.2:80" 12ms'
    ),
    pattern=(
        rf'{CLF}"(?P<request>.*?)" (?P<status_code>[0-9]{{1,3}}|-) (?:[0-9]+|-) (?:"{RAW}"|-) '
        r'(?:"(?P<agent>.*)"|-) (?:[0-9]+|-) (?:"(?P<router>[^"]*)"|-) (?:"[^"]*"|-) (?P<duration>[0-9]+)ms'
    ),
    expected='address - user [time] "request" status bytes "referer" "agent" number "router" "server" 0ms',
    unit="ms",
)

_HAPROXY = ServerLog(
    name="haproxy",
    title="HAProxy's HTTP log format (option httplog, option httpslog)",
    example=(
        "203.0.113.9:33317 [10/Oct/2024:13:55:36.123] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- "
        '1/1/1/1/0 0/0 {shop.example|curl} {} "GET /cart HTTP/1.1"'
    ),
    pattern=(
        r'(?:[^"{]*haproxy(?:\[[0-9]+\])?: )?'
        r"(?:<[0-9]{1,3}>)?(?P<address>[^ <]+):[0-9]+ \[(?P<timestamp>[^\]]+)\] "
        r"(?P<frontend_name>[^ ]+) (?P<backend_name>[^ /]+)/(?P<server_name>[^ ]+) "
        r"(?:\+?-?[0-9]+/){4}\+?(?P<duration>-?[0-9]+) (?P<status_code>-?[0-9]+) \+?[0-9]+ [^ ]+ [^ ]+ "
        r"(?P<termination_state>[A-Za-z-]{2,4}) (?:[0-9]+/){4}\+?[0-9]+ [0-9]+/[0-9]+ "
        r'(?:\{(?P<captured_request_headers>[^"{}]*)\} )?(?:\{[^"{}]*\} )?"(?P<request>[^"]*)"?'
        r"(?: -?[0-9]+/[0-9A-Fa-f]+/[^ ]+ [^ ]+/[^ ]+)?"  # of option httpslog
    ),
    expected='an HTTP log: address:port [time] frontend backend/server timers status bytes … "request"',
    unit="ms",
    customer=("address",),
    times=(timestamps.by_strftime("%d/%b/%Y:%H:%M:%S.%f"), "a real time as 10/Oct/2024:13:55:36.123"),
)

_ENVOY = ServerLog(
    name="envoy",
    title="Envoy's default format string, and Istio's",
    example=(
        '[2024-10-10T13:55:36.123Z] "GET /cart HTTP/2" 200 - 0 612 12 11 "203.0.113.9" "curl/8.5" "cc21d9b0" '
        '"shop.example" "10.0.2.1:80"'
    ),
    pattern=(
        r'\[(?P<timestamp>[^\]]+)\] "(?P<request>.*?)" (?P<status_code>[0-9]{1,3}|-) '
        r"(?P<response_flags>[A-Za-z0-9_,-]+) "
        r'(?:[^ "]+ [^ "]+ "[^"]*" |"[^"]*" (?:"[^"]*" )?)?'  # Istio's details, now and before
        r"(?:[0-9]+|-) (?:[0-9]+|-) (?P<duration>[0-9]+|-) [^ ]+ "
        rf'"(?P<address>[^",]*)(?:,{RAW})?" "(?P<agent>.*)" "[^"]*" "(?P<host>[^"]*?)(?::[0-9]+)?" "[^"]*"'
        r'(?: [^ "]+){0,7}'
    ),
    expected=(
        '[time] "request" status flags bytes bytes duration upstream-time "forwarded for" "agent" "id" '
        '"authority" "upstream"'
    ),
    unit="ms",
    customer=("host", "address"),
    refused=((NO_HTTP, "an HTTP request, not a TCP connection"),),
)

_SQUID = ServerLog(
    name="squid",
    title="Squid's native access.log",
    example=(
        "1728568536.123    180 203.0.113.9 TCP_MISS/200 411 GET http://shop.example/cart bob "
        "HIER_DIRECT/198.51.100.7 text/html"
    ),
    pattern=(
        r"(?P<timestamp>[0-9]+\.[0-9]{3}) +(?P<duration>-?[0-9]+) (?P<address>[^ ]+) "
        r"(?P<result>[A-Z_]+)/(?P<status_code>[0-9]{3}|-) [0-9]+ [^ ]+ (?P<target>[^ ]+) (?P<user>[^ ]+) "
        r"[A-Z_0-9]+/[^ ]+ [^ ]+(?: \[.*\])?"
    ),
    expected="time duration address result/status bytes method URL user hierarchy/peer type",
    unit="ms",
    refused=((_NOTHING_ASKED, "an HTTP request"),),
)

_INGRESS_NGINX = ServerLog(
    name="ingress-nginx",
    title="upstreaminfo, of the ingress controller",
    example=(
        '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 420 0.012 '
        "[default-web-80] [] 10.0.0.7:8080 612 0.011 200 8f2c1a0b9d"
    ),
    pattern=(
        r"(?P<address>[^ ]+) - (?:\[[^\]]*\] - )?(?P<user>[^ ]+(?: [^ \[][^ ]*)*) "
        rf'\[(?P<timestamp>[0-9]{{2}}/[^\]]*)\] "(?P<request>{QUOTED})" (?P<status_code>[0-9]{{3}}|-) [0-9]+ '
        rf'"{QUOTED}" "(?P<agent>{QUOTED})" [0-9]+ (?P<duration>[0-9.]+|-) \[(?P<upstream>[^\]]*)\] '
        r"(?:\[[^\]]*\] )?.+"  # of several tries addresses, lengths, times and statuses are lists
    ),
    expected=(
        'address - user [time] "request" status bytes "referer" "agent" length duration [upstream] '
        "[alternative] address length time status id"
    ),
    unit="s",
    unescaped=unescaped,
)

LOGS: Final = (_TRAEFIK, _HAPROXY, _ENVOY, _SQUID, _INGRESS_NGINX)
