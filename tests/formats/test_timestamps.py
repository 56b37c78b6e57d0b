from __future__ import annotations

from datetime import datetime, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.errors import FormatError
from tailmetrics.formats.timestamps import reader, with_year

from .logs import unhurried


def read(texts: list[str], zone: str = "UTC", pattern: str = "") -> list[datetime | None]:
    return reader(zone, pattern).read(pl.Series(texts, dtype=pl.String)).to_list()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-10-01T00:00:01Z", "2024-10-01 00:00:01"),
        ("2024-10-01t00:00:01z", "2024-10-01 00:00:01"),
        ("2024-10-01 00:00:01", "2024-10-01 00:00:01"),
        ("2024-10-01 00:00:01,123", "2024-10-01 00:00:01.123"),
        ("2024-10-01T00:00:01.123456789Z", "2024-10-01 00:00:01.123456"),
        ("2024-10-01T00:00:01+05:30", "2024-09-30 18:30:01"),
        ("2024-10-01T00:00:01.5-0330", "2024-10-01 03:30:01.5"),
        ("2024-10-01 00:00:01 +02", "2024-09-30 22:00:01"),
        ("10/Oct/2024:13:55:36 -0700", "2024-10-10 20:55:36"),
        ("1727740801", "2024-10-01 00:00:01"),
        ("1727740801.25", "2024-10-01 00:00:01.25"),
        ("-1.5", "1969-12-31 23:59:58.5"),
        ("99999999999", "5138-11-16 09:46:39"),
        ("100000000000", "1973-03-03 09:46:40"),
        ("1727740801000", "2024-10-01 00:00:01"),
        ("253402300800", "1978-01-11 21:31:40.8"),
        ("1712790000123", "2024-04-10 23:00:00.123"),
        ("1712790000123.456789", "2024-04-10 23:00:00.123456"),
        ("-1500000000000", "1922-06-20 21:20:00"),
        ("1712790000123456", "2024-04-10 23:00:00.123456"),
        ("1712790000123000000", "2024-04-10 23:00:00.123"),
        ("1712790000123456789", "2024-04-10 23:00:00.123456"),
        ("1727740801.123456999", "2024-10-01 00:00:01.123456"),
        ("Tue, 01 Oct 2024 00:00:01 GMT", "2024-10-01 00:00:01"),
        ("Mon, 01 Oct 2024 00:00:01 GMT", "2024-10-01 00:00:01"),
        ("1 Oct 2024 02:00:01 +0200", "2024-10-01 00:00:01"),
        ("01/Oct/2024 00:00:01", "2024-10-01 00:00:01"),
        ("[10/Oct/2024:13:55:36 -0700]", "2024-10-10 20:55:36"),
        ("[2024-10-01T00:00:01.5+05:30]", "2024-09-30 18:30:01.5"),
        ("[1727740801]", "2024-10-01 00:00:01"),
        ("2024-10-01 00:00:01 UTC", "2024-10-01 00:00:01"),
        ("2024-10-01 00:00:01.5 GMT", "2024-10-01 00:00:01.5"),
        ("2024-10-01 02:00:01.123456789 +0200 CEST", "2024-10-01 00:00:01.123456"),
        ("2024-10-01 00:00:01 +0000 UTC", "2024-10-01 00:00:01"),
    ],
)
def test_a_time_is_read_by_its_shape(text: str, utc: str) -> None:
    assert read([text]) == [datetime.fromisoformat(utc.ljust(26, "0") if "." in utc else utc)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-10-01",
        "2024-10-01T00:00",
        "2024-10-01T00:00:60Z",
        "2024-10-01T24:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-10-01T00:00:00+24:00",
        "2024-10-01T00:00:00.1234567890Z",
        " 2024-10-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "31/Feb/2024:00:00:00 +0000",
        "10/Oct/2024:13:55:36 XYZ",
        "99999999999999999999",
        "1e9",
        "Tue, 01 Oct 2024 00:00:01 PST",
        "Tue, 31 Feb 2024 00:00:01 GMT",
        "Tue, 01 Oct 2024 00:00:01",
        "[10/Oct/2024:13:55:36 +0000",
        "10/Oct/2024:13:55:36 +0000]",
        "[[10/Oct/2024:13:55:36 +0000]]",
        "[]",
        "2024-10-01 00:00:01 PST",
        "2024-10-01 00:00:01Z UTC",
        "٢٠٢٤-10-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_null(text: str) -> None:
    assert read([text]) == [None]


def test_shapes_may_be_mixed() -> None:
    texts = ["2024-10-01T00:00:01Z", "1727740801", "01/Oct/2024:02:00:01 +0200", "[1727740801]", "soon"]
    time = datetime.fromisoformat("2024-10-01 00:00:01")
    assert read(texts) == [time, time, time, time, None]


def test_only_a_time_without_a_zone_is_local() -> None:
    texts = ["2024-10-01T00:00:01", "[2024-10-01T00:00:01]", "2024-10-01T00:00:01Z", "1727740801"]
    texts.append("2024-10-01 00:00:01 UTC")
    local, utc = (datetime.fromisoformat(f"2024-10-01 0{hour}:00:01") for hour in (4, 0))
    assert read(texts, "America/New_York") == [local, local, utc, utc, utc]


@unhurried
@given(st.datetimes(timezones=st.timezones().filter(lambda zone: zone.key != "localtime")))
def test_what_python_writes_is_read_as_the_same_moment(moment: datetime) -> None:
    text = moment.isoformat()
    offset = moment.utcoffset()
    assert offset is not None
    if offset.total_seconds() % 60 or not 2 <= moment.year <= 9998:
        return
    assert read([text]) == [moment.replace(tzinfo=None) - offset]


@pytest.mark.parametrize(
    ("pattern", "text", "utc"),
    [
        ("%d.%m.%Y %H:%M:%S", "01.10.2024 02:00:01", "2024-10-01 06:00:01"),
        ("%d.%m.%Y %H:%M:%S.%f", "01.10.2024 02:00:01.5", "2024-10-01 06:00:01.500000"),
        ("%Y-%m-%d %H:%M:%S,%3f", "2024-10-01 02:00:01,123", "2024-10-01 06:00:01.123000"),
        ("%b %d %Y %I:%M %p", "Oct 01 2024 02:00 PM", "2024-10-01 18:00:00"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-10-01T02:00:01+0200", "2024-10-01 00:00:01"),
        ("%s", "1727740801", "2024-10-01 00:00:01"),
    ],
)
def test_a_format_of_ones_own_is_local_unless_it_tells_the_zone(pattern: str, text: str, utc: str) -> None:
    assert read([text, "soon"], "America/New_York", pattern) == [datetime.fromisoformat(utc), None]


@pytest.mark.parametrize("pattern", ["%H:%M:%S", "%b %d %H:%M:%S", "%Q", "%", "x", "%Y-%m-%d %H:%M:%S,%f"])
def test_a_format_that_tells_no_full_date_is_named_when_the_format_is_opened(pattern: str) -> None:
    with pytest.raises(FormatError, match=r"^LOG_TIMESTAMP_FORMAT: found '.*', expected a strftime format"):
        reader("UTC", pattern)


@pytest.mark.parametrize(
    ("zone", "utc"),
    [
        ("PST", "2024-12-27 00:22:13"),
        ("PDT", "2024-12-26 23:22:13"),
        ("EST", "2024-12-26 21:22:13"),
        ("CET", "2024-12-26 15:22:13"),
        ("EEST", "2024-12-26 13:22:13"),
        ("UTC", "2024-12-26 16:22:13"),
        ("+0100", "2024-12-26 15:22:13"),
    ],
)
def test_the_abbreviation_of_a_zone_is_its_offset(zone: str, utc: str) -> None:
    text = f"Thu Dec 26 16:22:13 {zone} 2024"
    assert read([text, "soon"], "Asia/Tokyo", "%a %b %d %H:%M:%S %Z %Y") == [
        datetime.fromisoformat(utc),
        None,
    ]


@pytest.mark.parametrize("zone", ["BST", "IST", "XYZ", "PSTX", "Europe/Berlin", "pst"])
def test_an_abbreviation_that_tells_no_offset_is_refused_with_those_that_do(zone: str) -> None:
    times = reader("UTC", "%b %d %Y %H:%M:%S %Z")
    text = pl.Series([f"Dec 26 2024 16:22:13 {zone}"])
    assert times.read(text).to_list() == [None]
    assert "%Z one of UTC, GMT, UT, Z, WET, CET" in times.reasons(text).item()


def test_am_and_pm_are_no_zones() -> None:
    assert read(["Dec 26 2024 04:22 PM PST"], "UTC", "%b %d %Y %I:%M %p %Z") == [
        datetime.fromisoformat("2024-12-27 00:22")
    ]


@pytest.mark.parametrize(
    ("text", "written", "time"),
    [
        ("Dec 26 16:22:13", "2024-12-26T16:22:14", "2024-12-26T16:22:13"),
        ("Dec 26 16:22:13", "2025-01-02T00:00:00", "2024-12-26T16:22:13"),
        ("Dec 26 16:22:13.123456", "2025-01-02T00:00:00", "2024-12-26T16:22:13.123456"),
        ("Jan  1 00:00:05", "2024-12-31T23:59:59", "2025-01-01T00:00:05"),
        ("Jan 03 00:00:05", "2024-12-31T23:59:59", "2024-01-03T00:00:05"),
        ("Feb 29 12:00:00", "2027-03-01T00:00:00", "2024-02-29T12:00:00"),
        ("Feb 30 12:00:00", "2027-03-01T00:00:00", "Feb 30 12:00:00"),
        ("Dec 26 16:22", "2024-12-26T16:22:14", "Dec 26 16:22"),
        ("2024-12-26 16:22:13", "2024-12-26T16:22:14", "2024-12-26 16:22:13"),
    ],
)
def test_a_time_without_a_year_is_the_last_before_the_log_was_written(
    text: str, written: str, time: str
) -> None:
    moment = datetime.fromisoformat(written).replace(tzinfo=timezone.utc)
    found = with_year(pl.Series([text, "soon", None]), int(moment.timestamp()) * 10**9)
    assert found.to_list() == [time, "soon", None]


def test_a_log_that_claims_to_be_written_at_the_end_of_all_times_has_a_year() -> None:
    assert with_year(pl.Series(["Dec 26 16:22:13"]), 10**30).to_list() == ["2261-12-26T16:22:13"]
