"""The mode demo: a past that is like the present, and what is to be seen in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tailmetrics.generator import GeneratorOptions, generate

NOW = datetime(2024, 11, 6, 6, 33, 33, tzinfo=timezone.utc)


def asked_to_stop_after(batches: int) -> Callable[[float], bool]:
    calls = iter(range(batches))
    return lambda _: next(calls, None) is None


def demo_of(file: Path, **options: object) -> list[list[str]]:
    given = {"batch_size": 1, "interval_seconds": 2.0, "seed": 1, "now": NOW, **options}
    generate(GeneratorOptions(file, mode="demo", **given), lambda _: False)  # type: ignore[arg-type]
    return [line.split(" ") for line in file.read_text().splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "requests.log"


def test_the_past_of_the_demo_has_the_lines_of_its_pace(file: Path) -> None:
    assert len(demo_of(file, days=2)) == 86_400


def test_the_past_of_the_demo_rises_to_now(file: Path) -> None:
    stamps = [f"{day} {clock}" for day, clock, *_ in demo_of(file, days=2)]
    assert stamps == sorted(stamps)
    assert (stamps[0][:15], stamps[-1][:17]) == ("2024-11-04 06:3", "2024-11-06 06:33:")


def test_the_past_of_the_demo_is_shorter_where_its_pace_gives_more_than_max_lines(file: Path) -> None:
    lines = demo_of(file, days=2, max_lines=10_000)
    assert len(lines) == 10_000
    assert lines[0][:2] > ["2024-11-05", "12:00:00"]


def test_the_past_of_the_demo_goes_on_until_it_has_met_the_clock(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GeneratorOptions, "clock", lambda *_: NOW.timestamp() + 400)
    lines = demo_of(file, days=1)
    seconds = [line[1] for line in lines if line[1] >= "06:33:33" and line[0] == "2024-11-06"]
    assert (len(lines) > 43_250, seconds[-1] >= "06:40:00", len(set(seconds)) > 50) == (True, True, True)


def test_the_demo_has_more_requests_by_day_than_by_night(file: Path) -> None:
    hours = Counter(line[1][:2] for line in demo_of(file, days=2))
    assert hours["16"] > 3 * hours["04"] > 0


def test_the_hours_of_the_demo_are_those_of_the_zone(file: Path) -> None:
    hours = Counter(line[1][:2] for line in demo_of(file, days=2, zone="Asia/Tokyo"))
    assert hours["16"] > 3 * hours["04"] > 0


def test_the_past_of_the_demo_has_one_incident_of_some_minutes(file: Path) -> None:
    failed, requests = Counter[str](), Counter[str]()
    for day, clock, _, _, status, _ in demo_of(file, days=2):
        tenth = f"{day} {clock[:4]}"
        requests[tenth] += 1
        failed[tenth] += status == "503"
    bad = sorted(tenth for tenth in requests if failed[tenth] > 0.2 * requests[tenth])
    assert bad in (["2024-11-06 02:0", "2024-11-06 02:1"], ["2024-11-06 02:1"])


def test_some_customers_of_the_demo_differ(file: Path) -> None:
    lines = demo_of(file, days=2)
    durations: dict[str, list[float]] = {}
    failed, nightly = Counter[str](), Counter[bool]()
    for _, clock, customer, _, status, duration in lines:
        durations.setdefault(customer, []).append(float(duration))
        failed[customer] += status == "503"
        if customer == "cust_9":
            nightly["01" <= clock[:2] < "05"] += 1
    median = {customer: sorted(values)[len(values) // 2] for customer, values in durations.items()}
    share = {customer: failed[customer] / len(values) for customer, values in durations.items()}
    assert max(median, key=median.__getitem__) == "cust_3"
    assert share["cust_6"] > 3 * share["cust_1"]
    assert nightly[True] > 1_000 and nightly[False] == 0


def test_live_the_demo_keeps_its_pace_in_the_mean_of_a_day(tmp_path: Path) -> None:
    lines = 0
    for hour in range(24):
        file = tmp_path / str(hour)
        options = GeneratorOptions(
            file, mode="demo", batch_size=10, interval_seconds=0.0, now=NOW + timedelta(hours=hour), seed=1
        )
        generate(options, asked_to_stop_after(10))
        lines += file.read_bytes().count(b"\n")
    assert abs(lines - 2_400) <= 24


def test_live_the_demo_goes_on_where_its_pace_is_below_a_line_at_first(file: Path) -> None:
    quiet = NOW.replace(hour=4)
    options = GeneratorOptions(file, mode="demo", batch_size=1, interval_seconds=0.0, now=quiet, seed=1)
    generate(options, asked_to_stop_after(10))
    assert file.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("hour", range(24))
def test_the_past_of_the_demo_has_the_lines_of_the_mean_pace_at_each_hour(file: Path, hour: int) -> None:
    assert len(demo_of(file, days=1, interval_seconds=60.0, now=NOW.replace(hour=hour))) == 1_440
