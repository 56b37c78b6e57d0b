"""Wrapped lines: what is inside is read, and what is rejected is shown as it is in the log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.errors import FormatError
from tailmetrics.formats import open_format
from tailmetrics.formats.framing import framing_of
from tailmetrics.formats.wrappers import WRAPPERS, unwrapped, wrapper_of
from tailmetrics.formats.wrappers.wrapper import no_parts
from tailmetrics.settings.names import WRAPPER_NAMES
from tailmetrics.tailing.log_file import PlainFile
from tailmetrics.tailing.reader import LineReader
from tests.builders import format_options
from tests.formats.logs import logs_of, unhurried
from tests.formats.reference import lines_of

from .wrapping import FULL, Wrap, cri, docker, full

NGINX = '::1 - b [10/Oct/2024:13:55:36 +0000] "GET /a?b=<c>&d HTTP/1.1" 200 612 "-" "curl" 0.5'
REQUESTS = "2024-10-01 00:00:01 a / 200 0.5"
WRAPPED = {
    "docker": docker(NGINX),
    "cri": cri(NGINX),
    "syslog": f"<190>Oct 10 13:55:36 web1 nginx: {NGINX}",
    "journald": '{"__REALTIME_TIMESTAMP":"1","MESSAGE":"'
    + NGINX.replace("::1", "::2").replace('"', '\\"')
    + '"}',
    "envelope": json.dumps({"message": NGINX, "host": "web1"}),
    "prefixed": f"2024-12-26T16:22:13.123456789Z {NGINX}",
}
in_every_wrapper = pytest.mark.parametrize("name", WRAPPERS)


def test_all_names_of_wrappers_have_one() -> None:
    assert tuple(WRAPPERS) == WRAPPER_NAMES


@in_every_wrapper
def test_a_wrapped_line_is_known_and_unwrapped(name: str) -> None:
    assert wrapper_of(WRAPPED[name]) == name
    assert unwrapped(WRAPPED[name]).endswith(NGINX[3:])


@pytest.mark.parametrize("line", ["", NGINX, "2024-10-01", "{}"])
def test_a_line_that_is_not_wrapped_is_in_no_wrapper(line: str) -> None:
    assert wrapper_of(line) is None


def test_wrappers_that_keep_lines_whole_have_no_parts() -> None:
    assert not no_parts(b"anything")


@in_every_wrapper
@pytest.mark.parametrize("inner", ["", ":auto", ":nginx"])
def test_what_is_inside_is_read(name: str, inner: str) -> None:
    log = f"{WRAPPED[name]}\r\n\n{WRAPPED[name]}".encode()
    parsed = open_format(format_options(name + inner)).parse(log, 5)
    assert parsed.records.select("customer_id", "path", "duration", "offset").rows() == [
        ("b", "/a", 0.5, 5),
        ("b", "/a", 0.5, 5 + len(WRAPPED[name]) + 3),
    ]
    assert (parsed.rejects.height, parsed.blanks) == (0, 1)


@in_every_wrapper
def test_a_line_that_is_not_wrapped_is_a_reject(name: str) -> None:
    parsed = open_format(format_options(name)).parse(f"{WRAPPED[name]}\n{NGINX}\n".encode(), 0)
    (reject,) = parsed.rejects.rows()
    assert reject == (
        len(WRAPPED[name]) + 1,
        f"line: found '{NGINX[:80]}…', expected {WRAPPERS[name].expected}; it is of the format nginx",
        NGINX,
    )
    assert parsed.records.height == 1


def test_a_reject_shows_the_line_as_it_is_in_the_log() -> None:
    odd = docker(NGINX.replace("200", "abc"))
    noise = docker("Listening")
    expected = "a line of a known format inside of docker, or LOG_FORMAT=docker:FORMAT for its own"
    log = f"{odd}\n{docker(NGINX)}\n{noise}\n".encode()
    parsed = open_format(format_options("docker")).parse(log, 0)
    assert parsed.rejects.rows() == [
        (0, "status_code: found 'abc', expected 100 to 599, or 0, -1, 000 or - for no answer", odd),
        (
            log.index(noise.encode()),
            f"line: found 'Listening', expected {expected}",
            noise,
        ),
    ]


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (r"a\u0000b", "line: found a NUL byte, expected text"),
        (r"a\nb", "line: found a line feed in what is inside, expected one line"),
        (r"", None),
        (r" \t", None),
        (r"\r", None),
    ],
)
def test_what_can_be_no_line_is_a_reject_or_blank(inner: str, reason: str | None) -> None:
    line = docker("x").replace("x", inner)
    parsed = open_format(format_options("docker:nginx")).parse(line.encode(), 0)
    expected = [] if reason is None else [(0, reason, line)]
    assert (parsed.rejects.rows(), parsed.blanks) == (expected, 0 if expected else 1)


def test_bytes_that_are_not_utf8_make_all_parts_of_their_line_one_reject() -> None:
    parts = cri(NGINX[:50], "stdout", True).encode() + b"\n" + cri("x").encode() + b"\xff\n"
    parsed = open_format(format_options("cri")).parse(parts, 0)
    assert parsed.rejects.rows() == [
        (
            0,
            "line: found bytes that are not UTF-8, expected UTF-8",
            cri(NGINX[:50], "stdout", True),
        )
    ]
    assert parsed.blanks == 1


def test_parts_that_are_too_long_together_are_one_reject() -> None:
    log = f"{cri(NGINX[:41], 'stdout', True)}\n{cri(NGINX)}\n{cri(NGINX)}\n".encode()
    most = len(cri(NGINX))
    parsed = open_format(format_options("cri", max_line_bytes=most)).parse(log, 0)
    assert parsed.rejects.rows() == [
        (
            0,
            f"line: found more than {most} bytes, expected at most that (MAX_LINE_BYTES)",
            cri(NGINX[:41], "stdout", True),
        )
    ]
    assert parsed.records["offset"].to_list() == [log.rindex(b"2024-12-26")]


@pytest.mark.parametrize("cut", [None, 30])
def test_a_line_without_a_time_was_written_when_its_wrapper_says(cut: int | None) -> None:
    untimed = '{"customer_id":"c","path":"/","status_code":200}'
    timed = untimed.replace("{", '{"timestamp":"2020-01-01T00:00:00Z",')
    pieces = [(untimed, False)] if cut is None else [(full(untimed[:cut]), True), (untimed[cut:], False)]
    lines = [
        docker(NGINX),
        docker(timed),
        *(docker(text, "stdout", goes_on) for text, goes_on in pieces),
        docker('{"customer_id":null,"path":"/","status_code":200}'),
    ]
    for name in ("docker", "docker:json"):
        parsed = open_format(format_options(name)).parse("\n".join(lines).encode(), 0)
        assert [str(time) for time in parsed.records["timestamp"]] == [
            *(["2024-10-10 13:55:36"] if name == "docker" else []),
            "2020-01-01 00:00:00",
            "2024-12-26 16:22:13.123456",
        ]
        assert parsed.rejects["reason"].to_list()[-1].startswith("customer_id: found nothing")


def test_the_times_of_the_journal_are_in_microseconds() -> None:
    message = '{\\"customer_id\\":\\"c\\",\\"path\\":\\"/\\",\\"status_code\\":200}'
    line = f'{{"__REALTIME_TIMESTAMP":"1735230133123456","MESSAGE":"{message}"}}'
    parsed = open_format(format_options("journald:json")).parse(line.encode(), 0)
    assert [str(time) for time in parsed.records["timestamp"]] == ["2024-12-26 16:22:13.123456"]


def test_one_wrapper_may_be_in_another() -> None:
    line = cri(WRAPPED["syslog"])
    parsed = open_format(format_options("cri:syslog:nginx")).parse(line.encode(), 0)
    assert parsed.records["customer_id"].to_list() == ["b"]


@in_every_wrapper
@pytest.mark.parametrize("inner", WRAPPERS)
def test_a_line_may_be_in_two_wrappers_that_are_not_named(name: str, inner: str) -> None:
    if name == inner != "prefixed":
        return
    line = WRAPPED[name].replace(
        json.dumps(NGINX)[1:-1] if WRAPPED[name].startswith("{") else NGINX,
        json.dumps(WRAPPED[inner])[1:-1] if WRAPPED[name].startswith("{") else WRAPPED[inner],
    )
    parsed = open_format(format_options(name)).parse(line.encode(), 0)
    assert parsed.records["path"].to_list() == ["/a"]


def test_the_time_may_be_told_by_the_outer_one_of_two_wrappers() -> None:
    line = cri('Dec 26 16:22:13 web1 app: {"customer_id":"c","path":"/","status_code":200}')
    parsed = open_format(format_options("cri")).parse(line.encode(), 0)
    assert [str(time) for time in parsed.records["timestamp"]] == ["2024-12-26 16:22:13.123456"]


@pytest.mark.parametrize("head", ["Dec 26 16:22:13 web1 app:", "Dec 26 16:22:13"])
def test_a_time_without_a_year_is_the_last_before_the_log_was_written(head: str) -> None:
    line = f'{head} {{"customer_id":"c","path":"/","status_code":200}}'
    written_ns = 1_735_776_000 * 10**9  # 2025-01-02
    read = open_format(replace(format_options(wrapper_of(line) or ""), zone="Europe/Berlin"))
    parsed = read.of_source("app.log", written_ns).parse(line.encode(), 0)
    assert [str(time) for time in parsed.records["timestamp"]] == ["2024-12-26 15:22:13"]


@pytest.mark.parametrize(
    ("line", "how"),
    [("[    7.123456] web1 app:", "journalctl -o short-iso"), ("web-1  |", "logs --timestamps")],
)
def test_of_a_line_without_any_time_it_is_told_how_to_get_one(line: str, how: str) -> None:
    log = f'{line} {{"customer_id":"c","path":"/","status_code":200}}'
    name = wrapper_of(log)
    parsed = open_format(format_options(name or "")).parse(log.encode(), 0)
    assert how in parsed.rejects["reason"].item()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("docker:results", "found 'docker:results', whose blocks of lines no wrapper keeps"),
        ("docker:xml", "found 'xml', expected auto, one of requests"),
    ],
)
def test_a_format_that_cannot_be_inside_is_told(name: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        open_format(replace(format_options("docker"), name=name))


@in_every_wrapper
@unhurried
@given(data=st.data(), offset=st.sampled_from([0, 10**12]))
def test_every_line_is_a_record_a_reject_or_blank_at_its_offset(
    name: str, data: st.DataObject, offset: int
) -> None:
    good = WRAPPED[name].encode()
    damaged = st.tuples(st.integers(0, len(good)), st.binary(max_size=2)).map(
        lambda change: good[: change[0]] + change[1] + good[change[0] + 1 :]
    )
    log = data.draw(logs_of(st.just(good) | damaged | st.binary(max_size=9)))
    parsed = open_format(format_options(name)).parse(log, offset)
    offsets = [at for at, _ in lines_of(log, offset)]
    found = parsed.records["offset"].to_list() + parsed.rejects["offset"].to_list()
    assert parsed.lines == len(offsets)
    assert len(set(found)) == len(found)
    assert set(found) <= set(offsets)
    assert parsed.rejects["offset"].is_sorted()


@pytest.mark.parametrize(("name", "wrap"), [("docker", docker), ("cri", cri)])
def test_a_file_is_read_to_its_end_with_lines_longer_than_a_chunk(
    tmp_path: Path, name: str, wrap: Wrap
) -> None:
    pieces = [wrap("x" * FULL, "stdout", True)] * 10 + [
        wrap("end", "stdout", False),
        wrap("end", "stderr", True),
    ]
    path = tmp_path / "container.log"
    path.write_text("".join(f"{piece}\n" for piece in [wrap(NGINX, "stdout", False), *pieces]))
    reader = LineReader(
        PlainFile(str(path)),
        0,
        b"",
        b"",
        framing=framing_of(name),
        chunk_bytes=4 * FULL,
        max_line_bytes=2 * FULL,
    )
    read = open_format(format_options(name, max_line_bytes=2 * FULL))
    offset, records, rejects = 0, 0, 0
    while lines := reader.read(16) or reader.read(16, final=True):
        parsed = read.parse(lines.data, offset)
        offset, records, rejects = lines.end, records + parsed.records.height, rejects + parsed.rejects.height
    assert offset == path.stat().st_size
    assert (records, rejects) == (1, 5)
