"""What is suggested for the objects of programs that are no formats of their own, and how it reads them."""

from __future__ import annotations

import json

import pytest

from tailmetrics.formats import open_format
from tailmetrics.formats.json.suggest import suggested
from tests.builders import format_options

TIME = "2024-03-05T06:25:15Z"
OBJECTS = {
    "nginx": (
        {
            "time_local": "05/Mar/2024:06:25:15 +0000",
            "remote_addr": "203.0.113.7",
            "remote_user": "",
            "request": "GET /a?b HTTP/1.1",
            "status": "200",
            "request_time": "0.012",
        },
        "203.0.113.7",
    ),
    "pino-http": (
        {
            "time": 1709619915000,
            "hostname": "web1",
            "req": {"method": "GET", "url": "/a?b", "headers": {"host": "shop.example"}},
            "res": {"statusCode": 200},
            "responseTime": 12,
        },
        "shop.example",
    ),
    "Cloudflare": (
        {
            "ClientIP": "203.0.113.7",
            "ClientRequestHost": "shop.example",
            "ClientRequestURI": "/a?b",
            "EdgeResponseStatus": 200,
            "EdgeStartTimestamp": TIME,
            "EdgeTimeToFirstByteMs": 12,
            "OriginResponseStatus": 0,
        },
        "shop.example",
    ),
    "GitLab": (
        {
            "path": "/a",
            "status": 200,
            "time": TIME,
            "remote_ip": "203.0.113.7",
            "username": "bob",
            "db_duration_s": 0.5,
            "duration_s": 0.012,
        },
        "bob",
    ),
    "Fastly": (
        {
            "timestamp": TIME,
            "client_ip": "203.0.113.7",
            "url": "/a?b",
            "response_status": 200,
            "elapsed_usec": 12000,
        },
        "203.0.113.7",
    ),
    "Google Cloud": (
        {
            "httpRequest": {
                "latency": "0.012s",
                "remoteIp": "203.0.113.7",
                "requestUrl": "/a?b",
                "status": 200,
            },
            "timestamp": TIME,
        },
        "203.0.113.7",
    ),
    "Istio": (
        {
            "authority": "shop.example",
            "duration": 12,
            "path": "/a?b",
            "response_code": 200,
            "response_flags": "-",
            "start_time": TIME,
        },
        "shop.example",
    ),
    "Azure": (
        {
            "timeStamp": TIME,
            "properties": {
                "clientIP": "203.0.113.7",
                "requestUri": "/a",
                "httpStatus": 200,
                "timeTaken": 0.012,
            },
        },
        "203.0.113.7",
    ),
    "Serilog": (
        {
            "@t": TIME,
            "ClientIp": "203.0.113.7",
            "RequestPath": "/a",
            "StatusCode": 200,
            "ElapsedMs": 12,
        },
        "203.0.113.7",
    ),
    "Kong": (
        {
            "started_at": 1709619915000,
            "client_ip": "203.0.113.7",
            "request": {"uri": "/a?b"},
            "response": {"status": 200},
            "took_ms": 12,
        },
        "203.0.113.7",
    ),
    "Kong's file-log": (
        {
            "latencies": {"request": 12, "kong": 1, "proxy": 9},
            "service": {"host": "up.example", "path": "/up"},
            "request": {"uri": "/a?b", "headers": {"host": "shop.example"}},
            "client_ip": "203.0.113.7",
            "response": {"status": 200},
            "started_at": 1709619915000,
        },
        "shop.example",
    ),
    "APISIX": (
        {
            "client_ip": "203.0.113.7",
            "apisix_latency": 1.0,
            "upstream_latency": 9,
            "latency": 12.0,
            "start_time": 1709619915000,
            "request": {"uri": "/a?b", "headers": {"host": "shop.example"}},
            "response": {"status": 200},
        },
        "shop.example",
    ),
    "express-winston": (
        {
            "meta": {
                "req": {"url": "/a", "originalUrl": "/a?b", "headers": {"host": "shop.example"}},
                "res": {"statusCode": 200},
                "responseTime": 12,
            },
            "timestamp": TIME,
        },
        "shop.example",
    ),
    "restify": (
        {
            "_audit": True,
            "remoteAddress": "203.0.113.7",
            "req": {"url": "/a?b", "headers": {}},
            "res": {"statusCode": 200},
            "latency": 12,
            "time": TIME,
        },
        "203.0.113.7",
    ),
    "structlog": (
        {
            "request": "GET /a?b",
            "code": 200,
            "user_id": None,
            "ip": "203.0.113.7",
            "timestamp": TIME,
            "duration_ms": 12,
        },
        "203.0.113.7",
    ),
    "logstash-logback-encoder": (
        {
            "@timestamp": TIME,
            "requested_uri": "/a",
            "status_code": 200,
            "remote_host": "203.0.113.7",
            "elapsed_time": 12,
        },
        "203.0.113.7",
    ),
    "Serilog's middleware": (
        {
            "@t": TIME,
            "@mt": "HTTP {RequestMethod} {RequestPath}",
            "ClientIp": "203.0.113.7",
            "RequestPath": "/a",
            "StatusCode": 200,
            "Elapsed": 12.0,
        },
        "203.0.113.7",
    ),
    "ASP.NET": (
        {
            "Timestamp": TIME,
            "State": {"ElapsedMilliseconds": 12, "StatusCode": 200, "Host": "shop.example", "Path": "/a"},
        },
        "shop.example",
    ),
    "Azure's Front Door": (
        {
            "time": TIME,
            "properties": {
                "requestUri": "https://shop.example:443/a?b",
                "clientIp": "203.0.113.7",
                "timeTaken": "0.012",
                "httpStatusCode": "200",
                "hostName": "shop.example",
            },
        },
        "shop.example",
    ),
    "Azure's App Service": (
        {
            "time": TIME,
            "properties": {
                "CsUriStem": "/a",
                "CIp": "203.0.113.7",
                "CsHost": "shop.example",
                "ScStatus": 200,
                "TimeTaken": 12,
            },
        },
        "shop.example",
    ),
    "Envoy Gateway": (
        {
            ":authority": "shop.example",
            "duration": 12,
            "response_code": 200,
            "response_flags": "-",
            "start_time": TIME,
            "x-envoy-origin-path": "/a?b",
        },
        "shop.example",
    ),
    "nginx, nested": (
        {
            "time": TIME,
            "nginx": {
                "remote_addr": "203.0.113.7",
                "request": "GET /a HTTP/1.1",
                "status": 200,
                "request_time": 0.012,
            },
        },
        "203.0.113.7",
    ),
    "keys that no map can name": (
        {
            "a,time": TIME,
            "time": TIME,
            "x|url": "/b",
            "url": "/a",
            "user": "bob",
            "status": 200,
            "took_ms": 12,
        },
        "bob",
    ),
    "CloudFront, of which no key has the whole time": (
        {"time": "06:25:15", "date": TIME, "c-ip": "203.0.113.7", "cs-uri-stem": "/a", "sc-status": 200}
        | {"time_taken_ms": 12},
        "203.0.113.7",
    ),
    "what the request did too": (
        {"db": {"duration_ms": 5}, "time": TIME, "user": "bob", "url": "/a", "status": 200}
        | {"duration_ms": 12},
        "bob",
    ),
    "a date": (
        {"date": TIME, "user": "bob", "url": "/a", "status": 200, "took_ms": 12},
        "bob",
    ),
    "Echo": (
        {
            "time": TIME,
            "remote_ip": "203.0.113.7",
            "host": "shop.example",
            "uri": "/a?b",
            "status": 200,
            "latency": 12000000,
            "latency_human": "12ms",
        },
        "shop.example",
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_what_is_suggested_reads_the_object_of_a_program(name: str) -> None:
    found, customer = OBJECTS[name]
    line = json.dumps(found)
    settings = dict(setting.lower().split("=", 1) for setting in suggested(line))
    fields = suggested(line)[0].split("=", 1)[1]
    options = format_options("json", **(settings | {"log_json_fields": fields}))
    parsed = open_format(options).parse(line.encode(), 0)
    assert parsed.rejects["reason"].to_list() == []
    assert parsed.records.row(0)[1:5] == (customer, "/a", 200, 0.012)


@pytest.mark.parametrize("line", ["hello", "[1]", "{}", '{"path":"/a","level":"info"}', '{"status":200}'])
def test_of_what_tells_no_request_nothing_is_suggested(line: str) -> None:
    assert suggested(line) == ()


def test_a_unit_that_the_key_tells_needs_no_setting() -> None:
    line = json.dumps({"time": TIME, "user": "bob", "url": "/a", "status": 200, "timeTakenMs": 12})
    assert len(suggested(line)) == 1


@pytest.mark.parametrize(("value", "settings"), [(0.012, 1), ("0.012", 1), (12, 2), ("12", 2)])
def test_a_request_time_is_that_of_nginx_when_it_has_a_point(value: object, settings: int) -> None:
    line = json.dumps({"time": TIME, "user": "bob", "url": "/a", "status": 200, "request_time": value})
    assert len(suggested(line)) == settings


def test_a_unit_that_nobody_can_tell_is_asked_for() -> None:
    line = '{"time":"2024-03-05T06:25:15Z","host":"a","path":"/","status":200,"duration":12}'
    assert suggested(line)[1] == "LOG_DURATION_UNIT=ms, us or ns, unless duration is in seconds"


BASE = {"time": TIME, "user": "bob", "url": "/a", "status": 200}


def columns_of(found: dict[str, object]) -> dict[str, str]:
    fields = suggested(json.dumps(found))[0].removeprefix("LOG_JSON_FIELDS=")
    return dict(column.split("=", 1) for column in fields.split(","))


@pytest.mark.parametrize(
    ("others", "key"),
    [
        ({"db": {"duration": 5.1}, "elapsed_ms": 12.3}, "elapsed_ms"),
        ({"upstream": {"latency": 0.1}, "total_time": 0.3}, "total_time"),
        ({"timing": {"duration_ms": 5}, "elapsed": 12}, "elapsed"),
        ({"duration": 12, "duration_ms": 12}, "duration_ms"),
        ({"response_time": 0.1, "request_time": 0.3}, "request_time"),
        ({"http": {"response": {"duration_ms": 5}}}, "http.response.duration_ms"),
    ],
)
def test_of_several_durations_the_outermost_of_the_whole_request_is_suggested(
    others: dict[str, object], key: str
) -> None:
    assert columns_of(BASE | others)["duration"] == key


@pytest.mark.parametrize(
    "others",
    [
        {"upstream": {"duration": 5}, "db": {"latency": 5}, "queue": {"elapsed_ms": 5}, "view_duration": 5},
        {"timeout_ms": 5, "uptime": 5, "ttl": 5, "expires_ms": 5, "duration_id": 5, "timestamp_ms": 5},
        {"time_ms": 1709619915000, "request_time": 1709619915000, "time_s": 1709619915},
        {"elapsed": True, "duration": "long", "latency": [5]},
    ],
)
def test_what_is_no_duration_of_the_request_is_not_suggested(others: dict[str, object]) -> None:
    assert "duration" not in columns_of(BASE | others)


def test_no_key_is_suggested_for_time_and_duration() -> None:
    found = columns_of(
        {"user": "bob", "url": "/a", "status": 200, "requestTime": 1728568536, "responseTime": 1}
    )
    assert (found["timestamp"], found["duration"]) == ("requestTime", "responseTime")


@pytest.mark.parametrize(("value", "settings"), [(205, 2), (0.205, 1), ("0.205", 1)])
def test_a_time_taken_of_azure_is_in_seconds_when_it_has_a_point(value: object, settings: int) -> None:
    properties = {"requestUri": "/a", "clientIP": "203.0.113.7", "httpStatus": 200, "timeTaken": value}
    assert len(suggested(json.dumps({"time": TIME, "properties": properties}))) == settings


@pytest.mark.parametrize("other", ["uri", "path"])
def test_a_whole_request_line_is_suggested_before_other_paths(other: str) -> None:
    found = {
        "time": TIME,
        "user": "bob",
        "status": 200,
        other: "/index.php",
        "request": "GET /x?q=1 HTTP/1.1",
    }
    assert columns_of(found)["path"] == "request"


@pytest.mark.parametrize(
    "carried",
    [
        {"upstream": {"host": "10.0.0.1"}},
        {"upstream.host": "10.0.0.1"},
        {"@version": "1", "host": "web1"},
        {"short_message": "x", "host": "web1"},
    ],
    ids=["upstream", "flat", "logstash", "gelf"],
)
def test_the_machine_that_answered_or_wrote_is_not_suggested_for_the_customer(
    carried: dict[str, object],
) -> None:
    found = {"time": TIME, "url": "/a", "status": 200, "client_ip": "203.0.113.7"} | carried
    assert columns_of(found)["customer_id"] == "client_ip"


def test_a_time_of_haproxy_is_suggested_with_its_format() -> None:
    found = BASE | {"time": "05/Mar/2024:06:25:15.250"}
    line = json.dumps(found)
    fields, time_format = (setting.split("=", 1)[1] for setting in suggested(line))
    options = format_options("json", log_json_fields=fields, log_timestamp_format=time_format)
    records = open_format(options).parse(line.encode(), 0).records
    assert [time.isoformat() for time in records["timestamp"]] == ["2024-03-05T06:25:15.250000"]


@pytest.mark.parametrize("left_out", ["time", "user", "path", "status"])
def test_nothing_is_suggested_without_a_key_for_all_that_a_request_needs(left_out: str) -> None:
    found = {"time": TIME, "user": "bob", "path": "/a", "status": 200, "duration": 12}
    assert suggested(json.dumps(found))
    assert not suggested(json.dumps({key: value for key, value in found.items() if key != left_out}))
