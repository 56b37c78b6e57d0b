"""The logs of load balancers and stores that are rented.

The definitions are those of the documentation: AWS, "Access logs for your Application Load Balancer", "Access
logs for your Classic Load Balancer" and "Amazon S3 server access log format"; Heroku, "HTTP Routing" (Heroku
router log format). At Heroku `connect` is the time to the connection with the dyno and `service` the time
from then on, so a request took both; of a part that is empty there was none.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.formats.servers.pattern import RAW, ServerLog
from tailmetrics.formats.servers.proxies import NO_HTTP

_TIMES = (
    r"(?P<duration>-?[0-9.]+|-) (?P<duration_of_target>-?[0-9.]+|-) (?P<duration_of_response>-?[0-9.]+|-)"
)

_ALB = ServerLog(
    name="alb",
    title="access log of an AWS Application Load Balancer",
    example=(
        "https 2024-10-10T13:55:36.123456Z app/lb/50dc6c49 203.0.113.9:2817 10.0.0.1:80 0.001 0.010 0.001 "
        '200 200 34 366 "GET https://shop.example:443/cart HTTP/1.1" "curl/8.5" ECDHE TLSv1.2 arn:aws:x '
        '"Root=1-5833" "shop.example" "arn:aws:y" 0 2024-10-10T13:55:36.110000Z "forward" "-" "-" '
        '"10.0.0.1:80" "200" "-" "-"'
    ),
    pattern=(
        r"(?:https?|h2|grpcs?|wss?) (?P<timestamp>[^ ]+) (?P<elb>[^ ]+) (?P<address>[^ ]+?)(?::[0-9]+)? "
        rf"[^ ]+ {_TIMES} (?P<status_code>[0-9]{{3}}|-) [^ ]+ (?:[0-9]+|-) (?:[0-9]+|-) "
        rf'"(?P<request>{RAW})" "(?P<agent>.*?)" [^ ]+ [^ ]+ (?P<target_group>[^ ]+)'
        r'(?: "[^"]*"(?: "(?P<host>[^"]*)" "[^"]*"(?: .*)?)?)?'  # later fields came one by one
    ),
    expected=(
        'type time elb client:port target:port times status target-status bytes bytes "request" "agent" '
        'cipher protocol target-group "trace" "domain" …'
    ),
    unit="s",
    customer=("host", "address"),
)

_ELB = ServerLog(
    name="elb",
    title="access log of an AWS Classic Load Balancer",
    example=(
        "2024-10-10T13:55:36.123456Z my-lb 203.0.113.9:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 "
        '0 29 "GET http://shop.example:80/cart HTTP/1.1" "curl/8.5" - -'
    ),
    pattern=(
        r"(?P<timestamp>[0-9]{4}-[^ ]+) (?P<elb>[^ ]+) (?P<address>[^ ]+):[0-9]+ [^ ]+ "
        rf"{_TIMES} (?P<status_code>[0-9]{{3}}|-) [^ ]+ [0-9]+ [0-9]+ "
        rf'"(?P<request>{RAW})"(?: "(?P<agent>.*)" [^ ]+ [^ ]+)?'
    ),
    expected='time elb client:port backend:port times status backend-status bytes bytes "request" "agent" …',
    unit="s",
    customer=("host", "address"),
    refused=((NO_HTTP, "an HTTP request, not a TCP connection"),),
)

_S3 = ServerLog(
    name="s3",
    title="server access log of Amazon S3",
    example=(
        "79a59df9 shop [10/Oct/2024:13:55:36 +0000] 203.0.113.9 arn:aws:iam::1:user/bob 3E57427F "
        'REST.GET.OBJECT cart.pdf "GET /shop/cart.pdf HTTP/1.1" 200 - 113 113 7 6 "-" "S3Console/0.4" - '
        "s9lzHYrF SigV4 ECDHE AuthHeader shop.s3.amazonaws.com TLSV1.2 - -"
    ),
    pattern=(
        r"(?P<bucket_owner>[^ ]+) (?P<bucket>[^ ]+) \[(?P<timestamp>[^\]]+)\] (?P<address>[^ ]+) "
        r"(?P<requester>[^ ]+) [^ ]+ (?P<operation>[A-Z0-9]+\.[^ ]+) (?P<key>[^ ]+) "
        r'(?:"(?P<request>.*?)"|-) (?P<status_code>[0-9]{3}|-) [^ ]+ (?:[0-9]+|-) (?:[0-9]+|-) '
        rf'(?P<duration>[0-9]+|-) (?:[0-9]+|-) (?:"{RAW}"|-) (?:"(?P<agent>.*?)"|-) [^ ]+(?: .*)?'
    ),
    expected=(
        'owner bucket [time] address requester id operation key "request" status error bytes size total-time '
        'turn-around "referer" "agent" version …'
    ),
    unit="ms",
    customer=("requester", "address"),
    path_otherwise="key",
    refused=(
        (
            pl.col("request").fill_null("-").eq("-") & pl.col("status_code").eq("-"),
            "a request, not what the store did by itself",
        ),
    ),
)

_PAIR = r'[a-z_]+=(?:"[^"]*"|[^ "]*)'
_HEROKU = ServerLog(
    name="heroku",
    title="Heroku's router",
    example=(
        "<158>1 2024-10-10T13:55:36.123456+00:00 host heroku router - at=info method=GET "
        'path="/cart" host=shop.example '
        'request_id=8601b555 fwd="203.0.113.9" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 '
        "protocol=https"
    ),
    pattern=(
        r"(?:(?:(?:[0-9]+ )?<[0-9]+>1 )?(?P<timestamp>[0-9]{4}-[^ ]+) "
        r"(?:heroku\[router\]:|[^ ]+ heroku router -(?: -)?) )?"
        rf"(?:{_PAIR} )*?at=[a-z]+ (?:{_PAIR} )*?method=[^ ]* "
        r'path="?(?P<target>.*?)"? host=(?P<host>[^ ]*) '
        rf'(?:{_PAIR} )*?fwd="?(?P<address>[^", ]*)(?:,[^"]*)?"? (?:{_PAIR} )*?'
        r"connect=(?P<duration>[0-9]*)(?:ms)? service=(?P<duration_of_service>[0-9]*)(?:ms)? "
        rf"status=(?P<status_code>[0-9]*) bytes=[0-9]*(?: {_PAIR})*"
    ),
    expected='time heroku[router]: at=info method=… path="…" host=… fwd="…" service=… status=… bytes=…',
    unit="ms",
    customer=("host", "address"),
)

LOGS: Final = (_ALB, _ELB, _S3, _HEROKU)
