"""Flux's annotated CSV as frames."""

from __future__ import annotations

import csv
import io

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.influxdb.line_protocol import decoded

Tables = pl.DataFrame
_TYPES: dict[str, pl.DataType] = {
    "double": pl.Float64(),
    "long": pl.Int64(),
    "unsignedLong": pl.UInt64(),
    "boolean": pl.Boolean(),
}
_TIMES = ("dateTime:RFC3339", "dateTime:RFC3339Nano")
_ANNOTATIONS = ("datatype", "group", "default")


def tables_of(answer: bytes) -> dict[str, Tables]:
    """The rows of each result by its name, all its tables together.

    Times are integers of nanoseconds, texts as they were before they were written.

    Raises StoreUnavailable for what went wrong while the answer was on its way: it has status 200 then.
    """
    found: dict[str, list[Tables]] = {}
    # A line end inside a value cannot be followed by another one: values have no control characters.
    for block in answer.split(b"\r\n\r\n"):
        if block.strip():
            name, frame = _frame(block.lstrip(b"\r\n"))
            found.setdefault(name, []).append(frame)
    return {name: pl.concat(frames, how="diagonal_relaxed") for name, frames in found.items()}


def _frame(block: bytes) -> tuple[str, Tables]:
    notes: dict[str, list[str]] = {}
    rest = block
    while rest.startswith(b"#"):
        line, _, rest = rest.partition(b"\n")
        [row] = csv.reader([line.decode()])
        notes[row[0].removeprefix("#")] = row[1:]
    names = next(csv.reader(io.StringIO(rest.partition(b"\n")[0].decode())))[1:]
    if "error" in names:
        reason = next(csv.DictReader(io.StringIO(rest.decode())), {}).get("error", "unknown")
        raise StoreUnavailable(f"InfluxDB could not finish its answer: {reason}")
    kinds = dict(zip(names, notes["datatype"], strict=True))
    defaults = dict(zip(names, notes["default"], strict=True))
    frame = pl.read_csv(
        rest,
        schema={"": pl.String(), **{name: _TYPES.get(kind, pl.String()) for name, kind in kinds.items()}},
        truncate_ragged_lines=True,
    )
    kept = [name for name in names if name not in ("result", "table")]
    times = [name for name in kept if kinds[name] in _TIMES]
    texts = [name for name in kept if kinds[name] == "string"]
    return defaults["result"], frame.select(kept).with_columns(
        *(nanoseconds(pl.col(name)).alias(name) for name in times),
        *(decoded(frame[name].fill_null(defaults[name])) for name in texts),
    )


def nanoseconds(text: pl.Expr) -> pl.Expr:
    """RFC 3339 in UTC as nanoseconds since 1970."""
    seconds = text.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us").to_physical()
    fraction = text.str.slice(20).str.strip_suffix("Z").str.pad_end(9, "0").cast(pl.Int64)
    return seconds * 1_000 + fraction
