"""The first lines of a log, tried: what they are, and in which format."""

from __future__ import annotations

import pytest

from tailmetrics.errors import UndecidedFormat
from tailmetrics.formats.detection import HEAD_BYTES
from tailmetrics.tailing.trial import Trial, tried
from tests.builders import format_options

LINE = b"2024-10-01 00:00:00 shop /cart 200 0.25\n"


def trial_of(head: bytes, name: str = "auto", *, is_finished: bool = True, **settings: str) -> Trial:
    trial = tried(head, format_options(name, **settings), "/x.log", 0, is_finished=is_finished)
    assert trial is not None
    return trial


def test_the_format_is_found_and_the_lines_are_read_in_it() -> None:
    trial = trial_of(LINE * 3)
    assert (trial.log_format.name, trial.parsed.records.height) == ("requests", 3)
    assert not trial.is_mostly_rejects


@pytest.mark.parametrize(("is_finished", "records"), [(True, 1), (False, 1)])
def test_an_unfinished_line_behind_whole_ones_is_not_tried(is_finished: bool, records: int) -> None:
    parsed = trial_of(LINE + b"2024-10-", is_finished=is_finished).parsed
    assert (parsed.records.height, parsed.rejects.height) == (records, 0)


def test_an_only_line_need_not_have_its_end_when_the_log_is_finished() -> None:
    assert trial_of(LINE[:-1]).parsed.records.height == 1
    assert tried(LINE[:-1], format_options("auto"), "/x.log", 0, is_finished=False) is None
    assert tried(LINE[:-1], format_options("requests"), "/x.log", 0, is_finished=False) is None


def test_a_log_of_blank_lines_alone_is_not_tried() -> None:
    assert tried(b"\n \n", format_options("auto"), "/x.log", 0, is_finished=True) is None


def test_a_beginning_without_any_line_end_is_not_tried() -> None:
    assert tried(b"x" * HEAD_BYTES, format_options("requests"), "/x.log", 0, is_finished=True) is None


def test_the_last_block_of_results_is_tried_only_when_it_is_closed() -> None:
    parsed = trial_of(b"# Test: apples\n# Result: PASS\n# Test: pears\n", "results").parsed
    assert (parsed.records.height, parsed.rejects.height) == (1, 0)


def test_most_lines_are_rejects_when_more_than_half_are() -> None:
    assert trial_of(LINE + b"junk\n" * 2, "requests").is_mostly_rejects
    assert not trial_of(LINE * 2 + b"junk\n" * 2, "requests").is_mostly_rejects


def test_a_reject_has_the_number_of_its_line() -> None:
    trial = trial_of(LINE * 2 + b"\n" + b"junk\n", "requests")
    assert trial.line_number(trial.parsed.rejects["offset"][0]) == 4


def test_lines_of_another_format_than_the_one_that_is_named_tell_which() -> None:
    assert trial_of(LINE, "json").likely_name == "requests"
    assert trial_of(LINE, "requests").likely_name is None
    assert trial_of(b"junk\n", "json").likely_name is None


@pytest.mark.parametrize(("duration", "unit", "median"), [(b"40000", "", 40000.0), (b"40000", "ms", None)])
def test_half_of_the_durations_above_an_hour_are_improbable(
    duration: bytes, unit: str, median: float | None
) -> None:
    trial = trial_of(LINE.replace(b"0.25", duration) * 2 + LINE, "requests", log_duration_unit=unit)
    assert trial.improbable_median == median
    assert trial_of(b"junk\n", "requests").improbable_median is None


def test_a_log_of_no_known_format_is_undecided() -> None:
    with pytest.raises(UndecidedFormat, match="found 'junk'"):
        trial_of(b"junk\n")


NGINX = b'203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl" 0.1\n'


@pytest.mark.parametrize(
    ("customer", "silent"),
    [
        ("usr,address", ("usr",)),
        ("user,address", ("user",)),
        ("address,user", ("user",)),
        ("/{customer}/b,address", ("/{customer}/b",)),
        ("kafka:key,address", ()),
        ("address", ()),
        ("usr", ()),
        ("", ()),
    ],
    ids=[
        "misspelt",
        "nobody-logged-in",
        "a-later-one",
        "part-of-a-path",
        "told-by-a-message",
        "one",
        "none-at-all",
        "default",
    ],
)
def test_fields_that_tell_no_customer_are_known(customer: str, silent: tuple[str, ...]) -> None:
    assert trial_of(NGINX * 2, log_customer=customer).silent_customers == silent


OBJECT = '{"timestamp":"2024-10-01T00:00:01Z","customer_id":"a","path":"/","status_code":200}'
ECS = (
    '{"@timestamp":1727740801,"client":{"ip":"a"},"url":{"path":"/"},"http":{"response":{"status_code":200}}}'
)
OTEL = '{"timestamp":1727740801,"attributes":{"url.path":"/","http.status_code":200,"client.address":"a"}}'
PAIRS = "ts=2024-10-01T00:00:01Z user=a path=/ status=200"


@pytest.mark.parametrize(
    ("name", "line", "named"),
    [("json", OBJECT, ()), ("ecs", ECS, ("LOG_FORMAT=json",)), ("otel", OTEL, ("LOG_FORMAT=json",))],
)
def test_a_duration_under_a_key_that_is_not_looked_at_is_told_with_what_reads_it(
    name: str, line: str, named: tuple[str, ...]
) -> None:
    log = f'{line[:-1]},"timing":{{"duration_ms":5}}}}\n'
    *others, fields = trial_of(log.encode(), name).settings_of_durations
    assert (tuple(others), fields.rpartition(",duration=")[2]) == (named, "timing.duration_ms")


def test_a_lost_duration_of_pairs_is_told_with_what_reads_it() -> None:
    lost = trial_of(f"{PAIRS} execution_time=5ms\n".encode(), "logfmt").settings_of_durations
    assert lost == (
        "LOG_JSON_FIELDS=timestamp=ts,customer_id=user,path=path,status_code=status,duration=execution_time",
    )


def test_a_lost_duration_is_told_behind_lines_without_one() -> None:
    log = f'{OBJECT}\n{OBJECT}\n{OBJECT[:-1]},"responseTime":12}}\n'
    assert trial_of(log.encode()).settings_of_durations[0].endswith("duration=responseTime")


@pytest.mark.parametrize(
    "line", [OBJECT, ECS, PAIRS, f'{OBJECT[:-1]},"duration":1}}', f"{PAIRS} db_duration=5 timeout=5 uptime=5"]
)
def test_of_lines_that_lose_no_duration_none_is_told(line: str) -> None:
    assert trial_of(f"{line}\n".encode()).settings_of_durations == ()
