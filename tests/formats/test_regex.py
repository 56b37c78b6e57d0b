from __future__ import annotations

from datetime import datetime

import pytest

from tailmetrics.errors import FormatError
from tailmetrics.formats import LineFormat, open_format
from tailmetrics.settings import Settings
from tests.paths import DATA

FOUR = r"(?P<timestamp>\S+) (?P<customer_id>\S+) (?P<path>\S+) (?<status_code>\d+)"
PATTERN = FOUR + r"(?: (?P<duration>\S*))?"
LINE = "2024-10-01T00:00:01Z cust_39 /api 200"
TIME = datetime.fromisoformat("2024-10-01 00:00:01")


def regex(pattern: str = PATTERN, **settings: object) -> LineFormat:
    return open_format(Settings(_env_file=None, log_regex=pattern, **settings).format_options("regex"))  # type: ignore[arg-type, call-arg]


@pytest.mark.parametrize(
    ("end", "duration"), [("", None), (" 0.5", 0.5), (" -", None), (" ", None), (" -1", None)]
)
def test_a_line_that_matches_is_a_record(end: str, duration: float | None) -> None:
    parsed = regex().parse((LINE + end).encode(), 0)
    assert parsed.records.rows() == [(TIME, "cust_39", "/api", 200, duration, 0)]


@pytest.mark.parametrize("status", ["0", "-1", "000", "-"])
def test_a_request_without_an_answer_is_a_record_with_status_0(status: str) -> None:
    pattern = PATTERN.replace(r"(?<status_code>\d+)", r"(?<status_code>\S+)")
    parsed = regex(pattern).parse(LINE.replace("200", status).encode(), 0)
    assert parsed.records["status_code"].to_list() == [0]


def test_a_pattern_without_a_duration_gives_none() -> None:
    assert regex(FOUR).parse(LINE.encode(), 0).records["duration"].to_list() == [None]


@pytest.mark.parametrize("line", [LINE + "x 1 2", "x" + " " + LINE])
def test_the_whole_line_has_to_match(line: str) -> None:
    reason = f"line: found '{line}', expected a match of LOG_REGEX"
    assert regex().parse(line.encode(), 0).rejects["reason"].to_list() == [reason]


def test_a_duration_that_is_no_number_is_rejected() -> None:
    reason = "duration: found 'fast', expected a finite decimal number, not negative, with or without a unit"
    assert regex().parse((LINE + " fast").encode(), 0).rejects["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", "expected the named groups .* missing: timestamp, customer_id, path, status_code"),
        (
            r"(?P<timestamp>\S+) (?P<path>\S+)",
            "expected the named groups .* missing: customer_id, status_code",
        ),
        ("(", "expected a regular expression"),
        (FOUR + ")(", "expected a regular expression"),
        (FOUR + "(?=x)", "expected a regular expression .* look-around"),
        (FOUR + r"\w{9999999}", "expected a regular expression"),
    ],
)
def test_a_wrong_pattern_is_named_when_the_format_is_opened(pattern: str, expected: str) -> None:
    with pytest.raises(FormatError, match=f"(?s)^LOG_REGEX: found '.*', {expected}"):
        regex(pattern)


def test_the_abbreviation_of_a_zone_in_a_time_is_its_offset() -> None:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        log_regex=r"(?P<timestamp>.{28}) (?P<customer_id>\S+) (?P<path>\S+) (?P<status_code>\d+)",
        log_timestamp_format="%a %b %d %H:%M:%S %Z %Y",
    )
    parsed = open_format(settings.format_options("regex")).parse((DATA / "zone_PST.log").read_bytes(), 0)
    assert parsed.records["timestamp"].to_list() == [datetime.fromisoformat("2024-12-27 00:22:13")]


def test_a_request_line_tells_the_path() -> None:
    pattern = r'(?P<timestamp>\S+) (?P<customer_id>\S+) "(?P<path>[^"]*)" (?P<status_code>\d+)'
    line = LINE.replace("/api", '"GET http://e.org/api?key=1 HTTP/1.1"')
    assert regex(pattern).parse(line.encode(), 0).records["path"].to_list() == ["/api"]
