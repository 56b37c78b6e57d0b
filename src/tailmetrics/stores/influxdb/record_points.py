"""Where records lie in InfluxDB: the time and the lane by which each is a point of its own.

InfluxDB keeps one point for each time of a series, and writing a point again changes nothing. So the same
record must always get the same time, and no two records of a series the same one. A record's time is its
logged time plus a slot within the tick of that time: the nanoseconds that the log does not use. A time of
whole seconds has a tick of one second, one of whole milliseconds one of a millisecond, any other one of a
microsecond. The slot is the number of the line in its source, which only the bytes before it decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from tailmetrics.records import ParsedLines

TICKS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000}  # length in ns, by name
FAR = "far"  # instead of a tick: a time that InfluxDB cannot keep, which is a field of its point
NEAR_LOW_US = -9_214_560_000_000_000  # 1678-01-01, and
NEAR_HIGH_US = 9_214_646_400_000_000  # 2262-01-01: between them InfluxDB can keep a time
FAR_START_NS = 7_258_118_400_000_000_000  # 2200-01-01: so late that no retention deletes it
BASE_STEP = 618_618_618  # lines between two sources of one lane, about 0.6 of every tick's slots
BASE_JITTER = 100_000_000

_LATE_LANES = 16
_BEFORE_ALL = -(2**62)
_TICK_NAMES = {0: FAR, **{length: name for name, length in TICKS.items()}}


@dataclass(frozen=True, slots=True)
class Progress:
    """What the lines of a source before a position leave to those after it.

    `lines` counts records and rejects, `latest_us` is the highest time among the records (None before the
    first one) and `latest_line` the number of the first line that had it.
    """

    lines: int = 0
    latest_us: int | None = None
    latest_line: int = 0


def line_numbers(parsed: ParsedLines, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the lines of records and of rejects; `first` is that of the first one of both.

    A record that has become a reject leaves the numbers as they were.
    """
    records = parsed.records["offset"].to_numpy()
    rejects = parsed.rejects["offset"].to_numpy()
    return (
        first + np.arange(len(records)) + np.searchsorted(rejects, records),
        first + np.arange(len(rejects)) + np.searchsorted(records, rejects),
    )


def point_keys(parsed: ParsedLines, lane: str, base: int, before: Progress) -> tuple[pl.DataFrame, Progress]:
    """For each record its `tick` (a name of TICKS, or FAR), `lane` and `time` (ns); and what follows.

    Lines in order of their times have lines of one time beside each other: these never share a slot, as
    each round through a tick's slots has a lane of its own. Lines that are late may be in any order. They
    are spread over lanes by their numbers, so that two of one time, customer and status are one point only
    when their numbers are a multiple of sixteen ticks' slots apart.
    """
    numbers, _ = line_numbers(parsed, before.lines)
    times = parsed.records["timestamp"].to_physical().to_numpy()
    lines = before.lines + parsed.records.height + parsed.rejects.height
    carried = _BEFORE_ALL if before.latest_us is None else before.latest_us
    highest = np.maximum.accumulate(np.concatenate(([carried], times)))
    is_late = times < highest[:-1]
    latest_line = np.maximum.accumulate(
        np.concatenate(([before.latest_line], np.where(times > highest[:-1], numbers, before.latest_line)))
    )
    slots = np.where(
        times % 1_000_000 == 0, TICKS["s"], np.where(times % 1_000 == 0, TICKS["ms"], TICKS["us"])
    )
    is_far = (times < NEAR_LOW_US) | (times >= NEAR_HIGH_US)
    frame = pl.DataFrame(
        {
            "tick": np.where(is_far, 0, slots),
            "time": np.where(is_far, FAR_START_NS + base + numbers, times * 1_000 + (base + numbers) % slots),
            "round": np.where(is_late, numbers // slots % _LATE_LANES, (numbers - latest_line[1:]) // slots),
            "late": is_late,
        }
    ).select(
        pl.col("tick").replace_strict(_TICK_NAMES, return_dtype=pl.String),
        _lane(lane),
        "time",
    )
    latest_us = int(highest[-1]) if len(times) else before.latest_us
    return frame, Progress(lines, latest_us, int(latest_line[-1]))


def _lane(lane: str) -> pl.Expr:
    is_apart = (pl.col("round") > 0) | (pl.col("late") & (pl.col("tick") != TICKS["s"]))
    sign = pl.when("late").then(pl.lit("~")).otherwise(pl.lit("."))
    apart = pl.concat_str(pl.lit(lane), sign, pl.col("round").cast(pl.String))
    return pl.when((pl.col("tick") != 0) & is_apart).then(apart).otherwise(pl.lit(lane)).alias("lane")
