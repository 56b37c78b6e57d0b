"""Each record is a point of its own, and the same one whenever it is written again."""

from __future__ import annotations

import itertools
import random

import polars as pl
import pytest

from tailmetrics.records import RECORD_SCHEMA, REJECT_SCHEMA, ParsedLines, refused
from tailmetrics.stores.influxdb.record_points import FAR, TICKS, Progress, point_keys
from tailmetrics.stores.influxdb.source_points import assign_lanes
from tailmetrics.windows import from_us, to_us
from tests.builders import at, source_of
from tests.stores.influxdb.writing import NOW_US, stored

NOON_US = to_us(at("2024-10-10T12:00:00"))
STEPS_US = {"s": 1_000_000, "ms": 1_000, "us": 1}


def lines_of(times_us: list[int], first: int = 0) -> ParsedLines:
    """Records of one customer and status at these times, a line of 54 bytes each."""
    columns = {
        "timestamp": pl.Series(times_us, dtype=pl.Int64).cast(pl.Datetime("us")),
        "customer_id": pl.repeat("a", len(times_us), eager=True),
        "path": pl.repeat("/", len(times_us), eager=True),
        "status_code": pl.repeat(200, len(times_us), eager=True),
        "duration": pl.repeat(0.1, len(times_us), eager=True),
        "offset": pl.int_range(first * 54, (first + len(times_us)) * 54, 54, eager=True),
    }
    return ParsedLines(pl.DataFrame(columns, RECORD_SCHEMA), pl.DataFrame(schema=REJECT_SCHEMA), 0)


def placed(times_us: list[int], cuts: list[int] | None = None, base: int = 0) -> list[tuple[str, str, int]]:
    """Tick, lane and time of each record when the lines are committed in pieces."""
    progress = Progress()
    rows: list[tuple[str, str, int]] = []
    bounds = [0, *(cuts or []), len(times_us)]
    for begin, end in itertools.pairwise(bounds):
        frame, progress = point_keys(lines_of(times_us[begin:end], begin), "l", base, progress)
        rows += frame.select("tick", "lane", "time").rows()
    return rows


def test_a_hundred_thousand_lines_of_one_second_are_as_many_points_of_one_series() -> None:
    found = placed([NOON_US] * 100_000)
    assert len(set(found)) == 100_000
    assert {lane for _, lane, _ in found} == {"l"}


@pytest.mark.parametrize(("tick", "rounds"), [("s", 1), ("ms", 1), ("us", 100)])
def test_as_many_lines_of_one_tick_are_points_in_as_many_lanes_as_it_takes(tick: str, rounds: int) -> None:
    found = placed([NOON_US + (STEPS_US[tick] if tick != "s" else 0)] * 100_000)
    assert len(set(found)) == 100_000
    assert len({lane for _, lane, _ in found}) == rounds


@pytest.mark.parametrize("tick", TICKS)
def test_a_points_time_is_within_the_tick_of_its_logged_time(tick: str) -> None:
    times = [NOON_US + place * STEPS_US[tick] for place in range(-5, 2_000)]
    for time_us, (name, _, time_ns) in zip(times, placed(times, base=10**12 + 7), strict=True):
        assert 0 <= time_ns - time_us * 1_000 < TICKS[name]


@pytest.mark.parametrize("tick", TICKS)
def test_lines_in_order_of_their_times_are_points_of_one_lane(tick: str) -> None:
    times = [NOON_US + place // 7 * STEPS_US[tick] for place in range(50_000)]
    found = placed(times)
    assert len(set(found)) == 50_000
    assert {lane for _, lane, _ in found} == {"l"}


@pytest.mark.parametrize("tick", ["s", "ms"])
def test_lines_in_any_order_are_as_many_points(tick: str) -> None:
    times = [NOON_US + place // 500 * STEPS_US[tick] for place in range(100_000)]
    random.Random(1).shuffle(times)
    assert len(set(placed(times))) == 100_000


def test_lines_in_any_order_of_microseconds_share_a_point_only_16000_lines_apart() -> None:
    times = [NOON_US + 1 + place // 3 for place in range(60_000)]
    random.Random(1).shuffle(times)
    found = placed(times)
    seen: dict[tuple[str, str, int], int] = {}
    shared = []
    for number, place in enumerate(found):
        if place in seen:
            shared.append(number - seen[place])
        seen[place] = number
    assert len(shared) <= 5
    assert all(apart % 16_000 == 0 for apart in shared)


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("seed", range(5))
def test_places_do_not_depend_on_how_the_lines_are_cut_into_batches(tick: str, seed: int) -> None:
    chance = random.Random(seed)
    times = [NOON_US + chance.randint(0, 30) * STEPS_US[tick] for _ in range(3_000)]
    times += [NOON_US + STEPS_US[tick] * 31] * 3_000
    cuts = sorted(chance.sample(range(1, 6_000), 8))
    assert placed(times, cuts) == placed(times)


def test_a_record_that_becomes_a_reject_leaves_the_places_of_the_others() -> None:
    parsed = lines_of([NOON_US] * 5)
    whole, after = point_keys(parsed, "l", 0, Progress())
    rest, after_rest = point_keys(refused(parsed, {54: "too old"}), "l", 0, Progress())
    assert rest.rows() == [row for number, row in enumerate(whole.rows()) if number != 1]
    assert after_rest.lines == after.lines == 5


@pytest.mark.parametrize("date", ["0001-01-01", "1677-12-31", "2262-01-01", "9999-12-31"])
def test_a_time_that_cannot_be_kept_is_a_point_of_its_own_that_never_expires(date: str) -> None:
    found = placed([to_us(at(date))] * 100)
    assert len(set(found)) == 100
    assert {tick for tick, *_ in found} == {FAR}
    assert all(from_us(time // 1_000).year == 2200 for *_, time in found)


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("lines", [1, 5_000, 3_000_000])
def test_a_file_and_its_successor_share_a_tick_without_sharing_a_point(tick: str, lines: int) -> None:
    """Rotation within a second: the last lines of the one and the first of the other, at the same time."""
    before = stored(source_of("x.log", inode=1), progress=Progress(lines, NOON_US - 1))
    [after] = assign_lanes([source_of("x.log", inode=2)], [before], NOW_US)
    assert after.lane == before.lane
    times = [NOON_US + (0 if tick == "s" else STEPS_US[tick])] * 200
    old, _ = point_keys(lines_of(times), before.lane_name, before.base, before.progress)
    new, _ = point_keys(lines_of(times), after.lane_name, after.base, Progress())
    assert not set(old.rows()) & set(new.rows())
