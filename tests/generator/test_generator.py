"""The generator: what its lines look like, how they get into the file, and how it paces and ends."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.formats import open_format
from tailmetrics.generator import (
    CUSTOMERS,
    PATHS,
    TESTS,
    GeneratorOptions,
    generate,
    generated_file,
    stop_on_signals,
)
from tailmetrics.queues.publisher import Publisher
from tailmetrics.records import ParsedLines
from tailmetrics.settings import load_settings
from tailmetrics.urls import QueueUrl

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d cust_([1-9]|[1-4]\d|50) /api/v1/resource[1-4] [1-5]\d\d \d+\.\d{3}"
)
NOW = datetime(2024, 11, 6, 6, 33, 33, tzinfo=timezone.utc)


def never(seconds: float) -> bool:
    return False


def after(batches: int) -> Callable[[float], bool]:
    """A `wait` that asks to stop when so many batches are written."""
    calls = iter(range(batches))
    return lambda seconds: next(calls, None) is None


def written(file: Path, **options: object) -> list[str]:
    given = {"interval_seconds": 0.0, "batch_size": 100, "seed": 1, "now": NOW, **options}
    generate(GeneratorOptions(file, **given), never)  # type: ignore[arg-type]
    return file.read_text().splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "requests.log"


@pytest.mark.parametrize("mode", ["realistic", "uniform"])
def test_every_line_has_the_six_fields_with_single_spaces(file: Path, mode: str) -> None:
    lines = written(file, mode=mode, max_lines=20_000)
    assert [line for line in lines if not LINE.fullmatch(line)] == []


@pytest.mark.parametrize("max_lines", [1, 99, 100, 101, 40_000])
def test_exactly_max_lines_are_written(file: Path, max_lines: int) -> None:
    assert len(written(file, max_lines=max_lines)) == max_lines


def test_a_seed_gives_the_same_bytes_again(tmp_path: Path) -> None:
    first = written(tmp_path / "a", max_lines=500)
    assert written(tmp_path / "b", max_lines=500) == first


def test_another_seed_gives_other_lines(tmp_path: Path) -> None:
    first = written(tmp_path / "a", max_lines=500)
    assert written(tmp_path / "b", max_lines=500, seed=2) != first


def test_a_seed_gives_the_same_lines_with_any_batch_size(tmp_path: Path) -> None:
    first = written(tmp_path / "a", max_lines=40_000, batch_size=7)
    assert written(tmp_path / "b", max_lines=40_000, batch_size=30_000) == first


def test_realistic_lines_carry_the_time_of_their_append(file: Path) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    lines = written(file, max_lines=1, now=None)
    stamp = datetime.strptime(lines[0][:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    assert before <= stamp <= datetime.now(timezone.utc)


def test_timestamps_are_in_the_log_timezone(file: Path) -> None:
    lines = written(file, max_lines=1, zone="Asia/Kolkata")
    assert lines[0].startswith("2024-11-06 12:03:33 ")


def test_old_timestamps_are_in_the_log_timezone_too(file: Path) -> None:
    lines = written(file, max_lines=1, days=1, zone="Asia/Kolkata")
    assert lines[0].startswith("2024-11-05 12:03:33 ")


def test_realistic_requests_succeed_mostly(file: Path) -> None:
    lines = written(file, max_lines=20_000)
    succeeded = sum(int(line.split(" ")[4]) < 400 for line in lines)
    assert 0.90 < succeeded / len(lines) < 0.97


def test_realistic_customers_differ_in_popularity(file: Path) -> None:
    counts = Counter(line.split(" ")[2] for line in written(file, max_lines=20_000))
    assert counts["cust_1"] > 10 * counts["cust_50"] > 0


def test_realistic_latencies_depend_on_the_path(file: Path) -> None:
    durations: dict[str, list[float]] = {path: [] for path in PATHS}
    for line in written(file, max_lines=20_000):
        _, _, _, path, _, duration = line.split(" ")
        durations[path].append(float(duration))
    medians = [sorted(values)[len(values) // 2] for values in durations.values()]
    assert medians == sorted(set(medians))


def test_uniform_choices_are_equally_frequent(file: Path) -> None:
    counts = Counter(line.split(" ")[2] for line in written(file, mode="uniform", max_lines=50_000))
    assert set(counts) == set(CUSTOMERS)
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_uniform_timestamps_cover_the_last_30_days_out_of_order(file: Path) -> None:
    stamps = [line[:19] for line in written(file, mode="uniform", max_lines=5_000)]
    assert stamps != sorted(stamps)
    assert len({stamp[:10] for stamp in stamps}) == 31  # both ends are days cut by the time of day
    assert (
        min(stamps) >= f"{NOW - timedelta(days=30):%Y-%m-%d %H:%M:%S}"
        and max(stamps) < f"{NOW:%Y-%m-%d %H:%M:%S}"
    )


def test_realistic_history_rises_over_its_days(file: Path) -> None:
    stamps = [line[:19] for line in written(file, max_lines=20_000, days=7)]
    assert stamps == sorted(stamps)
    assert (stamps[0], stamps[-1][:15]) == ("2024-10-30 06:33:33", "2024-11-06 06:3")


def test_lines_are_appended_to_what_is_there(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("first\n")
    assert written(file, max_lines=2)[0] == "first"


def test_a_fragment_left_by_a_killed_writer_stays_a_line_of_its_own(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("2024-11-06 06:3")
    lines = written(file, max_lines=2)
    assert [bool(LINE.fullmatch(line)) for line in lines] == [False, True, True]


def test_a_batch_is_one_write(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    write = os.write

    def spy(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", spy)
    written(file, max_lines=5_000, batch_size=2_500)
    assert len(sizes) == 2 and sum(sizes) == file.stat().st_size


def test_a_short_write_is_completed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    lines = written(file, max_lines=500)
    assert len(lines) == 500 and all(LINE.fullmatch(line) for line in lines)


def test_a_rotated_file_is_left_whole_and_a_new_one_begun(file: Path) -> None:
    rotated = file.with_suffix(".1")

    def rotate_before_the_third(seconds: float) -> bool:
        if file.exists() and not rotated.exists() and file.read_text().count("\n") == 20:
            file.rename(rotated)
        return False

    options = GeneratorOptions(file, batch_size=10, interval_seconds=0, max_lines=50, seed=1)
    generate(options, rotate_before_the_third)
    assert (rotated.read_text().count("\n"), file.read_text().count("\n")) == (20, 30)


def test_a_deleted_file_is_begun_anew(file: Path) -> None:
    def delete_before_the_second(seconds: float) -> bool:
        if file.stat().st_size:
            file.unlink()
        return False

    options = GeneratorOptions(file, batch_size=10, interval_seconds=0, max_lines=20, seed=1)
    generate(options, delete_before_the_second)
    assert file.read_text().count("\n") == 10


def test_it_ends_when_asked_to_between_batches(file: Path) -> None:
    options = GeneratorOptions(file, batch_size=10, interval_seconds=0)
    assert generate(options, after(3)).lines == 30


def test_the_result_says_what_was_written(file: Path) -> None:
    result = generate(GeneratorOptions(file, interval_seconds=0, max_lines=25), never)
    assert (result.lines, result.size) == (25, file.stat().st_size)


def test_the_pace_does_not_drift(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    waits = []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def wait(seconds: float) -> bool:
        waits.append(round(seconds, 3))
        clock[0] += max(seconds, 0) + 0.03  # what the batch itself takes
        return len(waits) == 4

    generate(GeneratorOptions(file, interval_seconds=0.1), wait)
    assert waits == [0.0, 0.07, 0.07, 0.07]


def test_a_long_pause_is_not_made_up_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    waits = []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def wait(seconds: float) -> bool:
        waits.append(round(seconds, 3))
        clock[0] += 3600 if len(waits) == 1 else 0
        return len(waits) == 3

    generate(GeneratorOptions(file, interval_seconds=0.5), wait)
    assert waits == [0.0, -1.0, -0.5]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_at_once(number: signal.Signals) -> None:
    with stop_on_signals(lambda: None) as wait:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
        timer.start()
        started = time.monotonic()
        stopped = wait(30)
        timer.join()
    assert stopped and time.monotonic() - started < 5


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(lambda: None):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_file_is_the_first_entry_of_the_log_paths() -> None:
    settings = load_settings(None, log_file_path="a.log,b-*.log")
    assert generated_file(settings.log_paths) == Path("a.log")


def test_a_glob_is_refused_with_what_to_do() -> None:
    settings = load_settings(None, log_file_path="logs/*.log")
    with pytest.raises(SettingsError, match=r"found the glob 'logs/\*\.log'.*--file"):
        generated_file(settings.log_paths)


def test_a_path_of_another_format_is_refused() -> None:
    settings = load_settings(None, log_file_path="nginx=access.log")
    with pytest.raises(SettingsError, match=r"found 'nginx' for access\.log, expected 'requests'"):
        generated_file(settings.log_paths)


@pytest.mark.parametrize("mode", ["realistic", "uniform"])
def test_without_pauses_300_000_lines_take_a_second_at_most(file: Path, mode: str) -> None:
    options = GeneratorOptions(file, mode, batch_size=1_000, interval_seconds=0, max_lines=600_000)  # type: ignore[arg-type]
    # Time of the processor, so that a busy machine does not count.
    started = time.process_time()
    generate(options, never)
    assert time.process_time() - started < 2.0


# The format results


def parsed(log: bytes, name: str = "test_1700000000.log") -> ParsedLines:
    """What the format makes of all of a log."""
    return open_format(load_settings(None).format_options("results")).of_source(name, 0).parse(log, 0)


@pytest.mark.parametrize("mode", ["realistic", "uniform"])
@pytest.mark.parametrize("max_lines", [1, 100, 20_000])
def test_every_line_of_results_is_read(file: Path, mode: str, max_lines: int) -> None:
    lines = written(file, mode=mode, max_lines=max_lines, format_name="results")
    read = parsed(file.read_bytes())
    assert (read.records.height, read.rejects.height) == (max_lines, 0)
    assert read.records.height + read.blanks == len(lines)


@pytest.mark.parametrize(("mode", "least", "most"), [("realistic", 0.01, 0.10), ("uniform", 0.45, 0.55)])
def test_some_results_are_failures(file: Path, mode: str, least: float, most: float) -> None:
    lines = written(file, mode=mode, max_lines=20_000, format_name="results")
    failed = parsed(file.read_bytes()).records.filter(status_code=500).height
    assert failed == sum(line.endswith("Result: FAIL") for line in lines)
    assert least < failed / 20_000 < most


def test_a_round_of_results_has_each_test_once_and_its_number(file: Path) -> None:
    lines = written(file, max_lines=3 * len(TESTS), format_name="results")
    counts = parsed(file.read_bytes()).records["customer_id"].value_counts()
    assert dict(counts.iter_rows()) == dict.fromkeys(TESTS, 3)
    assert [line for line in lines if "Iteration" in line] == [
        f"# Iteration {number}" for number in (1, 2, 3)
    ]


def test_a_seed_gives_the_same_results_with_any_batch_size(tmp_path: Path) -> None:
    first = written(tmp_path / "a", max_lines=20_000, batch_size=7, format_name="results")
    assert written(tmp_path / "b", max_lines=20_000, batch_size=9_000, format_name="results") == first


def test_a_batch_of_results_has_whole_tests(file: Path) -> None:
    options = GeneratorOptions(file, batch_size=10, interval_seconds=0, format_name="results")
    assert generate(options, after(3)).lines == 30
    assert parsed(file.read_bytes()).records.height == 30


def test_a_log_of_results_is_named_by_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, int]] = []

    class Sent(Publisher):
        def __enter__(self) -> Publisher:
            return self

        def send(self, name: str, log_bytes: bytes) -> None:
            read = parsed(log_bytes, name)
            sent.append((name, read.records.height))
            assert read.rejects.is_empty()

    monkeypatch.setattr("tailmetrics.generator.target.Publisher", Sent)
    queue = QueueUrl.parse("amqp://localhost/?queue=tests")
    options = GeneratorOptions(
        queue, batch_size=16, interval_seconds=3, max_lines=40, now=NOW, format_name="results"
    )
    generate(options, never)
    begin = int(NOW.timestamp())
    assert sent == [(f"test_{begin}.log", 16), (f"test_{begin + 3}.log", 16), (f"test_{begin + 6}.log", 8)]
