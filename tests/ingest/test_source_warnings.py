"""When a source is warned of, in which words, and when not any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tailmetrics.ingest import source_warnings
from tailmetrics.ingest.source_warnings import SourceWarnings
from tailmetrics.sources import Batch, Partition, Source
from tests.builders import at, batch_of, source_of

SOURCE = source_of()
NO_JSON = "line: found 'GET /', expected a JSON object"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set; one minute at first."""
    now = [60.0]
    monkeypatch.setattr(source_warnings.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def warnings(clock: list[float]) -> SourceWarnings:
    return SourceWarnings()


def lines(
    records: int = 0,
    rejects: int = 0,
    reason: str = NO_JSON,
    source: Source = SOURCE,
    durations: Sequence[float | None] = (),
) -> Batch:
    seconds = durations or [0.5] * records
    rows = [(at("2024-10-10T12:00:00"), "c", "/", 200, duration) for duration in seconds]
    return batch_of(source, rows, rejects=[(reason, "GET /")] * rejects)


def texts(warnings: SourceWarnings, source: Source = SOURCE) -> list[str]:
    return [f"{each.kind}: {each.text}" for each in warnings.found().get(source.source_id, ())]


class TestRejects:
    def test_the_first_line_alone_is_enough(self, warnings: SourceWarnings) -> None:
        warnings.count(lines(rejects=1))
        [text] = texts(warnings)
        assert text == (
            "rejects: 1 of the latest 1 lines of /logs/requests.log (100%) could not be read, such as: "
            f"{NO_JSON}; `tailmetrics detect /logs/requests.log` tells their format"
        )

    @pytest.mark.parametrize(("records", "rejects", "warned"), [(5, 5, 0), (5, 6, 1), (1, 0, 0), (0, 0, 0)])
    def test_more_than_half_must_be_rejects(
        self, warnings: SourceWarnings, records: int, rejects: int, warned: int
    ) -> None:
        warnings.count(lines(records, rejects))
        assert len(texts(warnings)) == warned

    def test_blank_lines_count_for_nothing(self, warnings: SourceWarnings) -> None:
        warnings.count(batch_of(SOURCE, rejects=[(NO_JSON, "x")], blanks=100))
        assert "1 of the latest 1 lines" in texts(warnings)[0]

    def test_lines_of_the_same_minute_count_together(
        self, warnings: SourceWarnings, clock: list[float]
    ) -> None:
        warnings.count(lines(records=10))
        clock[0] += 40
        warnings.count(lines(rejects=9))
        assert texts(warnings) == []
        warnings.count(lines(rejects=2))
        assert "11 of the latest 21 lines of /logs/requests.log (52%)" in texts(warnings)[0]

    def test_lines_older_than_a_minute_do_not_count(
        self, warnings: SourceWarnings, clock: list[float]
    ) -> None:
        warnings.count(lines(records=1000))
        clock[0] += 61
        warnings.count(lines(rejects=1))
        assert "1 of the latest 1 lines" in texts(warnings)[0]

    def test_a_log_that_is_not_written_to_any_more_stays_warned_of(
        self, warnings: SourceWarnings, clock: list[float]
    ) -> None:
        warnings.count(lines(rejects=3))
        clock[0] += 3600
        assert "3 of the latest 3 lines" in texts(warnings)[0]

    def test_the_example_is_of_the_field_that_is_wrong_most_often(self, warnings: SourceWarnings) -> None:
        reasons = ["status_code: found 'a'", "path: found 'b'", "timestamp: found 'c'", "path: found 'd'"]
        warnings.count(batch_of(SOURCE, rejects=[(reason, "x") for reason in reasons]))
        assert "such as: path: found 'b'; " in texts(warnings)[0]

    def test_its_beginning_and_its_end_are_logged_once(
        self, warnings: SourceWarnings, clock: list[float]
    ) -> None:
        with capture_logs() as logged:
            for _ in range(3):
                warnings.count(lines(rejects=1))
                clock[0] += 1
            for _ in range(2):
                warnings.count(lines(records=3))
        assert texts(warnings) == []
        assert [(each["log_level"], each["event"], each["path"]) for each in logged] == [
            ("warning", "most lines of a log cannot be read", SOURCE.path),
            ("info", "most lines of a log can be read again", SOURCE.path),
        ]
        assert "`tailmetrics detect /logs/requests.log`" in logged[0]["warning"]

    def test_a_path_with_a_space_can_be_pasted(self, warnings: SourceWarnings) -> None:
        source = replace(SOURCE, path="/logs/my app.log")
        warnings.count(lines(rejects=1, source=source))
        assert "`tailmetrics detect '/logs/my app.log'`" in texts(warnings)[0]

    def test_of_a_shipped_file_it_is_said_where_it_lies(self, warnings: SourceWarnings) -> None:
        shipped = replace(lines(rejects=1), path="edge:/logs/my shop.log")
        warnings.count(shipped, is_shipped=True)
        assert "lines of edge:/logs/my shop.log (100%)" in texts(warnings)[0]
        assert texts(warnings)[0].endswith(
            "; on edge `tailmetrics detect '/logs/my shop.log'` tells their format, "
            "and here LOG_FILE_PATH says how they are read"
        )

    def test_of_a_partition_the_setting_is_named(self, warnings: SourceWarnings) -> None:
        partition = Partition(replace(SOURCE, path="kafka://b:9092/logs/0"), 1)
        warnings.count(replace(lines(rejects=1), path=partition.source.path, partition=partition))
        assert texts(warnings)[0].endswith("; LOG_FILE_PATH says how they are read")

    def test_sources_are_counted_apart(self, warnings: SourceWarnings) -> None:
        other = source_of("other.log")
        warnings.count(lines(rejects=5))
        warnings.count(lines(records=5, source=other))
        assert (len(texts(warnings)), texts(warnings, other)) == (1, [])

    def test_messages_of_a_queue_are_counted_together(self, warnings: SourceWarnings) -> None:
        url = "amqp://host:5672/?queue=logs"
        for name in ("one", "two"):
            warnings.count(lines(rejects=1, source=source_of(name)), url)
        [(key, [warning])] = warnings.found().items()
        assert key == url
        assert warning.text.startswith(f"2 of the latest 2 lines of {url} (100%)")
        assert "detect" not in warning.text

    def test_the_share_of_rejects_is_told_from_the_first_one_on(
        self, warnings: SourceWarnings, clock: list[float]
    ) -> None:
        warnings.count(lines(records=2))
        assert warnings.reject_percents() == {}
        warnings.count(lines(rejects=1))
        assert warnings.reject_percents() == {SOURCE.source_id: 33.3}
        clock[0] += 60
        warnings.count(lines(records=1))
        assert warnings.reject_percents() == {}

    def test_however_many_sources_come_and_go_those_that_had_lines_last_are_kept(
        self, warnings: SourceWarnings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(source_warnings, "_MOST_SOURCES", 2)
        sources = [source_of(name) for name in ("one", "two", "three")]
        for source in (sources[0], sources[1], sources[0], sources[2]):
            warnings.count(lines(rejects=1, source=source))
        assert set(warnings.found()) == {sources[0].source_id, sources[2].source_id}


class TestDurations:
    def test_a_median_above_an_hour_is_told_with_the_setting_that_helps(
        self, warnings: SourceWarnings
    ) -> None:
        warnings.count(lines(durations=[152_340.0] * 1000))
        [text] = texts(warnings)
        assert text == (
            "duration: durations of /logs/requests.log have a median of 152340 s: LOG_DURATION_UNIT says in "
            "which unit they are"
        )

    @pytest.mark.parametrize(("long", "warned"), [(500, 0), (501, 1)])
    def test_more_than_half_must_be_above_an_hour(
        self, warnings: SourceWarnings, long: int, warned: int
    ) -> None:
        warnings.count(lines(durations=[3600.0] * (1000 - long) + [3601.0] * long))
        assert len(texts(warnings)) == warned

    def test_fewer_than_a_thousand_durations_say_nothing(self, warnings: SourceWarnings) -> None:
        warnings.count(lines(durations=[4000.0] * 999 + [None] * 500))
        assert texts(warnings) == []
        warnings.count(lines(durations=[4000.0]))
        assert "a median of 4000 s" in texts(warnings)[0]

    def test_it_is_the_median_of_all_that_is_told(self, warnings: SourceWarnings) -> None:
        durations = ([1.0] * 4 + [5000.0] * 2 + [90_000.0] * 4) * 10
        for _ in range(10):
            warnings.count(lines(durations=durations))
        assert "a median of 5000 s" in texts(warnings)[0]

    def test_a_format_without_durations_says_nothing(self, warnings: SourceWarnings) -> None:
        warnings.count(lines(durations=[None] * 2000))
        assert texts(warnings) == []

    def test_it_ends_with_the_next_thousand_and_both_are_logged(self, warnings: SourceWarnings) -> None:
        with capture_logs() as logged:
            warnings.count(lines(durations=[4000.0] * 1000))
            warnings.count(lines(durations=[4000.0] * 1500))
            warnings.count(lines(durations=[0.1] * 1000))
        assert texts(warnings) == []
        assert [(each["log_level"], each["event"]) for each in logged] == [
            ("warning", "durations of a log are improbable"),
            ("info", "durations of a log are probable again"),
        ]
