"""The format logfmt, by lines as its writers show them and against plain Python."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.errors import FormatError
from tailmetrics.formats import KINDS, open_format
from tailmetrics.records import ParsedLines
from tests.builders import format_options
from tests.formats.logs import unhurried
from tests.paths import ROOT

TIME = datetime.fromisoformat("2024-10-01 00:00:01")


def parse(log: str, **settings: object) -> ParsedLines:
    return open_format(format_options("logfmt", **settings)).parse(log.encode(), 0)


def row(line: str, **settings: object) -> tuple[object, ...]:
    parsed = parse(line, **settings)
    assert parsed.rejects.rows() == []
    return parsed.records.drop("offset").row(0)


def test_every_line_of_a_log_with_keys_in_any_order() -> None:
    parsed = parse((ROOT / "tests" / "data" / "logs" / "logfmt.log").read_text())
    assert parsed.records.rows() == [
        (TIME, "acme", "/a", 200, 0.316, 0),
        (TIME, "acme", "/a b", 200, 0.316, 81),
        (TIME, "acme", "/a", 200, 1.2, 166),
    ]
    assert (parsed.rejects.rows(), parsed.blanks) == ([], 0)


# As logrus, log15, slog, Traefik and nginx with a logfmt format write their lines.
DOCUMENTED = [
    (
        (
            'time="2024-10-01T00:00:01Z" level=info msg="request done" user=bob uri="/a?b=c d" status=200 '
            "duration=1.5ms"
        ),
        ("bob", "/a", 200, 0.0015),
    ),
    (
        (
            't=2024-10-01T00:00:01+0000 lvl=info msg="Request Completed" path=/metrics status=200 '
            "remote_addr=10.0.0.1 duration_ms=12 size=5"
        ),
        ("10.0.0.1", "/metrics", 200, 0.012),
    ),
    (
        (
            "time=2024-10-01T00:00:01.000Z level=INFO msg=request host=shop.example path=/x status=404 "
            "latency=12.5µs"
        ),
        ("shop.example", "/x", 404, 0.0000125),
    ),
    (
        "ts=1727740801 customer=acme url=/y code=503 elapsed=1m2.5s debug trace=false",
        ("acme", "/y", 503, 62.5),
    ),
    (
        (
            'timestamp="01/Oct/2024:02:00:01 +0200" remote_addr=::1 remote_user=- request_uri=/z '
            "status_code=302 "
            "request_time=0.004"
        ),
        ("::1", "/z", 302, 0.004),
    ),
]


@pytest.mark.parametrize(("line", "expected"), DOCUMENTED)
def test_lines_as_they_are_written(line: str, expected: tuple[object, ...]) -> None:
    assert row(line) == (TIME, *expected)


BASE = "ts=2024-10-01T00:00:01Z tenant=acme path=/a status=200"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ('"/a b"', "/a b"),
        (r'"/\"q\""', '/"q"'),
        (r'"/back\\slash"', r"/back\slash"),
        (r'"/\u00e9\t"', "/é\t"),
        (r'"/\ud800"', r"/\ud800"),
        (r'"/\x41"', r"/\x41"),
        (r"/a\b", r"/a\b"),
        ("/a=b", "/a=b"),
        ('"/a path=/b status=500 "', "/a path=/b status=500 "),
        (r'"/a \" path=/b status=500"', '/a " path=/b status=500'),
    ],
)
def test_values_in_quotes_have_escapes_and_may_look_like_pairs(written: str, path: str) -> None:
    assert row(BASE.replace("/a", written))[2] == path
    assert row(f"msg=x {BASE}".replace("msg=x", f"msg={written}"))[2:4] == ("/a", 200)


@pytest.mark.parametrize("between", [" ", "  ", "\t", " \t "])
def test_white_space_between_pairs_may_be_any(between: str) -> None:
    assert row(between + BASE.replace(" ", between) + between) == (TIME, "acme", "/a", 200, None)


def test_a_key_that_is_the_end_of_another_is_not_that_key() -> None:
    assert row(f"http_status=500 xpath=/b {BASE}")[2:4] == ("/a", 200)


def test_of_a_key_that_is_there_twice_the_first_value_counts() -> None:
    assert row(f"{BASE} status=500")[3] == 200


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("just words", "line: found 'just words', expected pairs such as key=value"),
        ('a="b', "line: found 'a=\"b', expected pairs such as key=value"),
        ('a="b"c d="e"', 'line: found \'a="b"c d="e"\', expected pairs such as key=value'),
        (f"{BASE.replace('=200', '=ok')}", "status_code: found 'ok', expected"),
        ("path=/a status=200 user=b", "timestamp: found nothing, expected"),
        (f"{BASE.replace('tenant', 'x')}", "customer_id: found nothing, expected"),
    ],
)
def test_what_is_no_request_is_a_reject_with_a_reason(line: str, reason: str) -> None:
    [found] = parse(line).rejects["reason"]
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("pair", "seconds"),
    [
        ("duration=0.316", 0.316),
        ("duration=316ms", 0.316),
        ("latency_ms=316", 0.316),
        ("took_us=316", 0.000316),
        ("elapsed_ns=316", 0.000000316),
        ("response_time_seconds=2", 2.0),
        ("duration_s=2", 2.0),
        ("duration_ms=1.5s", 1.5),
        ("duration=- elapsed=2", 2.0),
        ("responseTimeMs=316", 0.316),
        ("elapsed_millis=316", 0.316),
        ("time_ms=316", 0.316),
        ("request_time=0.3 response_time=0.1", 0.3),
        ("duration=316 duration_ms=316", 0.316),
        ("dur=316ms", 0.316),
        ("timeTaken=1.5s duration_us=1", 1e-06),
        ("duration_ms=-1", None),
    ],
)
def test_durations_are_in_the_unit_behind_them_or_of_their_key(pair: str, seconds: float | None) -> None:
    assert row(f"{BASE} {pair}")[4] == seconds


def test_the_setting_tells_the_unit_of_a_plain_duration() -> None:
    assert row(f"{BASE} duration=316", log_duration_unit="ms")[4] == 0.316


@pytest.mark.parametrize(
    ("pairs", "customer"),
    [
        ("host=h user=u tenant=t customer=c customer_id=i", "i"),
        ("host=h user=u tenant=t customer=c", "c"),
        ("host=h user=u tenant=t", "t"),
        ("host=h user=u tenant=-", "u"),
        ("host=h user= ip=::1", "h"),
        ("host=h:8443", "h"),
        ("ip=::1", "::1"),
    ],
)
def test_the_customer_is_the_first_of_the_usual_keys_that_says_something(pairs: str, customer: str) -> None:
    assert row(f"{BASE.replace('tenant=acme ', '')} {pairs}")[1] == customer


def test_any_key_may_tell_the_customer() -> None:
    assert row(f"{BASE} org=o", log_customer="shop,org")[1] == "o"


@pytest.mark.parametrize("pairs", ["requestPath=/a statusCode=404", "request_path=/a http_status=404"])
def test_paths_and_statuses_may_be_called_otherwise(pairs: str) -> None:
    assert row(f"ts=2024-10-01T00:00:01Z tenant=acme {pairs}")[2:4] == ("/a", 404)


def test_a_field_map_is_honoured() -> None:
    field_map = "timestamp=when,customer_id=who|tenant,path=what,status_code=result,duration=d"
    line = "when=2024-10-01T00:00:01Z tenant=acme what=/a result=200 d=2 status=500"
    assert row(line, log_json_fields=field_map) == (TIME, "acme", "/a", 200, 2.0)


def test_a_wrong_field_map_is_told_when_it_is_opened() -> None:
    with pytest.raises(FormatError, match="LOG_JSON_FIELDS: found 'size=x', expected column=key"):
        open_format(format_options("logfmt", log_json_fields="size=x"))


def test_bots_are_left_out_by_the_user_agent() -> None:
    parsed = parse(f'{BASE} user_agent="Googlebot/2.1 (x)"\n{BASE} user_agent=curl\n', log_exclude="bots")
    assert (parsed.records.height, parsed.blanks) == (1, 1)


def test_a_line_with_time_and_status_is_claimed() -> None:
    assert [name for name, kind in KINDS.items() if kind.claims(KINDS["logfmt"].example)] == ["logfmt"]


@pytest.mark.parametrize(
    "line",
    [
        "at=info method=GET path=/ status=200",
        "2024-10-01T00:00:01Z app: ts=1 status=200 path=/",
        "ts=1 status=200",
        'ts=1 msg="x status=200" path=/',
        '{"ts": "a", "status=": "b"}',
    ],
)
def test_other_lines_are_not_claimed(line: str) -> None:
    assert not KINDS["logfmt"].claims(line)


# The same in plain Python.

_keys = st.sampled_from(
    ["ts", "time", "tenant", "user", "path", "uri", "status", "duration", "msg", "", "path2"]
)
_raw = st.text(st.sampled_from('ab/ =\t"\\é\u2028\x85'), max_size=6)
_values = st.one_of(
    st.sampled_from(["2024-10-01T00:00:01Z", "200", "404", "0.5", "5ms", "-", ""]),
    _raw,
    _raw.map(lambda text: json.dumps(text, ensure_ascii=False)),
)
_pairs = st.tuples(_keys, _values).map("=".join) | _raw
_lines = st.lists(_pairs, max_size=6).map(" ".join) | st.lists(_pairs, max_size=4).map(
    lambda pairs: " ".join([*pairs, BASE])
)


_MOMENTS = {
    "2024-10-01T00:00:01Z": TIME,
    **{
        text: datetime.fromisoformat("1970-01-01") + timedelta(seconds=float(text))
        for text in ("200", "404", "0.5")
    },
}


def record_of(line: str) -> tuple[object, ...] | str | None:
    """A line in plain Python, a character at a time where it matters; None when it is a reject."""
    tokens = re.findall(r'[^ \t"=]*="(?:[^"\\]|\\.)*"(?=[ \t]|\Z)|[^ \t"]+(?=[ \t]|\Z)', line)
    if "=" not in line or re.sub(r"[ \t]", "", "".join(tokens)) != re.sub(r"[ \t]", "", line):
        return None
    of: dict[str, str] = {}
    for token in tokens:
        key, separator, value = token.partition("=")
        if separator:
            of.setdefault(key, _unquoted(value))
    time = _first(of, "ts", "time")
    customer, path = _first(of, "tenant", "user", telling=True), _first(of, "path", "uri")
    status, duration = of.get("status"), of.get("duration")
    seconds = {"200": 200.0, "404": 404.0, "0.5": 0.5, "5ms": 0.005, "-": None, "": None, None: None}
    if status == "-":
        return "no answer"
    moment = _MOMENTS.get(time or "")
    path = "-" if path == "" else path
    wrong = moment is None or status not in ("200", "404") or duration not in seconds
    if wrong or not customer or not path or any(ord(each) in (9, 0x85) for each in customer):
        return None
    return moment, customer, path, int(status or 0), seconds[duration]


def _first(of: dict[str, str], *keys: str, telling: bool = False) -> str | None:
    there = [of[key] for key in keys if key in of]
    good = [value for value in there if value not in ("", "-")]
    return next(iter(good if telling else good + there), None)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value, strict=False))
    except ValueError:
        return value[1:-1]


@unhurried
@given(lines=st.lists(_lines, max_size=8))
def test_the_same_as_a_line_at_a_time_in_plain_python(lines: list[str]) -> None:
    # What no answer is, is for the rules of fields.
    lines = [line for line in lines if line.strip() and record_of(line) != "no answer"]
    parsed = parse("".join(f"{line}\n" for line in lines))
    expected = [record for line in lines if (record := record_of(line)) is not None]
    assert parsed.records.drop("offset").rows() == expected
    assert parsed.rejects.height == len(lines) - len(expected)


def test_a_request_line_tells_the_path() -> None:
    line = 'ts=1727740801 host=a.example request="GET https://e.org/z?key=1 HTTP/1.1" status=200'
    assert row(line)[2] == "/z"
