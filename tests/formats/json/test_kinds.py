from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from tailmetrics.errors import FormatError
from tailmetrics.formats import KINDS, open_format
from tailmetrics.formats.detection import of_whole
from tailmetrics.formats.json.kinds import described_by
from tailmetrics.records import ParsedLines
from tests.builders import format_options
from tests.paths import DATA

LOGS = DATA / "logs"
NAMES = ["caddy", "traefik-json", "ecs", "otel", "json"]
TIME = datetime.fromisoformat("2024-10-01 00:00:01")
DAMAGED = ["{", "[1]", "null", '"a"', "", " ", "{}", "{" * 3000, '{"a":"\\ud800"}', "hello"]


def parsed(name: str, *lines: str, **settings: object) -> ParsedLines:
    data = "".join(f"{line}\n" for line in lines).encode()
    return open_format(format_options(name, **settings)).parse(data, 0)


def rows(name: str, *lines: str, **settings: object) -> list[tuple[object, ...]]:
    return parsed(name, *lines, **settings).records.drop("offset").rows()


def claiming(line: str) -> list[str]:
    return [name for name, kind in KINDS.items() if kind.claims(line)]


@pytest.mark.parametrize("line", DAMAGED)
def test_what_is_no_object_or_has_no_known_keys_is_nobodys(line: str) -> None:
    assert claiming(line) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_without_one_of_its_fields_is_nobodys(name: str) -> None:
    example = json.loads(KINDS[name].example)
    for key in ("status", "DownstreamStatus", "http", "attributes", "status_code"):
        if key in example:
            left = {other: value for other, value in example.items() if other != key}
            assert claiming(json.dumps(left)) == []


@pytest.mark.parametrize("name", NAMES)
def test_odd_values_do_not_make_a_line_that_of_another(name: str) -> None:
    example = json.loads(KINDS[name].example)
    odd = {key: value if isinstance(value, dict) or key == "msg" else None for key, value in example.items()}
    assert claiming(json.dumps(odd)) == [name]


def test_an_object_with_the_keys_of_two_is_of_the_first() -> None:
    both = json.loads(KINDS["caddy"].example) | json.loads(KINDS["json"].example)
    assert claiming(json.dumps(both)) == ["caddy"]


# Caddy


def test_requests_of_caddy_are_read_and_its_other_messages_are_none() -> None:
    data = (LOGS / "caddy.log").read_bytes()
    options = of_whole(data, format_options("auto"))
    found = open_format(options).parse(data, 0)
    assert (options.name, found.blanks, found.rejects.height) == ("caddy", 1, 0)
    time = datetime.fromisoformat("2024-05-26 11:42:52")
    assert found.records.drop("offset").rows() == [
        (time + timedelta(microseconds=601480), "shop.example", "/x", 200, 0.0123),
        (time, "shop.example", "/y", 200, 0.0125),
    ]


CADDY = KINDS["caddy"].example


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"status": 0}, ("shop.example", "/cart", 0, 0.0123)),
        ({"status": 599, "duration": "1.5µs"}, ("shop.example", "/cart", 599, 1.5e-06)),
        ({"duration": "1m2.5s"}, ("shop.example", "/cart", 200, 62.5)),
        ({"duration": None}, ("shop.example", "/cart", 200, None)),
        ({"ts": "2024-05-26T11:42:52.601Z"}, ("shop.example", "/cart", 200, 0.0123)),
    ],
)
def test_a_request_of_caddy_may_be_written_in_other_ways(
    changes: dict[str, object], row: tuple[object, ...]
) -> None:
    line = json.dumps(json.loads(CADDY) | changes)
    assert [found[1:] for found in rows("caddy", line)] == [row]
    assert claiming(line) == ["caddy"]


@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize("customer", ["", "/{customer},host"])
@pytest.mark.parametrize(
    ("unit", "duration", "seconds"),
    [
        ("ms", 12, 0.012),
        ("ns", "12000000", 0.012),
        ("ms", 0.5, 0.5),
        ("ms", "12s", 12.0),
        ("", "12s", 12.0),
        ("", 0, 0.0),
        ("", 2.0, 2.0),
        ("", None, None),
    ],
)
def test_whole_durations_of_caddy_are_in_the_unit_of_the_setting(
    unit: str, duration: object, seconds: float | None, customer: str, times: int
) -> None:
    line = json.dumps(json.loads(CADDY) | {"duration": duration})
    read = rows("caddy", *[line] * times, log_duration_unit=unit, log_customer=customer)
    assert [row[4] for row in read] == [seconds] * times


@pytest.mark.parametrize("times", [1, 200])
def test_whole_durations_of_caddy_are_refused_without_a_unit(times: int) -> None:
    line = json.dumps(json.loads(CADDY) | {"duration": 12})
    found = parsed("caddy", *[CADDY, line] * times)
    assert found.records.height == times
    assert set(found.rejects["reason"]) == {"duration: found '12', expected a unit: set LOG_DURATION_UNIT"}


@pytest.mark.parametrize("times", [1, 200])
def test_lines_of_caddy_are_told_apart_however_many_there_are(times: int) -> None:
    other = CADDY.replace("handled request", "aborting with incomplete response")
    found = parsed("caddy", *[CADDY, other, '{"level":"info","ts":1,"msg":"serving"}', "{"] * times)
    assert (found.records.height, found.blanks, found.rejects.height) == (times, 2 * times, times)


OF_CADDY = '{"level":"info","ts":1.5,'


@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize(
    "message",
    [
        OF_CADDY + '"msg":"autosaved config","file":"/config/caddy/autosave.json"}',
        OF_CADDY + '"logger":"pki.ca.local","msg":"certificate is trusted","path":"storage:pki/root.crt"}',
        OF_CADDY + '"logger":"http.acme_client","msg":"http request","url":"https://ca.example/directory",'
        '"path":"/directory","status_code":200}',
        OF_CADDY
        + '"logger":"http.log.error","msg":"EOF","request":{"uri":"/x"},"duration":0.1,"status":502}',
    ],
)
def test_another_message_of_caddy_is_no_request(message: str, times: int) -> None:
    found = parsed("caddy", *[CADDY, message] * times)
    assert (found.records.height, found.blanks, found.rejects.height) == (times, times, 0)


@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize(
    "line",
    [
        '{"msg":"request","timestamp":"2024-10-01","path":"/a","status_code":500}',
        OF_CADDY + '"logger":"api","msg":"request","path":"/a","status":500}',
        OF_CADDY + '"msg":"request","url":"/a","statusCode":500}',
        '{"level":"info","time":"2024-10-01","msg":"ready"}',
    ],
)
def test_a_message_of_another_program_is_a_reject_of_caddy(line: str, times: int) -> None:
    found = parsed("caddy", *[CADDY, line] * times)
    assert (found.records.height, found.blanks) == (times, 0)
    reason = (
        f"line: found '{line[:80]}{'…' if len(line) > 80 else ''}', expected a request or message of Caddy"
    )
    assert found.rejects["reason"].to_list() == [reason] * times


def test_agents_of_caddy_are_in_an_array() -> None:
    request = json.loads(CADDY)["request"] | {"headers": {"User-Agent": ["probe/1.0"]}}
    probe = json.dumps(json.loads(CADDY) | {"request": request})
    found = parsed("caddy", CADDY, probe, log_exclude="agent:probe*")
    assert (found.records.height, found.blanks) == (1, 1)


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        ("address", "203.0.113.9"),
        ("user,address", "203.0.113.9"),
        ("request.remote_ip", "10.5.1.1"),
        ("nothing,host", "shop.example"),
        ("/{customer}", "cart"),
        ("/api/{customer},host", "shop.example"),
    ],
)
def test_the_customer_is_told_by_fields_keys_or_the_path(customer: str, expected: str) -> None:
    assert [row[1] for row in rows("caddy", CADDY, log_customer=customer)] == [expected]


# Traefik

TRAEFIK = KINDS["traefik-json"].example


def test_requests_of_traefik_take_nanoseconds_and_belong_to_their_host() -> None:
    time = TIME + timedelta(microseconds=123456)
    example = json.loads(TRAEFIK)
    aborted = example | {"DownstreamStatus": 0, "Duration": 30_000_000_000, "RequestHost": "-"}
    later = {key: value for key, value in example.items() if key != "StartUTC"} | {"RequestHost": ""}
    lines = [
        TRAEFIK,
        *map(json.dumps, (aborted, later)),
        json.dumps(example | {"Duration": 1}),
        '{"msg":"x"}',
    ]
    assert rows("traefik-json", *lines) == [
        (time, "shop.example", "/cart", 200, 0.0123),
        (time, "203.0.113.9", "/cart", 0, 30.0),
        (TIME, "203.0.113.9", "/cart", 200, 0.0123),
        (time, "shop.example", "/cart", 200, 1e-09),
    ]


# Elastic Common Schema

ECS = KINDS["ecs"].example


def test_keys_of_ecs_are_nested_or_have_dots() -> None:
    flat = {
        "@timestamp": "2024-10-01T00:00:01Z",
        "url.original": "/a?b=c",
        "http.response.status_code": 404,
        "user.name": "bob",
        "source.ip": "::1",
    }
    half = {"http": {"response.status_code": 503}, "url": {"path": "/b"}, "event": {"duration": 5}}
    lines = [ECS, json.dumps(flat), json.dumps({"@timestamp": 1727740801000, "user": {"id": "7"}} | half)]
    lines += [
        json.dumps({**flat, "user.name": "-"}),
        json.dumps({"@timestamp": "2024-10-01", "message": "x"}),
    ]
    assert rows("ecs", *lines) == [
        (TIME + timedelta(milliseconds=123), "203.0.113.9", "/cart", 200, 0.0123),
        (TIME, "bob", "/a", 404, None),
        (TIME, "7", "/b", 503, 5e-09),
        (TIME, "::1", "/a", 404, None),
    ]
    assert [claiming(line) for line in lines] == [["ecs"]] * 4 + [[]]


# OpenTelemetry


def test_attributes_of_opentelemetry_have_names_of_today_and_of_before() -> None:
    now = KINDS["otel"].example
    before = {
        "Timestamp": "2024-10-01T00:00:01Z",
        "Attributes": {"http.status_code": "500", "http.target": "/a?b", "enduser.id": "bob"},
    }
    nested = {
        "observedTimeUnixNano": 1727740801000000000,
        "attributes": {
            "http": {"response": {"status_code": 200}, "route": "/orders/{id}"},
            "client": {"address": "::1"},
        },
    }
    no_time = {"attributes": before["Attributes"]}
    lines = [
        now,
        json.dumps(before),
        json.dumps(nested),
        json.dumps(no_time),
        '{"timeUnixNano":"1","body":"x"}',
    ]
    found = parsed("otel", *lines)
    assert found.records.drop("offset").rows() == [
        (TIME + timedelta(microseconds=123456), "203.0.113.9", "/cart", 200, 0.0123),
        (TIME, "bob", "/a", 500, None),
        (TIME, "::1", "/orders/{id}", 200, None),
    ]
    assert [reason.partition(":")[0] for reason in found.rejects["reason"]] == ["timestamp", "customer_id"]
    assert [claiming(line) for line in lines] == [["otel"]] * 3 + [[]] * 2


@pytest.mark.parametrize("times", [1, 300])
@pytest.mark.parametrize(
    ("key", "nothing"),
    [
        ("timeUnixNano", "0"),
        ("timeUnixNano", 0),
        ("Timestamp", "0001-01-01T00:00:00Z"),
        ("Timestamp", "1970-01-01T00:00:00.000000000Z"),
        ("timestamp", "-"),
    ],
)
def test_where_the_time_is_unknown_it_is_when_a_record_was_observed(
    key: str, nothing: object, times: int
) -> None:
    example = json.loads(KINDS["otel"].example)
    del example["timeUnixNano"]
    line = json.dumps({key: nothing, "observedTimeUnixNano": "1727740801000000000"} | example)
    assert [row[0] for row in rows("otel", *[line] * times)] == [TIME] * times


@pytest.mark.parametrize("times", [1, 300])
def test_an_empty_request_counts_as_in_text_formats(times: int) -> None:
    line = json.dumps({"timestamp": "[01/Oct/2024:02:00:01 +0200]", "customer_id": "c", "path": ""})
    line = line.replace("}", ', "status_code": "400"}')
    assert rows("json", *[line] * times) == [(TIME, "c", "-", 400, None)] * times


OWN = {"timestamp": 1727740801, "customer_id": "a", "path": "/a", "status_code": 200}


@pytest.mark.parametrize("key", ["durationMs", "latencyMs", "responseTimeMs", "latency_ms"])
@pytest.mark.parametrize("times", [1, 200])
def test_a_duration_whose_key_tells_its_unit_is_read(key: str, times: int) -> None:
    line = json.dumps(OWN | {key: 12})
    assert claiming(line) == ["json"]
    assert rows("json", *[line] * times) == [(TIME, "a", "/a", 200, 0.012)] * times


@pytest.mark.parametrize(
    "key",
    [
        *["responseTime", "timeTaken", "totalTime", "request_time", "response_time", "latency", "elapsed"],
        *["took", "Duration", "rt", "tookMs", "duration_millis", "response_ms"],
    ],
)
def test_an_object_whose_duration_would_not_be_read_is_not_claimed(key: str) -> None:
    assert claiming(json.dumps(OWN | {key: 12})) == []
    assert claiming(json.dumps(OWN | {key: 12, "duration": 0.012})) == ["json"]


@pytest.mark.parametrize("key", ["time", "@timestamp", "ts"])
def test_an_object_whose_time_would_not_be_read_is_not_claimed(key: str) -> None:
    line = json.dumps({name: value for name, value in OWN.items() if name != "timestamp"})
    assert claiming(line) == ["json"]  # the time may be that of what the line is wrapped in
    assert claiming(json.dumps(json.loads(line) | {key: "2024-10-01T00:00:01Z"})) == []


@pytest.mark.parametrize(
    "others",
    [{"db": {"duration": 3}}, {"took": {"db": 3}}, {"elapsed": "soon"}, {"date": "today"}, {"latency": [1]}],
)
def test_what_is_no_duration_of_the_request_does_not_count(others: dict[str, object]) -> None:
    assert claiming(json.dumps(OWN | others)) == ["json"]


@pytest.mark.parametrize("name", ["ecs", "otel"])
def test_no_object_is_claimed_whose_duration_would_not_be_read(name: str) -> None:
    line = KINDS[name].example.replace('"event":{"duration":12300000}', '"took_ms":12')
    line = line.replace(',"http.server.request.duration":0.0123}}', '},"took_ms":12}')
    assert "took_ms" in line
    assert claiming(line) == []


def test_caddy_called_its_duration_latency_once() -> None:
    line = KINDS["caddy"].example.replace('"duration"', '"latency"')
    assert claiming(line) == ["caddy"]
    assert [row[4] for row in rows("caddy", line)] == [0.0123]


# Objects as LOG_JSON_FIELDS describes them


def test_a_map_is_of_lines_with_its_keys() -> None:
    is_mine = described_by("timestamp=t|ts,customer_id=user.id,path=p,status_code=s")
    assert is_mine('{"ts":null,"p":"/","s":200}')
    assert is_mine('{"user":{"id":1},"p":"/","s":200}')
    assert not is_mine('{"p":"/","s":200}')
    assert not is_mine('{"t":1,"user":{"id":1},"p":"/"}')
    assert not is_mine(KINDS["json"].example)


def test_what_is_no_map_describes_nothing() -> None:
    with pytest.raises(FormatError, match=r"^LOG_JSON_FIELDS: found 'x', expected"):
        described_by("x")


@pytest.mark.parametrize("name", ["auto", "docker"])
def test_lines_that_a_map_describes_are_found_wrapped_or_not(name: str) -> None:
    line = '{"t":1727740801,"c":"a","p":"/a?b","s":200,"d":12}'
    settings = {"log_json_fields": "timestamp=t,customer_id=c,path=p,status_code=s,duration=d"}
    wrapped = {"log": f"{line}\n", "stream": "stdout", "time": "2024-12-26T16:22:13Z"}
    data = (line if name == "auto" else json.dumps(wrapped, separators=(",", ":"))).encode()
    options = of_whole(data, format_options("auto", log_duration_unit="ms", **settings))
    assert options.name == ("json" if name == "auto" else "docker")
    assert open_format(options).parse(data, 0).records.drop("offset").rows() == [
        (TIME, "a", "/a", 200, 0.012)
    ]


JSON = '{"timestamp":1727740801,"host":"h","tenant":{"id":"t"},"path":"/api/x/y","status_code":200,"d":1}'
OTHER = JSON.replace('"t"', '"-"')


@pytest.mark.parametrize("times", [1, 200])
@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        ("tenant.id,host", ["t", "h"]),
        ("customer_id,host", ["h", "h"]),
        ("/api/{customer}/", ["x", "x"]),
        ("tenant.id,/api/{customer}", ["t", "x"]),
        ("tenant.id", ["t"]),
    ],
)
def test_customers_are_told_by_keys_or_parts_of_the_path(
    customer: str, expected: list[str], times: int
) -> None:
    found = parsed("json", *[JSON, OTHER] * times, log_customer=customer)
    assert found.records["customer_id"].to_list() == expected * times
    assert found.rejects.height == (2 - len(expected)) * times


@pytest.mark.parametrize("times", [1, 200])
def test_paths_of_objects_are_cut_told_apart_and_excluded(times: int) -> None:
    line = '{"timestamp":1727740801,"customer_id":"c","path":"%s","status_code":200}'
    lines = [line % path for path in ("/a?b=c", r"/b\u003fc", "/health/x", "/orders/7", r"\/health")]
    found = parsed("json", *lines * times, log_exclude="/health*", log_path_patterns="/orders/{id}")
    assert found.records["path"].to_list() == ["/a", "/b", "/orders/{id}"] * times
    assert (found.blanks, found.rejects.height) == (2 * times, 0)


@pytest.mark.parametrize("times", [1, 200])
def test_a_customer_of_a_dash_is_none(times: int) -> None:
    line = '{"timestamp":1727740801,"customer_id":"-","path":"/","status_code":200}'
    found = parsed("json", *[line] * times)
    assert (found.records.height, found.rejects.height) == (0, times)


@pytest.mark.parametrize("customer", ["client", "client,ts.x", "client,/x/{customer}"])
def test_a_customer_of_one_log_is_none_of_those_that_write_other_objects(customer: str) -> None:
    line = '{"timestamp":1727740801,"client":"a","path":"/","status_code":200,"customer_id":null}'
    assert [row[1] for row in rows("json", line, log_customer=customer)] == ["a"]
    for name in ("caddy", "ecs"):
        found = parsed(name, KINDS[name].example, log_customer=customer)
        assert [reason.partition(":")[0] for reason in found.rejects["reason"]] == ["customer_id"]


@pytest.mark.parametrize(
    ("agent", "user", "excluded"),
    [("user_agent", "u", 1), ("http_user_agent", "user_agent.u", 1), ("a", "agent.u", 0)],
)
def test_agents_of_objects_are_found_where_they_usually_are(agent: str, user: str, excluded: int) -> None:
    line = json.dumps({"t": 1727740801, user: "c", "p": "/", "s": 200, agent: "curl-bot"})
    field_map = f"timestamp=t,customer_id={user},path=p,status_code=s"
    found = parsed("json", line, log_json_fields=field_map, log_exclude="bots")
    assert (found.records.height, found.blanks) == (1 - excluded, excluded)


def test_of_a_whole_url_of_ecs_the_path_is_what_is_behind_the_host() -> None:
    example = json.loads(KINDS["ecs"].example) | {"url": {"original": "https://shop.example:80/cart?item=7"}}
    assert rows("ecs", json.dumps(example))[0][2] == "/cart"


@pytest.mark.parametrize("times", [1, 300])
@pytest.mark.parametrize("customer", ["", "user,host", "/{customer}/x,host"])
@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("shop.example:8443", "shop.example"),
        ("[2001:db8::2]:80", "[2001:db8::2]"),
        ("shop.example", "shop.example"),
        ("[::1]", "[::1]"),
        ("", "2001:db8::1"),
    ],
)
def test_the_port_of_a_host_is_left_out(host: str, name: str, customer: str, times: int) -> None:
    request = {"host": host, "client_ip": "2001:db8::1", "uri": "/cart"}
    line = json.dumps(json.loads(KINDS["caddy"].example) | {"request": request})
    settings = {"log_customer": f"{customer},address"} if customer else {}
    assert [row[1] for row in rows("caddy", *[line] * times, **settings)] == [name] * times


def test_what_is_no_host_keeps_what_is_like_a_port() -> None:
    line = KINDS["caddy"].example.replace('"user_id":""', '"user_id":"bob:12"')
    assert rows("caddy", line, log_customer="user,host")[0][1] == "bob:12"


STANDARD = {"timestamp": 1727740801, "customer_id": "a", "path": "/", "status_code": 200}


@pytest.mark.parametrize("name", ["json", "ecs", "otel"])
@pytest.mark.parametrize(
    "others",
    [{"execution_time": 12}, {"X-Response-Time": "12ms"}, {"timing": {"duration": 12.3}}, {"labels.took": 1}],
)
def test_an_object_with_a_duration_under_another_key_is_nobodys(name: str, others: dict[str, object]) -> None:
    example = without_duration(name)
    assert claiming(json.dumps(example)) == [name]
    assert claiming(json.dumps(example | others)) == []


@pytest.mark.parametrize("name", ["json", "ecs", "otel", "caddy", "traefik-json"])
@pytest.mark.parametrize(
    "others",
    [
        {"upstream": {"duration": 1}, "db": {"duration_ms": 1}, "view": 1.5, "queue": {"latency": 1}},
        {"timeout": 30, "timeout_ms": 30, "uptime": 5, "ttl": 60, "expires_ms": 5, "request_id": 7, "D": 1},
    ],
)
def test_keys_that_are_no_durations_of_the_request_change_nothing(
    name: str, others: dict[str, object]
) -> None:
    assert claiming(json.dumps(without_duration(name) | others)) == [name]


def without_duration(name: str) -> dict[str, object]:
    example: dict[str, object] = json.loads(KINDS[name].example)
    attributes = example.get("attributes")
    if isinstance(attributes, dict):
        del attributes["http.server.request.duration"]
    return {key: value for key, value in example.items() if key not in ("duration", "Duration", "event")}


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("ecs", {"labels": {"duration_ms": 12.5}}),
        ("ecs", {"http.response.duration_ms": 12.5}),
        ("otel", {"attributes.duration_ms": 12.5}),
    ],
)
def test_durations_of_a_told_unit_are_read_where_programs_add_them(
    name: str, others: dict[str, object]
) -> None:
    line = json.dumps(without_duration(name) | others)
    assert claiming(line) == [name]
    assert [row[4] for row in rows(name, line)] == [0.0125]


@pytest.mark.parametrize("times", [1, 300])
def test_a_duration_whose_key_tells_the_unit_comes_before_a_bare_one(times: int) -> None:
    line = json.dumps(STANDARD | {"duration": 12, "duration_ms": 12})
    assert [row[4] for row in rows("json", *[line] * times)] == [0.012] * times
