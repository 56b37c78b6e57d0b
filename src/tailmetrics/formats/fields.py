"""The rules of the fields, the same in every format: text to value, or a reason that says what is wrong."""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.timestamps import TimestampReader
from tailmetrics.formats.units import seconds
from tailmetrics.records import MAX_CUSTOMER_ID_CHARACTERS, MAX_DURATION_SECONDS, NO_ANSWER

PROBLEM: Final = "problem"
MISSING: Final = ("", "-")  # what logs write where there is nothing
# What a format makes of its lines: the text of each field, null where there is none, and in `problem` the
# reason when a line as a whole is not of the format.
RAW_SCHEMA: Final = {
    "timestamp": pl.String(),
    "customer_id": pl.String(),
    "path": pl.String(),
    "status_code": pl.String(),
    "duration": pl.String(),
    PROBLEM: pl.String(),
}

MIN_STATUS, MAX_STATUS = 100, 599
_NO_ANSWER = ("0", "-1", "000", "-")  # what logs write for the status of an aborted request
_UNKNOWN_DURATION = r"\A(?:-|-1(?:\.0+)?)?\z"
_EXPECTED = {
    "customer_id": f"1 to {MAX_CUSTOMER_ID_CHARACTERS} characters without control characters",
    "path": "at least one character, and no NUL",
    "status_code": f"{MIN_STATUS} to {MAX_STATUS}, or 0, -1, 000 or - for no answer",
    "duration": "a finite decimal number, not negative, with or without a unit",
}
_EXPECTED_LENGTH = f"at most {MAX_DURATION_SECONDS:.0f} seconds"


def status_code(text: pl.Expr) -> pl.Expr:
    """Int16; null unless exactly three digits from 100 to 599, or 0 for no answer."""
    number = text.cast(pl.Int16, strict=False)
    answered = (text.str.len_bytes() == 3) & number.is_between(MIN_STATUS, MAX_STATUS)
    return pl.when(answered).then(number).when(text.is_in(_NO_ANSWER)).then(pl.lit(NO_ANSWER, pl.Int16()))


def duration(text: pl.Expr, unit: str = "s") -> pl.Expr:
    """Float64, in seconds; null unless units.seconds reads it, and no more than any duration can be."""
    number = seconds(text, unit)
    return pl.when(number <= MAX_DURATION_SECONDS).then(number)


def customer_id(text: pl.Expr) -> pl.Expr:
    """The text itself; null when empty, too long, or with a control character (Unicode Cc)."""
    fits = text.str.len_chars().is_between(1, MAX_CUSTOMER_ID_CHARACTERS)
    return pl.when(fits & ~text.str.contains(r"\p{Cc}")).then(text)


def path(text: pl.Expr) -> pl.Expr:
    """The text itself; null when empty, or with a NUL, which not every store can hold."""
    return pl.when((text.str.len_bytes() > 0) & ~text.str.contains("\0", literal=True)).then(text)


def read_fields(raw: pl.DataFrame, timestamps: TimestampReader, unit: str) -> pl.DataFrame:
    """The columns of a record but its offset; null where a field of `raw` cannot be read."""
    return raw.select(
        timestamps.read(raw["timestamp"]).alias("timestamp"),
        customer_id(pl.col("customer_id")),
        path(pl.col("path")),
        status_code(pl.col("status_code")),
        duration(pl.col("duration"), unit),
    )


def unreadable(raw: pl.DataFrame, values: pl.DataFrame) -> pl.Series:
    """Which lines are no record: a duration may be unknown, everything else must be there and be right."""
    required = pl.any_horizontal(pl.col("timestamp", "customer_id", "path", "status_code").is_null())
    wrong_duration = values["duration"].is_null() & raw["duration"].is_not_null()
    if wrong_duration.any():
        wrong_duration &= ~raw["duration"].str.contains(_UNKNOWN_DURATION)
    return values.select(required | wrong_duration | raw[PROBLEM].is_not_null()).to_series()


def reasons(raw: pl.DataFrame, values: pl.DataFrame, timestamps: TimestampReader) -> pl.Series:
    """What is wrong with lines that are `unreadable`: the line as a whole, else the first wrong field."""
    table = raw.with_columns(
        unread_timestamp=timestamps.reasons(raw["timestamp"]),
        **{f"unread_{field}": values[field] for field in _EXPECTED},
    )
    too_long = pl.col("unread_duration").is_null() & seconds(pl.col("duration"), "s").is_not_null()
    first_wrong = [pl.col(PROBLEM), pl.when(values["timestamp"].is_null()).then("unread_timestamp")]
    for field, expected in _EXPECTED.items():
        reason = found_instead(field, pl.col(field), expected)
        first_wrong.append(pl.when(pl.col(f"unread_{field}").is_null()).then(reason))
    length = pl.when(too_long).then(found_instead("duration", pl.col("duration"), _EXPECTED_LENGTH))
    first_wrong.insert(-1, length)  # the duration is the last field
    return table.select(pl.coalesce(first_wrong)).to_series()
