"""The schema of records and rejects, and what is made of the lines of one chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

RECORD_SCHEMA: dict[str, pl.DataType] = {
    "timestamp": pl.Datetime("us"),  # UTC; without a zone in the type, so that no store converts it
    "customer_id": pl.String(),
    "path": pl.String(),
    "status_code": pl.Int16(),  # NO_ANSWER, or 100 to 599
    "duration": pl.Float64(),  # seconds; null where it is unknown
    "offset": pl.Int64(),  # byte offset of the line in its source
}

REJECT_SCHEMA: dict[str, pl.DataType] = {
    "offset": pl.Int64(),  # byte offset of the line in its source
    "reason": pl.String(),  # names the field, what was found and what was expected
    # The line without its end, at most REJECT_LINE_BYTES of it; bytes that are not UTF-8 as \\xNN.
    "line": pl.String(),
}

# A record as it is read out again. Where a source was forgotten, which only those of messages are, its id is
# a number of the store's own.
STORED_SCHEMA: dict[str, pl.DataType] = {
    "timestamp": pl.Datetime("us", "UTC"),
    "customer_id": pl.String(),
    "path": pl.String(),
    "status_code": pl.Int16(),
    "duration": pl.Float64(),
    "source": pl.String(),
    "offset": pl.Int64(),
}

_NO_RECORDS = pl.DataFrame(schema=RECORD_SCHEMA)
_NO_REJECTS = pl.DataFrame(schema=REJECT_SCHEMA)

NO_ANSWER = 0  # the status of a request that got none
REJECT_LINE_BYTES = 64 * 1024  # of a rejected line this much is kept
MAX_CUSTOMER_ID_CHARACTERS = 256
MAX_DURATION_SECONDS = 1e9  # about 31 years: the sum of any number of such durations is a number


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """What the lines of one chunk are: every line is a record, a reject or blank.

    `records` has the columns of RECORD_SCHEMA and `rejects` those of REJECT_SCHEMA, both by rising offset.
    """

    records: pl.DataFrame
    rejects: pl.DataFrame
    blanks: int

    @property
    def lines(self) -> int:
        return self.records.height + self.rejects.height + self.blanks

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return int(self.records.estimated_size() + self.rejects.estimated_size())


def refused(parsed: ParsedLines, reasons: Mapping[int, str]) -> ParsedLines:
    """The same lines, those records as rejects whose offsets are in `reasons`.

    Of such a line its columns are kept, separated by spaces: its bytes are not known any more.
    """
    offsets = pl.Series("offset", list(reasons), pl.Int64)
    is_refused = pl.col("offset").is_in(offsets.implode())
    columns = [pl.col(name).cast(pl.String).fill_null("") for name in RECORD_SCHEMA if name != "offset"]
    rejects = parsed.records.filter(is_refused).select(
        "offset",
        pl.col("offset")
        .replace_strict(offsets, list(reasons.values()), return_dtype=pl.String)
        .alias("reason"),
        pl.concat_str(columns, separator=" ").alias("line"),
    )
    return ParsedLines(
        parsed.records.filter(~is_refused),
        pl.concat([parsed.rejects, rejects], rechunk=False).sort("offset"),
        parsed.blanks,
    )


def no_lines() -> ParsedLines:
    return ParsedLines(no_records(), no_rejects(), 0)


def no_records() -> pl.DataFrame:
    return _NO_RECORDS.clone()


def no_rejects() -> pl.DataFrame:
    return _NO_REJECTS.clone()
