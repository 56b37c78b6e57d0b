from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.errors import UndecidedFormat
from tailmetrics.formats import KINDS, Kind, detection, open_by_line, open_format
from tailmetrics.formats.detection import decided, head_of, is_of, nearest, of_whole, suggestions
from tailmetrics.formats.kinds import never_claims
from tests.builders import format_options
from tests.paths import ROOT

from .wrappers.wrapping import cri, docker

COMBINED = '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.123'
REQUESTS = "2024-11-06 06:33:33 cust_40 /api/v1/resource1 400 0.316"
AUTO = format_options("auto")
DETECTED = [kind for kind in KINDS.values() if kind.example and kind.claims is not never_claims]
of_each_kind = pytest.mark.parametrize("kind", DETECTED, ids=lambda kind: kind.name)


def name_of(*lines: str, is_whole: bool = False, **settings: str) -> str | None:
    """The format that is decided by whole lines."""
    found = decided(
        "".join(f"{line}\n" for line in lines).encode(), format_options("auto", **settings), is_whole=is_whole
    )
    return None if found is None else found.name


@pytest.mark.parametrize("kind", DETECTED, ids=lambda kind: kind.name)
def test_the_example_of_a_format_is_of_it(kind: Kind) -> None:
    assert name_of(kind.example) == kind.name


@pytest.mark.parametrize("kind", DETECTED, ids=lambda kind: kind.name)
def test_no_other_format_claims_the_example(kind: Kind) -> None:
    lines = kind.example.split("\n")
    claiming = {other.name for line in lines for other in KINDS.values() if other.claims(line)}
    assert claiming == {kind.name}


def test_a_format_that_is_named_is_not_looked_for() -> None:
    options = format_options("json")
    assert decided(REQUESTS.encode(), options, is_whole=True) is options


def test_an_unfinished_line_decides_only_when_no_more_comes() -> None:
    assert decided(REQUESTS.encode(), AUTO, is_whole=False) is None
    assert of_whole(REQUESTS.encode(), AUTO).name == "requests"


def test_lines_of_no_format_are_refused_with_the_nearest_ones_and_what_to_do() -> None:
    with pytest.raises(
        UndecidedFormat, match=r"^format: found 'hello', expected a line of a known format.*LOG_F"
    ):
        name_of("hello")


def test_one_strange_line_is_outvoted() -> None:
    assert name_of("hello", REQUESTS, REQUESTS) == "requests"


def test_half_of_the_lines_decide_nothing() -> None:
    with pytest.raises(UndecidedFormat, match="found 1 of 2 lines of requests, expected more than half"):
        name_of("hello", REQUESTS)


def test_the_first_of_two_formats_decides() -> None:
    assert name_of(COMBINED, *[REQUESTS] * 5) == KINDS["nginx"].name


def test_comments_and_blank_lines_are_passed_over() -> None:
    assert name_of("# a comment", "", "  ", REQUESTS) == "requests"


def test_what_the_settings_describe_is_asked_first() -> None:
    pattern = r"(?P<timestamp>\S+ \S+) (?P<customer_id>\S+) (?P<path>\S+) (?P<status_code>\S+) \S+"
    assert name_of(REQUESTS, log_regex=pattern) == "regex"


def test_a_result_log_is_told_by_its_first_test() -> None:
    head = b"# Iteration 1\n# Test: apples Test\n# This is apples Test\n# Result: PASS\n"
    assert is_of("results", lambda offset, length: head[offset : offset + length], AUTO)


@given(st.lists(st.sampled_from([COMBINED, REQUESTS, "hello", "", "# x"]), max_size=12), st.data())
def test_more_lines_never_change_what_was_decided(lines: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(lines)))
    try:
        early = name_of(*lines[:first])
    except UndecidedFormat:
        early = None
    if early is not None:
        assert name_of(*lines) == early


def test_the_nearest_format_is_told_with_the_field_at_which_it_fails() -> None:
    assert isinstance(nearest("hello"), list)


@pytest.mark.parametrize("name", ["iis", "cloudfront", "logfmt"])
def test_logs_as_they_are_written_are_told_by_their_first_lines(name: str) -> None:
    head = (ROOT / "tests" / "data" / "logs" / f"{name}.log").read_bytes()
    assert of_whole(head, format_options("auto")).name == name


def test_of_an_object_the_nearest_format_is_told_with_the_field_that_it_lacks() -> None:
    line = '{"timestamp": "2024-10-01T00:00:01Z", "tenant": "a", "path": "/cart", "status_code": 200}'
    found = nearest(line)
    assert (found[0].name, found[0].field) == ("json", "customer_id")
    assert len(found) == 2


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (b"a\nb\n", b"a\nb\n"),
        (b"a", b"a"),
        (b"x" * 200_000, b""),
        (b"x" * 200_000 + b"\na\n", b"a\n"),
        (b"x" * 65_536 + b"\n", b""),
        (b"", b""),
    ],
    ids=[
        "lines",
        "an unfinished line",
        "an unfinished long line",
        "behind a long line",
        "a long line",
        "nothing",
    ],
)
def test_the_head_of_a_log_begins_behind_first_lines_that_are_longer(log: bytes, expected: bytes) -> None:
    assert head_of(lambda offset, length: log[offset : offset + length]) == expected


CARRIED: dict[str, Callable[[str], str]] = {
    "": str,
    "docker:": docker,
    "cri:": cri,
    "syslog:": lambda line: f"Oct 10 13:55:36 web1 app[7]: {line}",
    "journald:": lambda line: json.dumps({"__REALTIME_TIMESTAMP": "1728568536000000", "MESSAGE": line}),
    "envelope:": lambda line: json.dumps({"message": line, "host": "web1"}),
    "prefixed:": lambda line: f"web-1  | {line}",
    "prefixed:prefixed:": lambda line: f"web-1  | 2024-10-10T13:55:36Z {line}",
    "cri:syslog:": lambda line: cri(f"Oct 10 13:55:36 web1 app[7]: {line}"),
    "envelope:docker:": lambda line: json.dumps({"message": docker(line), "host": "web1"}),
    "envelope:cri:syslog:": lambda line: json.dumps({"log": cri(f"Oct 10 13:55:36 a: {line}"), "date": 1}),
}
PINO = (
    '{"level":30,"time":1709619915123,"hostname":"web1","req":{"url":"/a?b","headers":{"host":"a.example"}},'
    '"res":{"statusCode":200},"responseTime":12,"msg":"request completed"}'
)


@pytest.mark.parametrize("wrappers", CARRIED)
def test_of_an_object_of_no_known_format_its_keys_suggest_the_settings(wrappers: str) -> None:
    fields = "timestamp=time,customer_id=req.headers.host,path=req.url,status_code=res.statusCode"
    fields += ",duration=responseTime"
    with pytest.raises(UndecidedFormat) as raised:
        name_of(CARRIED[wrappers](PINO))
    expected = f"LOG_FORMAT={wrappers}json with LOG_JSON_FIELDS={fields}, LOG_DURATION_UNIT=ms"
    assert str(raised.value).endswith(f"its keys suggest {expected}")


@pytest.mark.parametrize("wrappers", CARRIED)
@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (PINO, r"LOG_FORMAT=(\S+) with LOG_JSON_FIELDS=(\S+), LOG_DURATION_UNIT=(ms)"),
        (f"{COMBINED.removesuffix(' 0.123')} 152340", "LOG_FORMAT=(.*?)() with LOG_DURATION_UNIT=(us)"),
        (
            "method=GET path=/a controller=Home status=200 duration=12.34 time=1709619915 user=a",
            "LOG_(?=.*LOG_FORMAT=(.*))()DURATION_UNIT=(ms)",
        ),
    ],
    ids=["an object", "a whole number", "lograge"],
)
def test_what_is_told_of_a_line_reads_it_when_it_is_written_so(wrappers: str, line: str, advice: str) -> None:
    log = CARRIED[wrappers](line)
    with pytest.raises(UndecidedFormat) as raised:
        name_of(log)
    found = re.search(advice, str(raised.value))
    assert found is not None
    settings = {"log_duration_unit": found[3]} | ({"log_json_fields": found[2]} if found[2] else {})
    parsed = open_format(format_options(found[1], **settings)).parse(log.encode(), 0)
    assert parsed.records.height == 1


def test_an_object_that_is_no_request_does_not_hide_what_is_told_of_the_next() -> None:
    with pytest.raises(UndecidedFormat, match="its keys suggest LOG_FORMAT=json with"):
        name_of('{"level":30,"time":1709619915123,"hostname":"web1","msg":"listening"}', PINO)


def test_objects_with_a_message_do_not_decide_for_requests_that_are_none() -> None:
    noise = '{"time":"2024-10-01T00:00:01Z","hostname":"web1","msg":"listening"}'
    request = '{"timestamp":"2024-10-01T00:00:01Z","customer_id":"c","path":"/","status_code":200}'
    assert name_of(*[noise] * 3, *[request] * 4) == "json"


@pytest.mark.parametrize(
    "line",
    [KINDS["elb"].example, KINDS["requests"].example, KINDS["uvicorn"].example, KINDS["heroku"].example[7:]],
)
def test_a_format_whose_lines_begin_with_a_time_is_no_wrapped_line(line: str) -> None:
    kind = next(kind for kind in KINDS.values() if kind.claims(line))
    assert name_of(line) in {kind.name, "syslog"}


def test_of_an_address_in_front_it_is_not_told_to_leave_it_out() -> None:
    with pytest.raises(UndecidedFormat) as raised:
        name_of(f"198.51.100.7 15234 {COMBINED.partition(' ')[2]}")
    assert "written without" not in str(raised.value)


def test_blocks_of_lines_decide_nothing_inside_of_a_wrapper() -> None:
    with pytest.raises(UndecidedFormat, match="LOG_FORMAT=cri:FORMAT"):
        name_of(cri("# Test: apples"), cri("# Result: PASS"))


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("web-1 nginx ", r" \(stern --output raw\);"),
        ("2024-12-26 16:22:13,123 DEBG web stdout output: ", ";"),
        (" ", r" \(rsyslog: %msg:2:\$% for %msg%\);"),
    ],
)
def test_of_a_line_behind_strange_words_it_is_told_to_leave_them_out(words: str, remedy: str) -> None:
    told = f"behind '{words}' it is of the format nginx: have it written without that{remedy}"
    with pytest.raises(UndecidedFormat, match=told):
        name_of(f"{words}{COMBINED}")


@pytest.mark.parametrize("blank", [b"\n", b" \r\n\t\n\n", b"\xef\xbb\xbf\n"])
def test_a_whole_log_of_blank_lines_needs_no_format(blank: bytes) -> None:
    options = decided(blank, AUTO, is_whole=True)
    parsed = open_format(options or AUTO).parse(blank, 0)
    assert (options, parsed.blanks, parsed.rejects.height) == (AUTO, blank.count(b"\n"), 0)


def test_of_other_ways_of_journalctl_that_in_json_is_told() -> None:
    with pytest.raises(UndecidedFormat, match=r"found '{', .*have them as `journalctl -o json`"):
        name_of("{", '\t"__CURSOR" : "s=1",', '\t"MESSAGE" : "a"', "}")


def test_of_words_that_tell_nothing_no_format_string_is_suggested() -> None:
    with pytest.raises(UndecidedFormat) as raised:
        name_of("\r".join([COMBINED] * 5))
    assert "suggest" not in str(raised.value)


def test_what_is_inside_of_a_wrapped_line_is_told_when_it_is_of_no_known_format() -> None:
    line = "Oct 10 13:55:36 web1 nginx: hello"
    with pytest.raises(UndecidedFormat, match=r"found 'hello' inside of syslog, .*LOG_FORMAT=syslog:FORMAT$"):
        name_of(line)


def test_what_is_ambiguous_is_told_of_a_wrapped_line_too() -> None:
    with pytest.raises(UndecidedFormat, match="a whole number behind the combined format"):
        name_of(f"Oct 10 13:55:36 web1 httpd: {COMBINED.removesuffix(' 0.123')} 152340")


def test_milliseconds_of_lograge_are_refused_until_their_unit_is_set() -> None:
    line = "method=GET path=/a controller=Home action=index status=200 duration=12.34 time=1709619915 user=a"
    with pytest.raises(UndecidedFormat, match=r"duration=12.34 .* LOG_DURATION_UNIT=ms with"):
        name_of(line)
    assert name_of(line, log_duration_unit="ms") == "logfmt"


PAIRS = "ts=2024-10-01T00:00:01Z user=a path=/a status=200"


@pytest.mark.parametrize("pair", ["duration=12", "latency=0", "responseTime=12", "timeTaken=0.5", "dur=12.5"])
def test_pairs_whose_duration_is_of_an_unknown_unit_are_refused_until_it_is_set(pair: str) -> None:
    line = f"{PAIRS} {pair}"
    with pytest.raises(UndecidedFormat, match=r"expected LOG_DURATION_UNIT=s, ms, us or ns with"):
        name_of(line)
    assert suggestions([line]) == ("LOG_DURATION_UNIT=s, ms, us or ns",)
    assert name_of(line, log_duration_unit="ms") == "logfmt"


@pytest.mark.parametrize(
    "pair",
    ["duration=0.5", "latency=12ms", 'took="1.5 s"', "responseTimeMs=12", "response_ms=12", "dur=-", "n=1"],
)
def test_pairs_whose_duration_tells_its_unit_are_logfmt(pair: str) -> None:
    assert name_of(f"{PAIRS} {pair}") == "logfmt"


def test_an_object_that_would_be_read_without_its_duration_is_refused_with_what_reads_it() -> None:
    line = '{"timestamp":1727740801,"customer_id":"a","path":"/","status_code":200,"latency":12}'
    fields = "timestamp=timestamp,customer_id=customer_id,path=path,status_code=status_code,duration=latency"
    with pytest.raises(
        UndecidedFormat, match=rf"json \(fails at duration.*LOG_JSON_FIELDS={fields}, LOG_DUR"
    ):
        name_of(line)
    assert name_of(line, log_json_fields=fields) == "json"


def test_the_time_of_pairs_may_be_that_of_what_they_are_wrapped_in() -> None:
    inside = "level=info path=/a status=200 duration=12ms host=a.example\\n"
    assert name_of(f'{{"log":"{inside}","stream":"stdout","time":"2024-12-26T16:22:13Z"}}') == "docker"


def test_a_damaged_line_of_a_wrapper_decides_nothing() -> None:
    line = '{"log":"\x01","stream":"stdout","time":"2024-12-26T16:22:13Z"}'
    inside = COMBINED.replace('"', '\\"')
    with pytest.raises(UndecidedFormat, match=r"inside of docker, .*LOG_FORMAT=docker:FORMAT$"):
        name_of(line)
    assert name_of(line, line.replace("\x01", f"{inside}\\n")) == "docker"


@pytest.mark.parametrize(
    "line",
    [
        "10/10/2024 13:55 GET /v?token=SECRET 200",
        '{"uri": "/v?token=\\"SECRET", "status": 200}',
        '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /v?token=SECRET HTTP/1.1" 200 612 123',
        'ts=2024-10-01T00:00:01Z user=a path="/v?token=SECRET" status=200 duration=12',
    ],
)
def test_why_a_log_is_undecided_shows_no_query(line: str) -> None:
    with pytest.raises(UndecidedFormat) as error:
        name_of(line)
    assert "SECRET" not in str(error.value)


BESIDE = {
    "combined": {
        "level": "http",
        "message": COMBINED.removesuffix(" 0.123"),
        "timestamp": "2024-10-10T13:55:36Z",
    },
    "logfmt": {"time": "2024-10-10T13:55:36Z", "msg": "method=GET path=/cart status=200 ip=203.0.113.9"},
}


@pytest.mark.parametrize("inside", BESIDE)
@pytest.mark.parametrize("other", [{"responseTime": 12.3}, {"event": {"duration": 12}}])
def test_a_line_without_the_duration_beside_it_is_refused_with_what_reads_the_rest(
    inside: str, other: dict[str, object]
) -> None:
    line = json.dumps(BESIDE[inside] | other)
    with pytest.raises(
        UndecidedFormat, match=r"beside a line without one.*LOG_FORMAT=envelope reads the line"
    ):
        name_of(line, json.dumps(BESIDE[inside] | other))
    assert suggestions([line]) == ("LOG_FORMAT=envelope",)


def test_lines_that_carry_a_duration_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        detection, "open_format", lambda options: opened.append(options.name) or open_format(options)
    )
    line = json.dumps(BESIDE["logfmt"] | {"responseTime": 12.3})
    with pytest.raises(UndecidedFormat):
        decided(f"{line}\n".encode() * 20, format_options("auto"), is_whole=True)
    assert opened == ["envelope"]


def test_a_duration_that_is_carried_is_lost_only_where_the_line_has_none() -> None:
    without = json.dumps(BESIDE["logfmt"] | {"responseTime": 12.3})
    with_one = json.dumps(
        BESIDE["logfmt"] | {"msg": f"{BESIDE['logfmt']['msg']} duration=0.5", "responseTime": 500}
    )
    found = decided(f"{without}\n{with_one}\n{with_one}\n".encode(), format_options("auto"), is_whole=True)
    assert found is not None
    assert found.name == "envelope"


@pytest.mark.parametrize("inside", BESIDE)
@pytest.mark.parametrize(
    "other", [{}, {"uptime": 12}, {"upstream": {"duration": 12}}, {"timeout_ms": 5}, {"db_duration": 5}]
)
def test_a_line_beside_which_no_duration_is_decides(inside: str, other: dict[str, object]) -> None:
    assert name_of(json.dumps(BESIDE[inside] | other)) == "envelope"


def test_a_line_with_a_duration_of_its_own_decides_whatever_is_beside_it() -> None:
    line = {"message": COMBINED, "timestamp": "2024-10-10T13:55:36Z", "duration_ms": 123}
    assert name_of(json.dumps(line)) == "envelope"


def test_an_object_that_tells_a_duration_beside_its_message_is_refused_with_what_reads_it() -> None:
    line = {
        "@timestamp": "2024-10-10T13:55:36.123Z",
        "message": COMBINED.removesuffix(" 0.123"),
        "status_code": 200,
        "requested_uri": "/cart",
        "remote_host": "203.0.113.9",
        "elapsed_time": 12,
    }
    with pytest.raises(UndecidedFormat, match=r"duration=elapsed_time, LOG_DURATION_UNIT=ms$"):
        name_of(json.dumps(line))


def test_of_keys_among_which_none_tells_a_duration_that_is_told() -> None:
    line = '{"time":"2024-10-10T13:55:36Z","path":"/","status":200,"client_ip":"203.0.113.9","Ta":12}'
    with pytest.raises(UndecidedFormat, match=r"status_code=status; no key for the duration was found$"):
        name_of(line)


@pytest.mark.parametrize(
    "pair", ["response-time=12ms", "execution_time=12", "http.duration=1.5ms", "latency_total=12"]
)
def test_pairs_whose_duration_is_under_another_key_are_refused_with_what_reads_it(pair: str) -> None:
    line = f"{PAIRS} {pair}"
    key = pair.partition("=")[0]
    with pytest.raises(UndecidedFormat, match="under a key that is not looked at"):
        name_of(line)
    fields, *unit = (setting.split("=", 1)[1] for setting in suggestions([line]))
    settings = {"log_json_fields": fields, "log_duration_unit": "ms" if unit else ""}
    assert fields.endswith(f",duration={key}")
    assert name_of(line, **settings) == "logfmt"
    read = open_format(format_options("logfmt", **settings)).parse(line.encode(), 0).records
    assert read["duration"].to_list() == [0.0015 if "1.5" in pair else 0.012]


@pytest.mark.parametrize(
    "pair",
    [
        *(
            "upstream_latency=12",
            "db.duration=12",
            "view=12",
            "queue_time=12",
            "timeout=12",
            "request_timeout=12",
        ),
        *(
            "uptime=12",
            "ttl=12",
            "expires_ms=12",
            "request_id=12",
            "runtime=go1.22",
            "took_over=1",
            "duration=-",
        ),
    ],
)
def test_pairs_that_are_no_duration_of_the_request_change_nothing(pair: str) -> None:
    assert name_of(f"{PAIRS} {pair}") == "logfmt"


def read_of(*lines: str) -> tuple[list[float | None], list[str]]:
    """The durations and the reasons of lines, in the format that is found."""
    head = "".join(f"{line}\n" for line in lines).encode()
    parsed = open_format(of_whole(head, AUTO)).parse(head, 0)
    return parsed.records["duration"].to_list(), parsed.rejects["reason"].to_list()


@pytest.mark.parametrize("first", ["n=1", "msg=started", "duration=-", "duration=5ms", "duration_us=5"])
@pytest.mark.parametrize("pair", ["duration=12", "timeTaken=0.5", "duration=12.34 controller=Home"])
def test_a_unit_that_no_first_line_tells_is_asked_for_when_a_duration_comes(first: str, pair: str) -> None:
    number = pair.partition("=")[2].partition(" ")[0]
    durations, reasons = read_of(f"{PAIRS} {first}", f"{PAIRS} {pair}", f"{PAIRS} duration=0 x=1")
    assert len(durations) == 2
    [reason] = reasons
    assert reason.startswith(f"duration: found '{number}', expected a unit: set LOG_DURATION_UNIT=")


@pytest.mark.parametrize("pair", ["duration=12ms", "duration=0.5", "duration_ms=12", "duration=0"])
def test_a_duration_of_a_told_unit_is_read_behind_lines_without_one(pair: str) -> None:
    assert read_of(f"{PAIRS} n=1", f"{PAIRS} {pair}")[1] == []


def test_whole_numbers_are_seconds_where_a_decimal_showed_it_first() -> None:
    assert read_of(f"{PAIRS} duration=0.5", f"{PAIRS} duration=2") == ([0.5, 2.0], [])


def test_the_unit_of_pairs_is_asked_for_where_each_line_tells_its_format() -> None:
    lines = f"{PAIRS} n=1\n{PAIRS} duration=12\n".encode()
    assert open_by_line(AUTO).parse(lines, 0).records["duration"].to_list() == [None]


DOTTED = "time=2024-10-01T00:00:01Z request.path=/a request.ip=::1 response.status=200 response.latency=12ms"
FIELDS = "timestamp=time,path=request.path,status_code=response.status,duration=response.latency"


@pytest.mark.parametrize("settings", [{}, {"log_duration_unit": "ms"}])
def test_pairs_are_logfmt_when_they_have_the_keys_of_the_map(settings: dict[str, str]) -> None:
    fields = f"{FIELDS},customer_id=request.ip"
    assert name_of(DOTTED, log_json_fields=fields, **settings) == "logfmt"
    with pytest.raises(UndecidedFormat):
        name_of(DOTTED.replace("request.path", "path"), log_json_fields=fields, **settings)


@pytest.mark.parametrize("customer", ["tenant.id", "nothing,tenant.id", "/{customer}"])
def test_an_object_whose_customer_the_setting_names_is_json(customer: str) -> None:
    line = '{"timestamp":1727740801,"tenant":{"id":"a"},"path":"/a/b","status_code":200,"duration":0.5}'
    assert name_of(line, log_customer=customer) == "json"


@pytest.mark.parametrize("name", ["caddy", "ecs", "otel", "traefik-json", "json"])
def test_a_customer_of_the_settings_takes_no_object_from_a_server(name: str) -> None:
    assert name_of(KINDS[name].example, log_customer="user,address,host,/{customer}") == name


def test_an_object_without_the_customer_that_the_setting_names_is_refused() -> None:
    with pytest.raises(UndecidedFormat):
        name_of('{"timestamp":1727740801,"path":"/a","status_code":200}', log_customer="tenant.id")
