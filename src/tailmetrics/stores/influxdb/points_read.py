"""Points that came back as requests: their logged times, customers, statuses and durations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import Failures
from tailmetrics.stores.influxdb.csv import Tables
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.record_points import FAR, FAR_START_NS, TICKS
from tailmetrics.stores.results import FAILURE_RULES

_LENGTHS = {f"requests_{tick}": length for tick, length in TICKS.items()}
_KEYS = ("_time", "lane", "customer_id", "status_code")


def failed(failures: Failures) -> pl.Expr:
    """Whether a request failed, as a query defines it."""
    has_failed: pl.Expr = FAILURE_RULES[failures](pl.col("status_code"))
    return has_failed


def merged(found: dict[str, Tables], name: str, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows of one result over all ticks, with just these columns."""
    frames = [
        found[f"{name}_{tick}"].select(pl.col(column).cast(kind) for column, kind in columns.items())
        for tick in TICKS
        if f"{name}_{tick}" in found
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=columns)


def requests(found: dict[str, Tables], columns: Iterable[str] = ()) -> pl.DataFrame:
    """Durations and requests without one as rows: `time` (us), `status_code`, `duration`, and `columns`."""
    near = [found[f"duration_{tick}"] for tick in TICKS if f"duration_{tick}" in found]
    frames = [
        table.select(
            logged_us().alias("time"),
            pl.col("status_code").cast(pl.Int16),
            pl.when(pl.col("_field") == "duration").then("_value").cast(pl.Float64).alias("duration"),
            *columns,
        )
        for table in near
    ]
    return pl.concat(frames) if frames else _no_requests(columns)


def all_requests(found: dict[str, Tables], asked: Asked, columns: Sequence[str] = ()) -> pl.DataFrame:
    """Requests of all times as rows, with `columns`."""
    # As one piece, whatever pieces they came in: an average depends on them in its last digits.
    return with_far(requests(found, columns), found, asked).rechunk()


def all_paths(found: dict[str, Tables], asked: Asked, columns: Sequence[str] = ()) -> pl.DataFrame:
    """Requests of all times as rows: `time` (us), `path`, `status_code`, and `columns`."""
    status = pl.col("status_code").cast(pl.Int16)
    own = (logged_us().alias("time"), pl.col("_value").cast(pl.String).alias("path"), status)
    near = [found[f"path_{tick}"].select(*own, *columns) for tick in TICKS if f"path_{tick}" in found]
    return pl.concat([far_requests(found, asked).select("time", "path", "status_code", *columns), *near])


def with_far(near: pl.DataFrame, found: dict[str, Tables], asked: Asked) -> pl.DataFrame:
    """Requests, and those in the range of times that InfluxDB cannot keep, with the same columns."""
    far = far_requests(found, asked)
    return pl.concat([near, far.select(near.columns)]) if far.height else near


def far_requests(found: dict[str, Tables], asked: Asked) -> pl.DataFrame:
    """Requests in the range of times that InfluxDB cannot keep: as `requests`, with customers and paths.

    They have the lanes and times (`_time`, ns) of their points, too.
    """
    columns = ("customer_id", "path", "lane")
    times = found.get(f"us_{FAR}")
    if times is None:
        return _no_requests(columns, _time=pl.Int64())
    frame = times.rename({"_value": "time"})
    for field in ("duration", "path"):
        kind = pl.Float64() if field == "duration" else pl.String()
        values = found.get(f"{field}_{FAR}")
        if values is None:
            frame = frame.with_columns(pl.lit(None, kind).alias(field))
        else:
            frame = frame.join(values.rename({"_value": field}).select(*_KEYS, field), on=_KEYS, how="left")
    low = pl.lit(value=True) if asked.low_us is None else pl.col("time") >= asked.low_us
    high = pl.lit(value=True) if asked.high_us is None else pl.col("time") < asked.high_us
    return frame.filter(low, high).select(
        "time", pl.col("status_code").cast(pl.Int16), pl.col("duration").cast(pl.Float64), *columns, "_time"
    )


def whole_requests(found: dict[str, Tables], asked: Asked) -> pl.DataFrame:
    """Requests of all times with all columns, and `time` (us), `lane`, `offset`, the place in a tick."""
    far = far_requests(found, asked).with_columns(offset=pl.col("_time") - FAR_START_NS)
    frames = [far.drop("_time")]
    for tick in TICKS:
        paths, durations = found.get(f"path_{tick}"), found.get(f"duration_{tick}")
        if paths is None:
            continue
        keys = ("_measurement", *_KEYS)
        frame = paths.rename({"_value": "path"})
        if durations is None:
            frame = frame.with_columns(pl.lit(None, pl.Float64()).alias("duration"))
        else:
            timed = durations.rename({"_value": "duration"}).select(*keys, "duration")
            frame = frame.join(timed, on=keys, how="left")
        place = pl.col("_time") % tick_length()
        frame = frame.with_columns(pl.col("status_code").cast(pl.Int16), time=logged_us(), offset=place)
        frames.append(frame.select(frames[0].columns))
    return pl.concat(frames)


def stored_requests(found: dict[str, Tables], asked: Asked) -> pl.DataFrame:
    """Requests of all times as frames of STORED_SCHEMA: the lane stands for the source."""
    return as_stored(whole_requests(found, asked)).sort("timestamp", "source", "offset")


def as_stored(requests: pl.DataFrame) -> pl.DataFrame:
    """The rows of `whole_requests` as those of STORED_SCHEMA."""
    timestamp = pl.from_epoch("time", "us").dt.replace_time_zone("UTC").alias("timestamp")
    return requests.with_columns(timestamp, source="lane").select(list(STORED_SCHEMA))


def edges(found: dict[str, Tables]) -> list[int]:
    """The logged times (us) of the first and the last point of each tick that has points."""
    names = [f"{name}_{tick}" for name in ("first", "last") for tick in TICKS]
    return [time for name in names if name in found for time in found[name].select(logged_us()).to_series()]


def tick_length() -> pl.Expr:
    """The length of a point's tick in ns, by its measurement."""
    return pl.col("_measurement").replace_strict(_LENGTHS, return_dtype=pl.Int64)


def logged_us() -> pl.Expr:
    """The logged time of a point."""
    return pl.col("_time") // tick_length() * (tick_length() // 1_000)


def _no_requests(columns: Iterable[str], **others: pl.DataType) -> pl.DataFrame:
    schema: dict[str, pl.DataType] = {"time": pl.Int64(), "status_code": pl.Int16(), "duration": pl.Float64()}
    return pl.DataFrame(schema=schema | dict.fromkeys(columns, pl.String()) | others)
