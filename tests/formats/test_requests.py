from __future__ import annotations

import json
import math
from collections import Counter
from datetime import datetime
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.formats import LineFormat, open_format
from tailmetrics.formats.requests import by_rules
from tailmetrics.records import RECORD_SCHEMA, REJECT_LINE_BYTES, REJECT_SCHEMA, ParsedLines
from tailmetrics.settings import Settings
from tests.builders import format_options
from tests.paths import DATA

from .logs import GOOD, logs_of, request_lines, unhurried
from .reference import lines_of, request_of

LIMIT = 350
FIELDS = "date time customer_id path status_code duration"


def requests(**settings: object) -> LineFormat:
    return open_format(Settings(_env_file=None, **settings).format_options("requests"))  # type: ignore[arg-type, call-arg]


def same(found: ParsedLines, expected: ParsedLines) -> None:
    assert_frame_equal(found.records, expected.records)
    assert_frame_equal(found.rejects, expected.rejects)
    assert found.blanks == expected.blanks


def test_every_line_of_a_clean_log_is_a_record() -> None:
    parsed = requests().parse((DATA / "requests-10k.log").read_bytes(), 0)
    assert (parsed.records.height, parsed.rejects.height, parsed.blanks) == (10_000, 0, 0)


def test_daily_statistics_of_a_clean_log_are_the_expected_ones() -> None:
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]
    records = requests().parse((DATA / "requests-10k.log").read_bytes(), 0).records
    days = records.group_by("customer_id", pl.col("timestamp").dt.date().cast(pl.String)).agg(
        pl.len(), pl.col("duration").mean(), (pl.col("status_code") >= 400).sum().alias("failed")
    )
    found = {
        (customer, day): (count, failed, mean) for customer, day, count, mean, failed in days.iter_rows()
    }
    assert found == {
        (customer, day): (
            figures["total_requests"],
            figures["failed_requests"],
            pytest.approx(figures["average_latency"], rel=1e-9),
        )
        for customer, answer in expected.items()
        for day, figures in answer["daily"].items()
    }


def test_of_a_messy_log_exactly_the_good_lines_are_records() -> None:
    expected = json.loads((DATA / "messy.expected.json").read_text())
    parsed = requests().parse((DATA / "messy.log").read_bytes(), 0)
    assert (parsed.records.height, parsed.blanks) == (expected["good"], expected["empty line"])


def test_the_bad_lines_of_a_messy_log_are_rejected_for_what_is_wrong_with_them() -> None:
    expected = json.loads((DATA / "messy.expected.json").read_text())
    parsed = requests().parse((DATA / "messy.log").read_bytes(), 0)
    kinds = {
        "status_code: ": "bad status",
        "duration: ": "bad duration",
        "timestamp: ": "bad timestamp",
        "line: found more than": "too long",
        "line: found bytes that are not UTF-8": "not UTF-8",
        "line: found a NUL": "NUL byte",
        "line: found 1 fields": "too few fields",
        "line: found 5 fields": "too few fields",
        "line: found 7 fields": "too many fields",
        "line: found 9 fields": "too many fields",
    }
    found = Counter(
        kind
        for reason in parsed.rejects["reason"]
        for beginning, kind in kinds.items()
        if reason.startswith(beginning)
    )
    assert found == {kind: expected[kind] for kind in set(kinds.values())}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            GOOD.replace("200", "abc"),
            "status_code: found 'abc', expected 100 to 599, or 0, -1, 000 or - for no answer",
        ),
        (
            GOOD.replace("200", "600"),
            "status_code: found '600', expected 100 to 599, or 0, -1, 000 or - for no answer",
        ),
        (
            GOOD.replace("200", "0200"),
            "status_code: found '0200', expected 100 to 599, or 0, -1, 000 or - for no answer",
        ),
        (
            GOOD.replace("0.388", "-2"),
            "duration: found '-2', expected a finite decimal number, not negative, with or without a unit",
        ),
        (
            GOOD.replace("0.388", "1e400"),
            "duration: found '1e400', expected a finite decimal number, not negative, with or without a unit",
        ),
        (
            GOOD.replace("10-01", "02-30"),
            "timestamp: found '2024-02-30 00:00:01', expected a real date and time as YYYY-MM-DD HH:MM:SS",
        ),
        (
            GOOD.replace("00:00:01", "24:00:00"),
            "timestamp: found '2024-10-01 24:00:00', expected a real date and time as YYYY-MM-DD HH:MM:SS",
        ),
        (
            GOOD.replace("cust_39", "a\x85b"),
            r"customer_id: found 'a\x85b', expected 1 to 256 characters without control characters",
        ),
        (
            GOOD.replace("cust_39", "x" * 257),
            f"customer_id: found '{'x' * 80}…', expected 1 to 256 characters without control characters",
        ),
        (
            GOOD.replace("/api/v1/resource3", ""),
            "path: found '', expected at least one character, and no NUL",
        ),
        (
            GOOD.replace(" 0.388", ""),
            f"line: found 5 fields, expected 6 with single spaces between them: {FIELDS}",
        ),
        (GOOD.replace("cust", "cu\0st"), "line: found a NUL byte, expected text"),
        (GOOD + "0" * 1000, "line: found more than 1000 bytes, expected at most that (MAX_LINE_BYTES)"),
    ],
)
def test_a_bad_line_is_rejected_with_the_field_what_was_found_and_what_was_expected(
    line: str, reason: str
) -> None:
    parsed = requests(max_line_bytes=1000).parse(f"{line}\n".encode(), 7)
    assert parsed.rejects["reason"].to_list() == [reason]


@pytest.mark.parametrize("status", ["0", "-1", "000", "-"])
def test_a_request_without_an_answer_is_a_record_with_status_0(status: str) -> None:
    parsed = requests().parse(f"{GOOD}\n{GOOD.replace('200', status)}\n".encode(), 0)
    assert parsed.records["status_code"].to_list() == [200, 0]


@pytest.mark.parametrize("lines", [1, 200])
@pytest.mark.parametrize("rest", ["0 0.1", "- 0.1", "-1 0.1", "20 0.1", "\0!! !"])
@pytest.mark.parametrize("end", ["é", "€", "😀"])
def test_a_path_that_ends_in_no_ascii_before_a_status_of_few_digits_is_read_as_the_rules_read_it(
    end: str, rest: str, lines: int
) -> None:
    line = f"2024-10-10 00:00:00 cust_1 /{end}{'' if rest[0] == chr(0) else ' '}{rest}\n"
    data = line.encode() * lines
    same(requests().parse(data, 0), by_rules(format_options("requests")).parse(data, 0))


@pytest.mark.parametrize("duration", ["-", "", "-1", "-1.0", "-1.000"])
def test_an_unknown_duration_is_null_and_the_request_a_record(duration: str) -> None:
    parsed = requests().parse(f"{GOOD}\n{GOOD.replace('0.388', duration)}\n".encode(), 0)
    assert parsed.records["duration"].to_list() == [0.388, None]


def test_bytes_that_are_not_utf8_are_shown_as_escapes() -> None:
    parsed = requests().parse(b"caf\xe9 \xe5\xae\xa2\n", 0)
    assert parsed.rejects.row(0) == (0, "line: found bytes that are not UTF-8, expected UTF-8", "caf\\xe9 客")


def test_of_a_long_reject_the_beginning_is_kept() -> None:
    parsed = requests().parse("客".encode() * 30_000 + b"\n", 0)
    assert parsed.rejects["line"].to_list() == ["客" * (REJECT_LINE_BYTES // 3)]


def test_a_line_over_the_limit_is_the_same_reject_whole_or_by_its_beginning() -> None:
    line = b"\xef\xbb\xbf" + "é".encode() * 100
    read = requests(max_line_bytes=101)
    same(read.parse_too_long(line[:110], 0), read.parse(line + b"\n", 0))


def test_a_line_just_at_the_limit_is_a_record_whatever_its_end() -> None:
    line = GOOD.ljust(100, "0").encode()
    parsed = requests(max_line_bytes=100).parse(line + b"\n" + line + b"\r\n" + line, 0)
    assert parsed.records.height == 3


def test_fractions_of_a_second_are_cut_to_microseconds() -> None:
    parsed = requests().parse(GOOD.replace("00:00:01", "00:00:01.9999999").encode(), 0)
    assert parsed.records["timestamp"].to_list() == [datetime.fromisoformat("2024-10-01 00:00:01.999999")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    line = GOOD.encode() + b"\n"
    parsed = requests().parse(b"\xef\xbb\xbf" + line + line, 0)
    assert parsed.records["offset"].to_list() == [0, len(line) + 3]


def test_a_byte_order_mark_further_on_is_part_of_its_line() -> None:
    assert requests().parse(b"\xef\xbb\xbf" + GOOD.encode(), 55).rejects["offset"].to_list() == [55]


def test_no_bytes_are_no_lines() -> None:
    parsed = requests().parse(b"", 0)
    assert (parsed.lines, parsed.records.schema, parsed.rejects.schema) == (0, RECORD_SCHEMA, REJECT_SCHEMA)


@pytest.mark.parametrize("first", [GOOD, f"{GOOD} extra", GOOD.replace(" 0.388", "")])
def test_a_space_too_many_in_one_line_is_not_made_up_for_by_one_too_few_in_another(first: str) -> None:
    lines = [first, f"{GOOD} extra", GOOD.replace(" 0.388", ""), "   ", " " * 40, GOOD]
    for count in range(2, len(lines) + 1):
        data = "\n".join(lines[:count]).encode()
        same(
            requests().parse(data, 0),
            by_rules(format_options("requests", max_line_bytes=LIMIT)).parse(data, 0),
        )


@unhurried
@given(logs_of(request_lines), st.sampled_from([0, 1000]))
def test_lines_are_what_plain_python_says(data: bytes, offset: int) -> None:
    parsed = requests(max_line_bytes=LIMIT).parse(data, offset)
    lines = [(at, request_of(line, LIMIT)) for at, line in lines_of(data, offset)]
    records = [(*record, at) for at, record in lines if not isinstance(record, str)]
    assert (parsed.records.rows(), parsed.rejects["offset"].to_list(), parsed.blanks) == (
        records,
        [at for at, record in lines if record == "reject"],
        sum(record == "blank" for _, record in lines),
    )


@unhurried
@given(logs_of(request_lines), st.sampled_from(["UTC", "America/New_York"]), st.sampled_from([0, 64]))
def test_clean_lines_are_read_just_as_the_rules_read_them(data: bytes, zone: str, few_lines: int) -> None:
    with mock.patch("tailmetrics.formats.text.FEW_LINES", few_lines):
        found = requests(max_line_bytes=LIMIT, log_timezone=zone).parse(data, 0)
    same(found, by_rules(format_options("requests", log_timezone=zone, max_line_bytes=LIMIT)).parse(data, 0))


def times_that_are_real(lines: list[str]) -> list[datetime]:
    expected = [request_of(line.encode(), LIMIT) for line in lines]
    return [record[0] for record in expected if not isinstance(record, str)]


def test_just_the_days_of_the_calendar_are_days() -> None:
    lines = [
        f"{year:04}-{month:02}-{day:02} 23:59:59 c / 200 1"
        for year in (0, 1, 4, 100, 1582, 1900, 1970, 2000, 2023, 2024, 2038, 2100, 8167, 9999)
        for month in range(14)
        for day in range(33)
    ]
    records = requests().parse("\n".join(lines).encode(), 0).records
    assert records["timestamp"].to_list() == times_that_are_real(lines)


def test_just_the_seconds_of_a_day_are_times() -> None:
    numbers = (0, 1, 9, 10, 19, 23, 24, 29, 59, 60, 61, 99)
    lines = [
        f"2024-02-29 {hour:02}:{minute:02}:{second:02} c / 200 1"
        for hour in numbers
        for minute in numbers
        for second in numbers
    ]
    records = requests().parse("\n".join(lines).encode(), 0).records
    assert records["timestamp"].to_list() == times_that_are_real(lines)


@unhurried
@given(st.floats(min_value=0, max_value=1e9))
def test_durations_are_the_nearest_double(duration: float) -> None:
    parsed = requests().parse(GOOD.replace("0.388", repr(duration)).encode(), 0)
    assert math.copysign(1, parsed.records["duration"].item()) * parsed.records["duration"].item() == duration


def test_a_chunk_of_very_short_lines_is_read_in_parts() -> None:
    parsed = requests().parse(b"\n" * 100_000 + b"x\n" * 100_000, 0)
    assert (parsed.blanks, parsed.rejects["offset"].to_list()) == (
        100_000,
        np.arange(100_000, 300_000, 2).tolist(),
    )


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("America/New_York", "2024-07-01 12:00:00", "2024-07-01 16:00"),
        ("America/New_York", "2024-11-03 01:30:00", "2024-11-03 05:30"),
        ("America/New_York", "2024-11-03 02:00:00", "2024-11-03 07:00"),
        ("Europe/Berlin", "2024-10-27 02:30:00", "2024-10-27 00:30"),
        ("Asia/Kolkata", "2024-10-01 00:00:00", "2024-09-30 18:30"),
    ],
)
def test_local_times_become_utc_and_of_two_the_earlier(zone: str, local: str, utc: str) -> None:
    parsed = requests(log_timezone=zone).parse(f"{local} c / 200 1".encode(), 0)
    assert parsed.records["timestamp"].to_list() == [datetime.fromisoformat(utc)]


def test_a_local_time_that_clocks_skip_is_rejected() -> None:
    line = "2024-03-10 02:30:00 c / 200 1"
    parsed = requests(log_timezone="America/New_York").parse(line.encode(), 0)
    assert parsed.rejects.row(0) == (
        0,
        "timestamp: found '2024-03-10 02:30:00', expected a local time that occurs in America/New_York",
        line,
    )


def test_a_time_that_leaves_the_calendar_in_utc_is_rejected() -> None:
    parsed = requests(log_timezone="Asia/Tokyo").parse(b"0001-01-01 00:00:00 c / 200 1", 0)
    assert parsed.rejects["offset"].to_list() == [0]
