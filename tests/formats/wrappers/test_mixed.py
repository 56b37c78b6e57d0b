"""Lines of several programs in one log."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.formats import KINDS, open_by_line
from tailmetrics.formats.kinds import never_claims
from tailmetrics.formats.wrappers.mixed import open_mixed
from tailmetrics.records import RECORD_SCHEMA, REJECT_SCHEMA
from tests.builders import format_options
from tests.formats.logs import unhurried

REQUESTS = "2024-10-01 00:00:01 a / 200 0.5"
NGINX = '::1 - b [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 612 "-" "curl" 0.5'
JSON = '{"timestamp":1727740801,"customer_id":"c","path":"/","status_code":200}'
LINES = {REQUESTS: "a", NGINX: "b", JSON: "c"}
EXPECTED = "a line of a known format"
MIXED = open_mixed(
    [KINDS[name] for name in ("requests", "nginx", "json")], format_options("docker"), EXPECTED
)


def test_each_line_is_read_by_the_kind_that_claims_it() -> None:
    lines = [NGINX, REQUESTS, "Listening on port 80", JSON, "", NGINX, JSON, REQUESTS]
    parsed = MIXED.parse("\n".join(lines).encode(), 0)
    assert parsed.records["customer_id"].to_list() == ["b", "a", "c", "b", "c", "a"]
    assert parsed.rejects.select("reason", "line").rows() == [
        ("line: found 'Listening on port 80', expected a line of a known format", "Listening on port 80")
    ]
    assert parsed.blanks == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (REQUESTS.replace("200", "abc"), "status_code: found 'abc', expected 100 to 599"),
        (NGINX.replace("200", "abc"), "status_code: found 'abc', expected 100 to 599"),
        ('{"timestamp":null,"customer_id":null,"path":"/","status_code":200}', "timestamp: found nothing"),
        ("{}", f"line: found '{{}}', expected {EXPECTED}"),
        (REQUESTS + "\0", "line: found a NUL byte, expected text"),
        ("a b c d e f", f"line: found 'a b c d e f', expected {EXPECTED}"),
        ("", None),
    ],
)
@pytest.mark.parametrize("others", [[], [REQUESTS], [NGINX], [JSON], [NGINX, REQUESTS]])
def test_what_is_wrong_with_a_line_does_not_depend_on_the_others(
    others: list[str], line: str, reason: str | None
) -> None:
    parsed = MIXED.parse("".join(f"{each}\n" for each in [*others, line]).encode(), 0)
    assert parsed.records.height == len(others)
    if reason is None:
        assert (parsed.rejects.height, parsed.blanks) == (0, 1)
    else:
        assert parsed.rejects["reason"].item().startswith(reason)
        assert parsed.blanks == 0


@unhurried
@given(lines=st.lists(st.sampled_from([*LINES, "", "x", "{}"]) | st.text(max_size=8)), data=st.data())
def test_a_log_in_two_pieces_is_the_same_as_in_one(lines: list[str], data: st.DataObject) -> None:
    log = b"".join(line.replace("\n", " ").encode("utf-8", "replace") + b"\n" for line in lines)
    cut = log[: data.draw(st.integers(0, len(log)))].rfind(b"\n") + 1
    whole, first, second = MIXED.parse(log, 0), MIXED.parse(log[:cut], 0), MIXED.parse(log[cut:], cut)
    assert_frame_equal(pl.concat([first.records, second.records]), whole.records)
    assert_frame_equal(pl.concat([first.rejects, second.rejects]), whole.rejects)
    assert first.blanks + second.blanks == whole.blanks
    assert (whole.records.schema, whole.rejects.schema) == (RECORD_SCHEMA, REJECT_SCHEMA)
    assert whole.lines == len(lines)


@pytest.mark.parametrize("name", ["json", "traefik-json", "ecs", "otel"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_request_with_a_message_is_read_beside_requests_of_caddy(name: str, is_first: bool) -> None:
    caddy, other = KINDS["caddy"].example, json.loads(KINDS[name].example) | {"msg": "request"}
    lines = [caddy, json.dumps(other)] if is_first else [json.dumps(other), caddy]
    parsed = open_by_line(format_options("auto")).parse("".join(f"{line}\n" for line in lines).encode(), 0)
    assert (parsed.records.height, parsed.rejects.height, parsed.blanks) == (2, 0, 0)


EXAMPLES = [
    kind.example for kind in KINDS.values() if kind.claims is not never_claims and "\n" not in kind.example
]


@pytest.mark.parametrize("order", [1, -1])
def test_the_lines_of_all_formats_are_read_beside_each_other_as_alone(order: int) -> None:
    read = open_by_line(format_options("auto"))
    lines = [f"{line}\n".encode() for line in EXAMPLES if line][::order]
    offsets = [sum(map(len, lines[:place])) for place in range(len(lines))]
    alone = [read.parse(line, offset).records for line, offset in zip(lines, offsets, strict=True)]
    together = read.parse(b"".join(lines), 0)
    assert_frame_equal(together.records, pl.concat(alone))
    assert (together.records.height, together.rejects.height) == (len(lines), 0)


PLAIN = '203.0.113.1 - bob [20/Nov/2026:11:00:01 +0100] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5"'
TIMED = PLAIN + " 0.123"
COMMON = PLAIN.partition(' "-"')[0]
WITH_SITE = [f"shop.example:443 {COMMON}", f"[2001:db8::1]:80 {TIMED}", f"shop.example {PLAIN}"]


@pytest.mark.parametrize("plain", [PLAIN, TIMED, COMMON])
@pytest.mark.parametrize("with_site", WITH_SITE)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_site_in_front_tells_the_customer_whatever_line_comes_first(
    plain: str, with_site: str, is_first: bool
) -> None:
    lines = [plain, with_site] if is_first else [with_site, plain]
    parsed = open_by_line(format_options("auto")).parse("".join(f"{line}\n" for line in lines).encode(), 0)
    site = with_site.partition(" ")[0].rpartition(":")[0] or "shop.example"
    expected = ["bob", site] if is_first else [site, "bob"]
    assert parsed.records["customer_id"].to_list() == expected


@pytest.mark.parametrize("line", [PLAIN, TIMED, COMMON])
@pytest.mark.parametrize("first", ["bob.example", "::1", "10.0.0.1", "bob"])
def test_who_asks_is_no_site(line: str, first: str) -> None:
    line = line.replace("203.0.113.1", first).replace("bob [", "- [")
    text = "".join(f"{each}\n" for each in (WITH_SITE[0], line)).encode()
    assert open_by_line(format_options("auto")).parse(text, 0).records["customer_id"].to_list() == [
        "shop.example",
        first,
    ]


def test_a_regex_of_the_settings_may_read_lines_with_a_site() -> None:
    who = r"(?P<customer_id>\S+) \S+ - \S+ \[(?P<timestamp>[^\]]+)\] "
    what = r"(?P<path>\S+) \S+ (?P<status_code>\d+)"
    regex = rf'{who}"GET {what} \d+'
    read = open_by_line(format_options("auto", log_nginx_regex=regex))
    assert read.parse(WITH_SITE[0].encode(), 0).records["customer_id"].to_list() == ["shop.example:443"]


def test_what_is_not_counted_is_not_counted_in_any_of_the_kinds() -> None:
    kinds = [KINDS[name] for name in ("requests", "nginx")]
    mixed = open_mixed(kinds, format_options("docker", log_exclude="/"), EXPECTED)
    parsed = mixed.parse(f"{NGINX}\n{REQUESTS}\n".encode(), 0)
    assert (parsed.records.height, parsed.rejects.height, parsed.blanks) == (0, 0, 2)


def test_the_beginning_of_a_line_that_is_too_long_is_one_reject() -> None:
    assert MIXED.parse_too_long(b"x" * 100, 7).rejects["offset"].to_list() == [7]


def test_a_source_is_read_by_the_kinds_as_it_is() -> None:
    assert MIXED.of_source("/x.log", 0).parse(NGINX.encode(), 0).records.height == 1
