"""What holds for every format, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.errors import FormatError
from tailmetrics.formats import KINDS, LineFormat, kind_of, open_entry, open_format
from tailmetrics.formats.framing import framing_of, opens_block
from tailmetrics.formats.w3c.directives import header_after
from tailmetrics.records import RECORD_SCHEMA, REJECT_SCHEMA
from tailmetrics.settings import LogPath, Settings
from tests.builders import format_options

from .logs import GOOD, few_of_each, logs_of, many_of_each, request_lines
from .reference import lines_of

PATTERN = (
    r"(?P<timestamp>\S+ \S+) (?P<customer_id>\S+) (?P<path>\S+) (?P<status_code>\S+)(?: (?P<duration>\S+))?"
)
COMMON = '::1 - bob [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 612'
LINES = {name: kind.example for name, kind in KINDS.items()} | {
    "requests": GOOD,
    "nginx": f'{COMMON} "-" "curl" 0.5',
    "common": COMMON,
    "combined": f'{COMMON} "-" "curl"',
    "vhost_combined": f'shop.example:443 {COMMON} "-" "curl"',
    "json": '{"timestamp":1727740801,"customer_id":"a","path":"/","status_code":200,"duration":0.5}',
    "caddy": '{"level":"info","ts":1727740801.5,"msg":"handled request","request":{"client_ip":"::1",'
    '"host":"a","uri":"/"},"duration":0.5,"status":200}',
    "traefik-json": '{"ClientHost":"::1","DownstreamStatus":200,"Duration":500000000,"RequestHost":"a",'
    '"RequestPath":"/","StartUTC":"2024-10-01T00:00:01Z"}',
    "ecs": '{"@timestamp":"2024-10-01T00:00:01Z","client":{"ip":"::1"},"http.response.status_code":200,'
    '"url":{"path":"/"},"event":{"duration":500000000}}',
    "otel": '{"timeUnixNano":"1727740801000000000","attributes":{"http.response.status_code":200,'
    '"url.path":"/","client.address":"::1","http.server.request.duration":0.5}}',
    "regex": "2024-10-01 00:00:01 a / 200 0.5",
    "iis": "#Fields: date time s-ip cs-uri-stem c-ip sc-status time-taken\n"
    "2024-10-01 00:00:01 ::1 / a 200 500",
    "cloudfront": "#Fields: date time x-edge-location cs-uri-stem c-ip sc-status time-taken\n"
    "2024-10-01\t00:00:01\tLAX\t/\ta\t200\t0.5",
    "w3c": "#Fields: date time cs-uri-stem c-ip sc-status time-taken\n2024-10-01 00:00:01 / a 200 0.5",
    "logfmt": 'ts=1727740801 tenant=a path="/" status=200 duration=0.5',
    "results": "# Test: a\n# detail\n# Result: PASS",
}

in_every_format = pytest.mark.parametrize("name", KINDS)


def opened(name: str, **settings: object) -> LineFormat:
    given = Settings(_env_file=None, log_regex=PATTERN, max_line_bytes=350, **settings)  # type: ignore[arg-type, call-arg]
    return open_format(given.format_options(name))


@st.composite
def _damaged(draw: st.DrawFn, line: bytes) -> bytes:
    """The line with one byte replaced, left out or put in."""
    place = draw(st.integers(0, len(line)))
    return line[:place] + draw(st.binary(max_size=2)) + line[place + draw(st.integers(0, 1)) :]


def any_logs(name: str) -> st.SearchStrategy[bytes]:
    good = LINES[name].encode()
    return st.binary(max_size=300) | logs_of(st.just(good) | _damaged(good) | request_lines)


@in_every_format
def test_a_right_line_is_a_record(name: str) -> None:
    assert opened(name).parse(LINES[name].encode(), 0).records.height == 1


@in_every_format
def test_no_bytes_are_no_lines_of_any_kind(name: str) -> None:
    parsed = opened(name).parse(b"", 0)
    assert (parsed.lines, parsed.records.schema, parsed.rejects.schema) == (0, RECORD_SCHEMA, REJECT_SCHEMA)


@pytest.mark.parametrize("beginning", [b"\x1f\x8b\x08", b"x\x01", b"x\x9c", b"x\xda", b"\x28\xb5\x2f\xfd"])
@in_every_format
def test_lines_that_begin_like_a_compressed_file_are_rejects(name: str, beginning: bytes) -> None:
    parsed = opened(name).parse(beginning + b" a\nb\n", 0)
    assert (parsed.records.height, parsed.rejects["offset"].to_list()) == (0, [0, len(beginning) + 3])


def check_offsets(name: str, data: st.DataObject) -> None:
    log, offset = data.draw(any_logs(name)), data.draw(st.sampled_from([0, 10**12]))
    parsed = opened(name).parse(log, offset)
    offsets = [at for at, _ in lines_of(log, offset)]
    found = parsed.records["offset"].to_list() + parsed.rejects["offset"].to_list()
    assert parsed.lines == len(offsets)
    assert len(set(found)) == len(found)
    assert set(found) <= set(offsets)


def check_schema(name: str, data: st.DataObject) -> None:
    parsed = opened(name).parse(data.draw(any_logs(name)), 0)
    assert (parsed.records.schema, parsed.rejects.schema) == (RECORD_SCHEMA, REJECT_SCHEMA)
    assert parsed.records["offset"].is_sorted()
    assert parsed.rejects["offset"].is_sorted()
    assert parsed.records.drop("duration").null_count().sum_horizontal().item() == 0
    assert parsed.rejects.null_count().sum_horizontal().item() == 0


def check_pieces(name: str, data: st.DataObject) -> None:
    log = data.draw(any_logs(name))
    cut = framing_of(name).whole(log[: data.draw(st.integers(0, len(log)))])
    read = opened(name).of_source("x", 0, b"")
    header = header_after(log[:cut], 0, b"", 350)
    whole, first = read.parse(log, 0), read.parse(log[:cut], 0)
    second = read.of_source("x", 0, header).parse(log[cut:], cut)
    assert_frame_equal(pl.concat([first.records, second.records]), whole.records)
    assert_frame_equal(pl.concat([first.rejects, second.rejects]), whole.rejects)
    assert first.blanks + second.blanks == whole.blanks


@in_every_format
@pytest.mark.slow
@few_of_each
@given(data=st.data())
def test_every_line_is_a_record_a_reject_or_blank_at_its_offset(name: str, data: st.DataObject) -> None:
    check_offsets(name, data)


@in_every_format
@pytest.mark.slow
@few_of_each
@given(data=st.data())
def test_records_and_rejects_have_their_schema_and_rise_by_offset(name: str, data: st.DataObject) -> None:
    check_schema(name, data)


@in_every_format
@pytest.mark.slow
@few_of_each
@given(data=st.data())
def test_a_log_in_two_pieces_is_the_same_as_in_one(name: str, data: st.DataObject) -> None:
    check_pieces(name, data)


@in_every_format
@pytest.mark.parametrize("check", [check_offsets, check_schema, check_pieces])
@pytest.mark.nightly
@pytest.mark.timeout(3600)
@many_of_each
@given(data=st.data())
def test_five_hundred_logs(
    name: str, check: Callable[[str, st.DataObject], None], data: st.DataObject
) -> None:
    check(name, data)


@in_every_format
def test_ends_of_either_kind_make_the_same_records(name: str) -> None:
    read = opened(name)
    lines = [LINES[name].encode()] * 3
    unix, windows = read.parse(b"\n".join(lines), 0), read.parse(b"\r\n".join(lines), 0)
    assert_frame_equal(unix.records.drop("offset"), windows.records.drop("offset"))


@in_every_format
@pytest.mark.slow
@few_of_each
@given(beginning=st.binary(max_size=400), offset=st.sampled_from([0, 99]))
def test_the_beginning_of_a_line_that_is_too_long_is_one_reject(
    name: str, beginning: bytes, offset: int
) -> None:
    assume(name != "results" or not opens_block(beginning))  # then it is a block that is too long
    parsed = opened(name).parse_too_long(beginning, offset)
    assert parsed.rejects.select("offset", "reason").rows() == [
        (offset, "line: found more than 350 bytes, expected at most that (MAX_LINE_BYTES)")
    ]


def test_an_unknown_format_is_named_with_those_there_are() -> None:
    with pytest.raises(
        FormatError,
        match=r"^LOG_FORMAT: found 'xml', expected auto, one of requests, .*, results, one of them behind",
    ):
        opened("xml")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("requests", "2024-10-01 00:00:01 a / 200 {}"),
        ("nginx", LINES["nginx"].replace(" 0.5", " {}")),
        ("json", LINES["json"].replace("{", "{{").replace("0.5}", '"{}"}}')),
        ("json", LINES["json"].replace("{", "{{").replace("0.5}", "{}}}")),
        ("regex", LINES["regex"].replace("0.5", "{}")),
        ("w3c", LINES["w3c"].replace("0.5", "{}")),
        ("logfmt", LINES["logfmt"].replace("0.5", "{}")),
    ],
)
def test_a_duration_has_the_same_bound_in_every_format(name: str, line: str) -> None:
    read = opened(name, log_duration_unit="s")
    right = ["1e9", "1000000000", "999999999.5", "99999999", "5e-324", "0"]
    wrong = ["1e308", "1000000000.1", "1e15", "1000000001", "1.7976931348623157e308"]
    parsed = read.parse("\n".join(line.format(each) for each in (*right, *wrong)).encode(), 0)
    assert parsed.records["duration"].to_list() == [float(each) for each in right]
    reasons = parsed.rejects["reason"].to_list()
    assert [reason.rpartition(", ")[2] for reason in reasons] == ["expected at most 1000000000 seconds"] * 5
    assert [reason.partition(" ")[0] for reason in reasons] == ["duration:"] * 5


def test_a_wrong_pattern_of_a_table_is_told_with_the_table() -> None:
    options = format_options("regex", log_regex="(unclosed")
    with pytest.raises(FormatError, match=r"^LOG_SOURCES: x.toml, source 2: LOG_REGEX: found"):
        open_entry(LogPath("a.log", options, "x.toml, source 2"))
    with pytest.raises(FormatError, match=r"^LOG_REGEX: found"):
        open_entry(LogPath("a.log", options))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("nginx", "nginx"), ("docker:json", "json"), ("cri:nginx:$uri", "nginx:$uri"), ("auto", None)],
)
def test_the_kind_of_a_name_is_that_of_what_is_inside(name: str, kind: str | None) -> None:
    found = kind_of(name)
    assert (found.name if found else None) == kind
