"""A block: what the requests of an hour or a day add up to, without the requests themselves.

A block is a few tables, in parts that are read apart from each other. Times in them are starts of cells: the
finest stretches that a block tells apart.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from tailmetrics.stores.distinct import Numbers
from tailmetrics.stores.summaries.durations import Durations, joined, summed, timed

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US

Part = Literal["series", "customers", "latencies", "paths", "customer_totals", "latency_totals"]
PARTS: Final[tuple[Part, ...]] = ("series", "customers", "latencies", "paths")
# Kept beside a part where all cells together are at most half as many rows.
TOTALS: Final[Mapping[Part, Part]] = {"customers": "customer_totals", "latencies": "latency_totals"}

_CHUNK_ROWS = 100_000
MOST_PATHS = 50_000  # of a block, beyond which it has no part of paths


@dataclass(frozen=True, slots=True)
class Level:
    """How long blocks are, and their cells: of all requests together, and of each customer (us)."""

    name: str
    length_us: int
    cell_us: int
    customer_cell_us: int

    def cell_of(self, part: Part) -> int:
        """The length of the cells of a part (us)."""
        return self.cell_us if part == "series" else self.customer_cell_us


MINUTE = Level("minute", MINUTE_US, MINUTE_US, MINUTE_US)
HOUR = Level("hour", HOUR_US, 15 * MINUTE_US, HOUR_US)
DAY = Level("day", DAY_US, 15 * MINUTE_US, HOUR_US)
LEVELS: Final = (MINUTE, HOUR, DAY)  # each is made of those before it

_LOW = 256  # of a byte
_COUNT = pl.col("count").sum()


@dataclass(frozen=True, slots=True)
class Tables:
    """What requests add up to, with `time` (us, the start of a cell) and `count` in each table.

    `series` has `status_code`, `customers` too, with `customer_id`; `paths` has `path` and `status_code`.
    The durations are `seconds` of all requests together, and `latencies` by `customer_id`.
    """

    series: pl.DataFrame
    seconds: Durations
    customers: pl.DataFrame
    latencies: Durations
    paths: pl.DataFrame | None


def tables_of(requests: pl.DataFrame, paths: pl.DataFrame, level: Level) -> Tables:
    """From requests (`time`, `customer_id`, `status_code`, `duration`), and `time`, `path`, `status_code`.

    Both have a `count`; durations are seconds, and null where there is none.
    """
    with_value = timed(requests)
    of_customer = Durations.of(
        _cells(with_value, level.customer_cell_us).group_by("customer_id", "time", "value").agg(_COUNT)
    )
    of_all = Durations.of(_cells(with_value, level.cell_us).group_by("time", "value").agg(_COUNT))
    return Tables(
        _cells(requests, level.cell_us).group_by("time", "status_code").agg(_COUNT),
        of_all,
        _cells(requests, level.customer_cell_us).group_by("customer_id", "time", "status_code").agg(_COUNT),
        of_customer,
        _cells(paths, level.customer_cell_us).group_by("path", "time", "status_code").agg(_COUNT),
    )


def merged(parts: Sequence[Tables], level: Level) -> Tables:
    """The tables of shorter blocks as those of a longer one."""

    def counts(frames: Iterable[pl.DataFrame], keys: Sequence[str], cell_us: int) -> pl.DataFrame:
        alike = [frame.select(*keys, "count") for frame in frames]
        return _cells(pl.concat(alike, how="vertical_relaxed"), cell_us).group_by(keys).agg(_COUNT)

    def durations(each: Sequence[Durations], keys: Sequence[str], cell_us: int) -> Durations:
        alike = [Durations(some.frame.select(*keys, "value", "count"), some.unit) for some in each]
        together = joined(alike)
        return summed(Durations(_cells(together.frame, cell_us), together.unit), keys)

    paths = [part.paths for part in parts if part.paths is not None]
    by_path = ["path", "time", "status_code"]
    return Tables(
        counts([part.series for part in parts], ["time", "status_code"], level.cell_us),
        durations([part.seconds for part in parts], ["time"], level.cell_us),
        counts(
            [part.customers for part in parts], ["customer_id", "time", "status_code"], level.customer_cell_us
        ),
        durations([part.latencies for part in parts], ["customer_id", "time"], level.customer_cell_us),
        counts(paths, by_path, level.customer_cell_us) if len(paths) == len(parts) else None,
    )


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One part of a block: counts and durations by `number`, a place in `names`, where it has names."""

    names: pl.Series
    counts: pl.DataFrame
    durations: Durations


def in_cells(rows: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Rows that are the same when times are starts of cells as one, with the sum of their `count`."""
    keys = [name for name in rows.columns if name != "count"]
    return _cells(rows, level.cell_us).group_by(keys).agg(_COUNT)


def outside(tables: Tables, spans: Sequence[tuple[int, int]]) -> Tables:
    """The tables without the cells that begin in spans."""
    if not spans:
        return tables
    time = pl.col("time")
    keep = ~pl.any_horizontal((time >= low) & (time < high) for low, high in spans)
    return Tables(
        tables.series.filter(keep),
        Durations(tables.seconds.frame.filter(keep), tables.seconds.unit),
        tables.customers.filter(keep),
        Durations(tables.latencies.frame.filter(keep), tables.latencies.unit),
        None if tables.paths is None else tables.paths.filter(keep),
    )


def packed(tables: Tables, start_us: int) -> dict[Part, bytes]:
    """Each part as bytes: columns of small whole numbers, sorted, which compress well."""
    no_names = pl.Series("names", [], pl.String)
    ids = _names(tables.customers["customer_id"])
    customers = _numbered(tables.customers, "customer_id", ids)
    latencies = _numbered(tables.latencies.frame, "customer_id", ids)
    unit = tables.latencies.unit
    nothing = Durations(pl.DataFrame(), 1)
    parts: dict[Part, bytes] = {
        "series": _pack(Unpacked(no_names, tables.series, tables.seconds), start_us),
        "customers": _pack(Unpacked(ids, customers, nothing), start_us),
        "latencies": _pack(Unpacked(no_names, pl.DataFrame(), Durations(latencies, unit)), start_us),
    }
    totals = _in_one_cell(customers, start_us)
    if 2 * totals.height <= customers.height:
        parts["customer_totals"] = _pack(Unpacked(ids, totals, nothing), start_us)
    totals = _in_one_cell(latencies, start_us)
    if 2 * totals.height <= latencies.height:
        parts["latency_totals"] = _pack(Unpacked(no_names, pl.DataFrame(), Durations(totals, unit)), start_us)
    if tables.paths is not None:
        names = _names(tables.paths["path"])
        if len(names) <= MOST_PATHS:
            parts["paths"] = _pack(Unpacked(names, _numbered(tables.paths, "path", names), nothing), start_us)
    return parts


def unpacked(data: bytes, start_us: int) -> Unpacked:
    """A part from its bytes."""
    return Unpacked(*counts_in(data, start_us), durations_in(data, start_us))


def names_in(data: bytes) -> pl.Series:
    """The names in a part, from its bytes."""
    return _frame(_blobs(data)[1][0]).to_series()


def counts_in(data: bytes, start_us: int) -> tuple[pl.Series, pl.DataFrame]:
    """The names in a part and its counts, from its bytes."""
    head, (names, counts, *_) = _blobs(data)
    rows = _with_keys(_frame(counts), 0, head)
    return _frame(names).to_series(), _absolute(rows, start_us)


def durations_in(
    data: bytes, start_us: int, numbers: Numbers | None = None, last: dict[int, pl.DataFrame] | None = None
) -> Durations:
    """The durations in a part, from its bytes; of all, or of some numbers, in order.

    `last` keeps the chunk that was read last, for who asks for the numbers that follow.
    """
    last = {} if last is None else last
    head, (_, _, *chunks) = _blobs(data)
    frames = []
    for place, chunk in enumerate(chunks):
        first, *following = head["firsts"][place : place + 2]
        wanted = numbers
        if numbers is not None:
            end = np.searchsorted(numbers, following[0]) if following else len(numbers)
            wanted = numbers[np.searchsorted(numbers, first) : end]
            if not len(wanted):
                continue
        steps = last[place] if place in last else _with_keys(_frame(chunk), first, head)
        last.clear()
        last[place] = steps
        frames.append(_summed_steps(steps if wanted is None else _rows_of(steps, wanted)))
    if not frames:
        frames = [_summed_steps(_frame(chunks[0]).clear())]
    return Durations(_absolute(pl.concat(frames, how="vertical_relaxed"), start_us), head["unit"])


def tables_from(parts: Mapping[Part, Unpacked]) -> Tables:
    """The tables of a block whose parts have all been read."""
    ids = parts["customers"].names
    latencies = parts["latencies"].durations
    paths = parts.get("paths")
    return Tables(
        parts["series"].counts,
        parts["series"].durations,
        _named(parts["customers"].counts, "customer_id", ids),
        Durations(_named(latencies.frame, "customer_id", ids), latencies.unit),
        None if paths is None else _named(paths.counts, "path", paths.names),
    )


def _cells(frame: pl.DataFrame, cell_us: int) -> pl.DataFrame:
    return frame.with_columns(pl.col("time") // cell_us * cell_us)


def _names(column: pl.Series) -> pl.Series:
    return column.unique().sort().alias("names")


def _numbered(frame: pl.DataFrame, column: str, names: pl.Series) -> pl.DataFrame:
    """The frame with the places of a column's texts in `names` for the texts."""
    numbers = pl.DataFrame({column: names, "number": pl.int_range(len(names), dtype=pl.UInt32, eager=True)})
    return frame.join(numbers, on=column, how="left").drop(column)


def _named(frame: pl.DataFrame, column: str, names: pl.Series) -> pl.DataFrame:
    return frame.with_columns(names.gather(frame["number"]).alias(column)).drop("number")


def _in_one_cell(frame: pl.DataFrame, start_us: int) -> pl.DataFrame:
    keys = [name for name in frame.columns if name not in ("time", "count")]
    return frame.group_by(keys).agg(_COUNT).with_columns(time=pl.lit(start_us, pl.Int64))


def _pack(part: Unpacked, start_us: int) -> bytes:
    counts = _relative(part.counts, start_us)
    chunks = list(_chunks(_steps(_relative(part.durations.frame, start_us), part.durations.unit)))
    firsts = [int(chunk["number"][0]) if _is_numbered(chunk) else 0 for chunk in chunks]
    frames = [counts, *chunks]
    cell = _cell_of(frames)
    keyed = [_key_steps(frame, first, cell) for frame, first in zip(frames, [0, *firsts], strict=True)]
    blobs = []
    for frame in (part.names.to_frame(), *keyed):
        buffer = io.BytesIO()
        # The format of a file would repeat the schema at its end.
        narrow = [column.shrink_dtype() if column.dtype.is_integer() else column for column in frame]
        pl.DataFrame(narrow).write_ipc_stream(buffer, compression="zstd")
        blobs.append(buffer.getvalue())
    sizes = [len(blob) for blob in blobs]
    head = {"unit": part.durations.unit, "sizes": sizes, "firsts": firsts, "cell": cell}
    return json.dumps(head).encode() + b"\n" + b"".join(blobs)


def _is_numbered(frame: pl.DataFrame) -> bool:
    return frame.height > 0 and "number" in frame.columns


def _chunks(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows in pieces, where they have numbers, all of one number in one of them."""
    begin = 0
    while _is_numbered(frame) and frame.height - begin > _CHUNK_ROWS:
        end = frame["number"].search_sorted(frame["number"][begin + _CHUNK_ROWS], side="left")
        if end > begin:
            yield frame[begin:end]
            begin = end
        else:
            break
    yield frame[begin:]


def _rows_of(frame: pl.DataFrame, numbers: Numbers) -> pl.DataFrame:
    """The rows of some numbers, in order."""
    column = frame["number"].to_numpy()
    begins, ends = (np.searchsorted(column, numbers, side=side) for side in ("left", "right"))
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return frame[int(begins[0]) : int(ends[-1])]
    lengths = ends - begins
    before = np.cumsum(lengths) - lengths
    return frame[np.repeat(begins - before, lengths) + np.arange(lengths.sum())]


def _blobs(data: bytes) -> tuple[dict[str, Any], list[memoryview]]:
    """The head, and views of what it describes: of most parts little is read."""
    end = data.index(b"\n")
    described = json.loads(data[:end])
    rest = memoryview(data)[end + 1 :]
    ends = list(itertools.accumulate(described["sizes"]))
    return described, [rest[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _frame(blob: memoryview) -> pl.DataFrame:
    return pl.read_ipc_stream(bytes(blob))


def _keys(frame: pl.DataFrame) -> list[str]:
    return [name for name in ("number", "time", "status_code") if name in frame.columns]


def _relative(frame: pl.DataFrame, start_us: int) -> pl.DataFrame:
    """Rows in order, with minutes since the start of the block as `time`."""
    if not frame.width:
        return frame
    keys = _keys(frame)
    rows = frame.with_columns((pl.col("time") - start_us) // MINUTE_US)
    rest = [name for name in ("value", "count") if name in frame.columns]
    return rows.select(*keys, *rest).sort(*keys, *rest[:-1])


def _absolute(frame: pl.DataFrame, start_us: int) -> pl.DataFrame:
    if not frame.width:
        return frame
    time = frame["time"].cast(pl.Int64) * MINUTE_US + start_us
    return frame.replace_column(frame.get_column_index("time"), time)


def _cell_of(frames: Sequence[pl.DataFrame]) -> int:
    """The minutes of which all times are multiples."""
    times = [frame["time"].to_numpy() for frame in frames if frame.width]
    return int(np.gcd.reduce(np.concatenate([[0], *times]))) or 1


def _key_steps(frame: pl.DataFrame, first: int, cell: int) -> pl.DataFrame:
    """Numbers as steps from one to the next, from `first` on, and times as steps of cells within a number."""
    if not frame.height:
        return frame
    time = frame["time"].to_numpy() // cell
    steps = np.diff(time, prepend=0)
    columns = {name: frame[name] for name in frame.columns}
    if "number" in columns:
        numbers = np.diff(frame["number"].to_numpy().astype(np.int64), prepend=first)
        steps = np.where(numbers > 0, time, steps)
        columns["number"] = pl.Series("number", numbers)
    columns["time"] = pl.Series("time", steps)
    return pl.DataFrame(list(columns.values()))


def _with_keys(frame: pl.DataFrame, first: int, head: Mapping[str, Any]) -> pl.DataFrame:
    """The frame of which `_key_steps` made steps; in older blocks keys are as they are."""
    if not frame.height or "cell" not in head:
        return frame
    columns = {name: frame[name] for name in frame.columns}
    times = frame["time"].to_numpy()
    is_start = np.zeros(len(times), np.bool_)
    if "number" in columns:
        numbers = frame["number"].to_numpy()
        is_start = numbers != 0
        columns["number"] = pl.Series("number", np.cumsum(numbers, dtype=np.int32) + np.int32(first))
    if times.any():
        is_start[0] = True
        cells = _sums(times.astype(np.int32), np.flatnonzero(is_start))
        columns["time"] = pl.Series("time", cells * np.int32(head["cell"]))
    return pl.DataFrame(list(columns.values()))


def _steps(frame: pl.DataFrame, unit: int) -> pl.DataFrame:
    """Values as the steps from one to the next of the same keys, the last eight bits of each apart.

    The smaller and the more alike the bytes of a column, the better they compress.
    """
    if not unit or not frame.height:
        return frame
    keys = _keys(frame)
    values = frame["value"].to_numpy()
    steps = np.diff(values, prepend=0)
    starts = _starts(frame)
    steps[starts] = values[starts]
    low, high = pl.Series("low", steps % _LOW, pl.UInt8), pl.Series("high", steps // _LOW)
    return pl.DataFrame([*(frame[key] for key in keys), frame["count"], low, high])


def _summed_steps(frame: pl.DataFrame) -> pl.DataFrame:
    """The values of which `_steps` made steps."""
    if "low" not in frame.columns:
        return frame
    high = frame["high"]
    # Of small values sums may go round, as only differences of them count.
    kind = pl.Int32 if high.dtype in (pl.Int8, pl.Int16) else pl.Int64
    steps = (high.cast(kind) * _LOW + frame["low"].cast(kind)).to_numpy()
    values = pl.Series("value", _sums(steps, _starts(frame)))
    return pl.DataFrame([*(frame[key] for key in _keys(frame)), values, frame["count"]])


def _starts(frame: pl.DataFrame) -> Numbers:
    """The rows whose keys are not those of the row before."""
    changes = [np.diff(frame[key].to_numpy()) != 0 for key in _keys(frame)]
    return np.flatnonzero(np.append(frame.height > 0, np.logical_or.reduce(changes)))


def _sums(steps: Numbers, starts: Numbers) -> Numbers:
    """Steps added up, anew from each of `starts` on."""
    through = np.cumsum(steps, dtype=steps.dtype)
    before = through[starts] - steps[starts]
    return through - np.repeat(before, np.diff(np.append(starts, len(steps))))
