"""Windows of the calendar, compared with a walk through local dates."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailmetrics.errors import QueryError
from tailmetrics.stats import Every
from tailmetrics.windows import (
    Grid,
    count_windows,
    from_us,
    parse_every,
    suitable_every,
    to_us,
    zone_named,
)
from tests.builders import at

HOUR = timedelta(hours=1)


class TestParseEvery:
    @pytest.mark.parametrize(
        ("text", "every"),
        [
            ("1d", Every("1d", days=1)),
            ("7d", Every("7d", days=7)),
            ("24h", Every("24h", days=1)),
            ("2880m", Every("2880m", days=2)),
            ("86400s", Every("86400s", days=1)),
            ("1s", Every("1s", seconds=1)),
            ("15m", Every("15m", seconds=900)),
            ("7h", Every("7h", seconds=25_200)),
            ("none", Every("none")),
        ],
    )
    def test_lengths_are_days_or_seconds(self, text: str, every: Every) -> None:
        assert parse_every(text) == every

    @pytest.mark.parametrize(
        "text",
        ["", "1", "d", "0d", "-1d", "1.5h", "1w", "1D", " 1d", "1d ", "1d\n", "01d", "1000000s", "\u0661d"],
    )
    def test_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(QueryError) as refused:
            parse_every(text)
        assert (refused.value.parameter, refused.value.value) == ("every", text)

    @pytest.mark.parametrize("text", ["25h", "36h", "1441m", "86401s"])
    def test_lengths_between_days_are_refused(self, text: str) -> None:
        with pytest.raises(QueryError, match="whole number of days"):
            parse_every(text)


class TestZoneNamed:
    def test_a_name_gives_its_zone(self) -> None:
        assert zone_named("Europe/Berlin") == ZoneInfo("Europe/Berlin")

    @pytest.mark.parametrize(
        "name", ["", "Nowhere/City", "../etc/passwd", "/etc/localtime", "UTC\0", "Europe"]
    )
    def test_another_is_refused(self, name: str) -> None:
        with pytest.raises(QueryError) as refused:
            zone_named(name)
        assert refused.value.parameter == "tz"


class TestTimes:
    @pytest.mark.parametrize(
        "text", ["0001-01-01", "1969-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"]
    )
    def test_microseconds_lead_back_to_the_time(self, text: str) -> None:
        assert from_us(to_us(at(text))) == at(text)

    def test_times_outside_the_calendar_are_its_edges(self) -> None:
        assert from_us(-(10**18)) == at("0001-01-01")
        assert from_us(10**18) == at("9999-12-31T23:59:59.999999")


def windows(every: str, zone: str, start: str, end: str) -> list[tuple[datetime, datetime]]:
    low, high = to_us(at(start)), to_us(at(end))
    grid = Grid(parse_every(every), zone_named(zone), [(low, high)])
    found = list(grid.windows(low, high))
    assert grid.count(low, high) == len(found)
    return [(from_us(begin), from_us(until)) for begin, until in found]


class TestGrid:
    def test_days_of_new_york_have_23_and_25_hours_when_clocks_change(self) -> None:
        for day, hours in (("2024-03-10", 23), ("2024-11-03", 25), ("2024-07-01", 24)):
            [(start, end)] = windows("1d", "America/New_York", f"{day}T12:00", f"{day}T12:01")
            assert end - start == hours * HOUR

    def test_windows_that_do_not_fit_end_with_their_day(self) -> None:
        lengths = [end - start for start, end in windows("7h", "UTC", "2024-10-10", "2024-10-11")]
        assert lengths == [7 * HOUR, 7 * HOUR, 7 * HOUR, 3 * HOUR]

    def test_a_day_of_25_hours_has_five_windows_of_6(self) -> None:
        found = windows("6h", "America/New_York", "2024-11-03T04:00", "2024-11-04T05:00")
        assert [end - start for start, end in found] == [6 * HOUR] * 4 + [HOUR]

    def test_days_are_counted_from_1970(self) -> None:
        [(start, end)] = windows("7d", "UTC", "1970-01-08", "1970-01-08T00:00:01")
        assert (start, end) == (at("1970-01-08"), at("1970-01-15"))

    def test_windows_before_1970_begin_before_their_times(self) -> None:
        [(start, end)] = windows("7d", "UTC", "1969-12-31T23:59:59", "1970-01-01")
        assert (start, end) == (at("1969-12-25"), at("1970-01-01"))

    @pytest.mark.parametrize(
        ("zone", "around", "start", "end"),
        [
            ("America/Sao_Paulo", "2017-10-15T12:00", "2017-10-15T03:00", "2017-10-16T02:00"),
            ("America/Sao_Paulo", "2018-02-17T12:00", "2018-02-17T02:00", "2018-02-18T03:00"),
            ("Asia/Beirut", "2024-03-31T12:00", "2024-03-30T22:00", "2024-03-31T21:00"),
            ("Africa/Cairo", "2024-04-26T12:00", "2024-04-25T22:00", "2024-04-26T21:00"),
            ("America/Toronto", "1919-03-30T23:00", "1919-03-30T05:00", "1919-03-31T04:30"),
            ("Pacific/Apia", "2011-12-31T06:00", "2011-12-30T10:00", "2011-12-31T10:00"),
        ],
    )
    def test_a_day_begins_with_the_first_instant_of_its_date(
        self, zone: str, around: str, start: str, end: str
    ) -> None:
        [window] = windows("1d", zone, around, f"{around}:01")
        assert window == (at(start), at(end))

    def test_two_changes_within_a_week_are_seen(self) -> None:
        lengths = [end - start for start, end in windows("1d", "Africa/Freetown", "1939-08-31", "1939-09-07")]
        assert any(length != 24 * HOUR for length in lengths)

    @pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
    @pytest.mark.parametrize("every", ["1d", "999999d", "7h"])
    @pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31T23:59:59.999998"])
    def test_the_edges_of_the_calendar_lie_in_a_window(self, zone: str, every: str, moment: str) -> None:
        us = to_us(at(moment))
        grid = Grid(parse_every(every), zone_named(zone), [(us, us + 1)])
        start = grid.start_of(us)
        assert start <= us < grid.end_of(start)

    def test_an_empty_range_has_no_windows(self) -> None:
        assert windows("1d", "America/New_York", "2024-10-10", "2024-10-10") == []

    @settings(max_examples=150, deadline=None)
    @given(
        zone=st.sampled_from(
            [
                "UTC",
                "Africa/Casablanca",
                "America/New_York",
                "America/Sao_Paulo",
                "America/St_Johns",
                "Antarctica/Troll",
                "Australia/Lord_Howe",
                "Europe/Dublin",
                "Pacific/Apia",
            ]
        ),
        every=st.sampled_from(["1d", "2d", "30d", "1h", "7h", "5000s"]),
        start=st.datetimes(datetime(1950, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001  # read as UTC
        days=st.integers(0, 10),
    )
    def test_windows_follow_each_other_and_begin_with_dates(
        self, zone: str, every: str, start: datetime, days: int
    ) -> None:
        """No gap and no overlap; each window lies in one date, or begins and ends where dates do."""
        text = start.isoformat()
        found = windows(every, zone, text, (start + timedelta(days=days, seconds=1)).isoformat())
        assert found[0][0] <= at(text) < found[0][1]
        assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
        length = parse_every(every)
        for begin, end in found:
            if length.days:
                assert is_beginning_of_date(begin, zone)
                assert is_beginning_of_date(end, zone)
            elif end - begin != timedelta(seconds=length.seconds):
                assert end - begin < timedelta(seconds=length.seconds)
                assert is_beginning_of_date(end, zone)


def is_beginning_of_date(moment: datetime, zone: str) -> bool:
    """Whether the calendar shows a date at a time that it did not show a microsecond before."""
    local = moment.astimezone(ZoneInfo(zone))
    before = (moment - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    return before.date() != local.date()


class TestCountWindows:
    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
    @pytest.mark.parametrize("every", ["1h", "7h", "23h", "1d", "3d"])
    @pytest.mark.parametrize("most", [3, 100_000])
    def test_it_is_what_a_walk_counts_or_more_than_the_most(self, zone: str, every: str, most: int) -> None:
        low, high = to_us(at("2024-10-30T05:30:00")), to_us(at("2024-11-09T17:10:00"))
        length, place = parse_every(every), ZoneInfo(zone)
        walked = len(list(Grid(length, place, [(low, high)]).windows(low, high)))
        counted = count_windows(length, place, low, high, most)
        assert counted == walked or min(counted, walked) > most

    def test_millennia_with_clock_changes_are_counted_at_once(self) -> None:
        low, high = to_us(at("0001-01-02")), to_us(at("9999-12-30"))
        number = count_windows(parse_every("1s"), ZoneInfo("America/New_York"), low, high, 50_000)
        assert number == (high - low) // 1_000_000


@pytest.mark.parametrize("most", [100, 50_000])
@pytest.mark.parametrize("seconds", [1, 86_400, 30 * 86_400, 40_000 * 86_400])
def test_a_suitable_length_is_the_shortest_that_fits(seconds: int, most: int) -> None:
    every = parse_every(suitable_every(seconds, most))
    assert seconds <= most * (every.seconds or every.days * 86_400)
    assert every.seconds == 1 or seconds > most * (every.seconds or every.days * 86_400) / 6
