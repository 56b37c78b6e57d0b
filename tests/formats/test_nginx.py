from __future__ import annotations

from datetime import datetime

import pytest

from tailmetrics.formats import LineFormat, open_format
from tailmetrics.settings import Settings

TIME = "[10/Oct/2024:13:55:36 +0000]"
A_TIME = (
    "a real time in ISO 8601, as 10/Oct/2024:13:55:36 +0000, as Tue, 01 Oct 2024 00:00:01 GMT, or in "
    "seconds, ms, µs or ns since 1970"
)
A_LINE = (
    'address - user [time] "request" status bytes "referer" "agent", and the request time if it is logged'
)
COMBINED = f'203.0.113.9 - bob {TIME} "GET /a/b?q=1 HTTP/1.1" 200 612 "https://e.org/" "curl/8.5"'


def nginx(**settings: object) -> LineFormat:
    return open_format(Settings(_env_file=None, **settings).format_options("nginx"))  # type: ignore[arg-type, call-arg]


def record(line: str, **settings: object) -> tuple[object, ...]:
    return nginx(**settings).parse(line.encode(), 0).records.row(0)


def test_a_combined_line_is_a_record_without_a_duration() -> None:
    time = datetime.fromisoformat("2024-10-10 13:55:36")
    assert record(COMBINED) == (time, "bob", "/a/b", 200, None, 0)


@pytest.mark.parametrize(
    ("end", "duration"),
    [(" 0.123", 0.123), (' "198.51.100.7" 0.123', 0.123), (' "-"', None), (" -", None), (" -1", None)],
)
def test_the_request_time_is_read_where_it_is_logged(end: str, duration: float | None) -> None:
    assert record(COMBINED + end)[4] == duration


@pytest.mark.parametrize("status", ["0", "-1", "000", "-"])
def test_a_request_without_an_answer_is_a_record_with_status_0(status: str) -> None:
    assert record(COMBINED.replace(" 200 ", f" {status} "))[3] == 0


@pytest.mark.parametrize(
    ("user", "customer"),
    [
        ("-", "203.0.113.9"),
        ("bob", "bob"),
        ("bob smith", "bob smith"),
        (r"\x22b\x5C\xE5\xAE\xA2", '"b\\客'),
        (r"caf\xE9", r"caf\xE9"),
        (r"a\x09b", r"a\x09b"),
    ],
)
def test_the_customer_is_the_user_as_he_is_called_or_else_the_address(user: str, customer: str) -> None:
    assert record(COMBINED.replace("bob", user))[1] == customer


@pytest.mark.parametrize(
    ("request_line", "path"),
    [
        ("GET / HTTP/1.1", "/"),
        ("POST /a/b?x=1&y=?2 HTTP/2.0", "/a/b"),
        (r"GET /\x22a\x22 HTTP/1.1", '/"a"'),
        (r"GET /\"a\" HTTP/1.1", '/"a"'),
        ("OPTIONS * HTTP/1.1", "*"),
        ("GET http://e.org/x?y HTTP/1.1", "http://e.org/x"),
        ("GET /old", "/old"),
        ("GET ?x HTTP/1.1", "GET "),
        (r"\x16\x03\x01\x00", r"\x16\x03\x01\x00"),
        ("-", "-"),
        ("", "-"),
    ],
)
def test_the_path_is_the_target_without_its_query_or_all_that_was_sent(request_line: str, path: str) -> None:
    assert record(COMBINED.replace("GET /a/b?q=1 HTTP/1.1", request_line))[2] == path


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            COMBINED.replace("Oct", "Okt"),
            f"timestamp: found '10/Okt/2024:13:55:36 +0000', expected {A_TIME}",
        ),
        (
            COMBINED.replace(" 200 ", " 099 "),
            "status_code: found '099', expected 100 to 599, or 0, -1, 000 or - for no answer",
        ),
        (
            COMBINED + " fast",
            "duration: found 'fast', expected a finite decimal number, not negative, with or without a unit",
        ),
        (
            "garbage",
            f"line: found 'garbage', expected {A_LINE}",
        ),
    ],
)
def test_a_bad_line_is_rejected_with_the_field_what_was_found_and_what_was_expected(
    line: str, reason: str
) -> None:
    assert nginx().parse(line.encode(), 0).rejects["reason"].to_list() == [reason]


def test_a_pattern_of_ones_own_takes_the_place_of_the_combined_format() -> None:
    pattern = r"(?<timestamp>\S+) (?<customer_id>\S+) (?<path>\S+) (?<status_code>\d+) (?<duration>\S+)"
    line = "2024-10-10T13:55:36+02:00 shop.example /cart 404 0.25"
    time = datetime.fromisoformat("2024-10-10 11:55:36")
    assert record(line, log_nginx_regex=pattern) == (time, "shop.example", "/cart", 404, 0.25, 0)
