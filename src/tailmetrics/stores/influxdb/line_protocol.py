"""Records and other points as line protocol, whole columns at a time."""

from __future__ import annotations

import polars as pl

from tailmetrics.stores.influxdb.record_points import FAR

# What neither line protocol nor Flux's CSV can hold in a tag, and the sign that tells it from itself.
_CONTROLS = [chr(code) for code in (*range(32), 127)]
_ENCODED = {sign: f"%{ord(sign):02X}" for sign in ("%", "\\", *_CONTROLS)}
_TAG = {**_ENCODED, ",": "\\,", "=": "\\=", " ": "\\ "}
_ENCODED_TEXT = {sign: f"%{ord(sign):02X}" for sign in ("%", *_CONTROLS)}
_TEXT = {**_ENCODED_TEXT, "\\": "\\\\", '"': '\\"'}


def encoded(text: str) -> str:
    """Text as it is kept in a tag, where line protocol has no place for a backslash or control characters."""
    return text.translate({ord(sign): code for sign, code in _ENCODED.items()})


def encoded_text(text: str) -> str:
    """Text as it is kept in a field, which has a place for backslashes."""
    return _escape(text, _ENCODED_TEXT)


def decoded(column: pl.Series) -> pl.Series:
    """Texts as they were before they were kept in tags or fields."""
    if not column.str.contains("%", literal=True).any():
        return column
    return column.str.replace_many({code: sign for sign, code in _ENCODED.items()})


def record_lines(records: pl.DataFrame) -> pl.Series:
    """A line for each record that has the columns of its place, too.

    A record without a duration has the field `untimed` instead, so that rows of requests can be read without
    their paths. A time that InfluxDB cannot keep is in a field of its own, `us`.
    """
    customer = _escaped(records["customer_id"], _TAG)
    path = _escaped(records["path"], _TEXT)
    duration = pl.concat_str(pl.lit("duration="), pl.col("duration").cast(pl.String))
    moment = pl.concat_str(pl.lit(",us="), pl.col("timestamp").to_physical().cast(pl.String), pl.lit("i"))
    parts = [
        pl.lit("requests_"),
        pl.col("tick"),
        pl.lit(",customer_id="),
        customer,
        pl.lit(",lane="),
        pl.col("lane"),
        pl.lit(",status_code="),
        pl.col("status_code").cast(pl.String),
        pl.lit(" "),
        duration.fill_null("untimed=true"),
        pl.lit(',path="'),
        path,
        pl.lit('"'),
        pl.when(pl.col("tick") == FAR).then(moment).otherwise(pl.lit("")),
        pl.lit(" "),
        pl.col("time").cast(pl.String),
    ]
    return records.select(pl.concat_str(parts).alias("line")).to_series()


def point(measurement: str, tags: dict[str, str], fields: dict[str, str | int], time: int) -> str:
    """One point; tags are in the order of their names, values of fields text or whole numbers."""
    named = "".join(f",{name}={_escape(value, _TAG)}" for name, value in tags.items())
    valued = ",".join(
        f"{name}={value}i" if isinstance(value, int) else f'{name}="{_escape(value, _TEXT)}"'
        for name, value in fields.items()
    )
    return f"{measurement}{named} {valued} {time}"


def _escaped(column: pl.Series, escapes: dict[str, str]) -> pl.Series:
    if not column.str.contains_any(list(escapes)).any():
        return column
    return column.str.replace_many(escapes)


def _escape(text: str, escapes: dict[str, str]) -> str:
    return text.translate({ord(sign): escape for sign, escape in escapes.items()})
