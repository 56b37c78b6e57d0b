"""The values of one column as they are written in JSON, in the bytes where they are, and records of such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import msgspec
import nanoarrow
import numpy as np
import polars as pl

from tailmetrics.formats import fields
from tailmetrics.formats.digits import WORD, decimals, pairs, words_at
from tailmetrics.formats.fields import MAX_STATUS, MIN_STATUS
from tailmetrics.formats.json.iso import HEAD_BYTES, iso_times
from tailmetrics.formats.json.names import Naming, names_in
from tailmetrics.formats.lines import LF, Bools, Bytes, Integers
from tailmetrics.formats.timestamps import EARLIEST, EPOCH_START, LATEST, UTC, TimestampReader
from tailmetrics.formats.units import PER_SECOND
from tailmetrics.records import MAX_CUSTOMER_ID_CHARACTERS, RECORD_SCHEMA

_QUOTE, _BACKSLASH, _MINUS, _NINE, _NULL = b'"'[0], b"\\"[0], b"-"[0], b"9"[0], b"n"[0]
_ZERO: Final = b"0"[0]
_UNKNOWN_TIMES = np.frombuffer(b"0001-01-1970-01-", dtype="<u8")
_PADDING: Final = b" " * HEAD_BYTES
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST, _LATEST = ((limit - EPOCH_START) // _MICROSECOND for limit in (EARLIEST, LATEST))
_INTEGRAL = r"\A(-?[0-9]+)\.0+\z"
_THREE_BYTES, _SPACE_BEHIND = np.uint32(0xFFFFFF), np.uint32(0x20 << 24)


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one column; value i without its quotes is `data[starts[i]:ends[i]]`.

    `plain` tells which are numbers, or text without an escape; `unit` is that of numbers, where the key tells
    it, and `naming` how customers are told that are still as they are logged. Around each are at least
    HEAD_BYTES.
    """

    data: bytes
    array: Bytes
    starts: Integers
    ends: Integers
    quoted: Bools
    plain: Bools
    unit: str = ""
    naming: Naming | None = None

    @staticmethod
    def of(written: Iterable[msgspec.Raw]) -> Values:
        data = b"\n".join([_PADDING, *written, _PADDING])
        array = np.frombuffer(data, dtype=np.uint8)
        feeds = np.flatnonzero(array == LF)
        return Values.at(data, array, feeds[:-1] + 1, feeds[1:])

    @staticmethod
    def at(data: bytes, array: Bytes, starts: Integers, ends: Integers) -> Values:
        first = array[starts]
        quoted = first == _QUOTE
        plain = quoted | ((first <= _NINE) & (first >= _MINUS))
        inner_starts, inner_ends = starts + quoted, ends - quoted
        if b"\\" in data:
            escapes = np.flatnonzero(array == _BACKSLASH)
            place = np.searchsorted(starts, escapes, side="right") - 1
            inside = (place >= 0) & (escapes < ends[place])
            plain[place[inside]] = False
        return Values(data, array, inner_starts, inner_ends, quoted, plain)

    @staticmethod
    def unescaped(data: bytes, array: Bytes, starts: Integers, ends: Integers, quoted: bool) -> Values:
        """Values without an escape, the quotes around which are known."""
        if quoted:
            all_quoted = np.ones(len(starts), dtype=np.bool_)
            return Values(data, array, starts, ends, all_quoted, all_quoted)
        first = array[starts]
        plain = (first <= _NINE) & (first >= _MINUS)
        return Values(data, array, starts, ends, np.zeros(len(starts), dtype=np.bool_), plain)

    def only(self, chosen: Bools) -> Values:
        """The values for which `chosen` is true."""
        starts, ends = self.starts[chosen], self.ends[chosen]
        return replace(self, starts=starts, ends=ends, quoted=self.quoted[chosen], plain=self.plain[chosen])

    @property
    def lengths(self) -> Integers:
        return self.ends - self.starts

    def missing(self) -> Bools:
        """Null, empty or `-`, as logs write what they do not have."""
        first, lengths = self.array[self.starts], self.lengths
        null = ~self.quoted & (first == _NULL)
        missing: Bools = null | (self.quoted & ((lengths == 0) | ((lengths == 1) & (first == _MINUS))))
        return missing

    def may_be_no_times(self) -> Bools:
        """Missing, or perhaps times that tell that none is known, as keys.JsonFields has it."""
        first = self.array[self.starts]
        begins = words_at(self.data, self.starts, "<u8")
        unknown: Bools = ((self.lengths == 1) & (first == _ZERO)) | np.isin(begins, _UNKNOWN_TIMES)
        return unknown | self.missing()

    def texts(self, places: Integers | None = None) -> pl.Series:
        """The values as text, of all or some; null where one is neither text nor a number."""
        starts, ends, plain = self.starts, self.ends, self.plain
        if places is not None:
            starts, ends, plain = starts[places], ends[places], plain[places]
        texts = texts_between(self.data, starts, ends)
        if plain.all():
            return texts
        others = np.flatnonzero(~plain)
        return texts.scatter(
            others, [self._text(place) for place in (others if places is None else places[others])]
        )

    def _text(self, place: int) -> str | None:
        if not self.quoted[place]:
            return None
        try:
            return msgspec.json.decode(self.data[self.starts[place] - 1 : self.ends[place] + 1], type=str)
        except msgspec.MsgspecError:  # half of a surrogate pair
            return None


def texts_between(data: bytes, starts: Integers, ends: Integers) -> pl.Series:
    """Each text from a start to its end, in order; their bytes are not copied."""
    edges = np.empty((len(starts), 2), dtype=np.int32)
    edges[:, 0] = starts
    edges[:, 1] = ends
    array = nanoarrow.c_array_from_buffers(
        nanoarrow.string(), max(0, edges.size - 1), [None, edges.ravel(), data], null_count=0
    )
    return pl.Series(array).to_frame("text").select_seq(pl.col("text").gather_every(2))["text"]


def status_text(text: pl.Series) -> pl.Series:
    """The text of a status, which some write as `200.0`."""
    return text.str.replace(_INTEGRAL, "${1}")


def records_of(
    values: Mapping[str, Values], offsets: Integers, reader: TimestampReader, unit: str = "s"
) -> tuple[pl.DataFrame, Bools]:
    """Records of lines that each have a value in `values` by column, and which of them are records indeed.

    Durations without a unit are in `unit`.
    """
    timestamp = _timestamps(values["timestamp"], reader)
    customer_id, customer_proven = _customers(values["customer_id"])
    path, path_proven = _paths(values["path"])
    status_code, proven = _statuses(values["status_code"])
    proven = proven & customer_proven & path_proven
    if timestamp.null_count():
        proven &= timestamp.is_not_null().to_numpy()
    if "duration" in values:
        duration, duration_proven = _durations(values["duration"], unit)
        proven &= duration_proven
    else:
        duration = pl.repeat(None, len(offsets), dtype=pl.Float64(), eager=True)
    columns = (timestamp, customer_id, path, status_code, duration, offsets)
    return pl.DataFrame(dict(zip(RECORD_SCHEMA, columns, strict=True)), RECORD_SCHEMA), proven


def _timestamps(values: Values, reader: TimestampReader) -> pl.Series:
    """Null where a value is no time."""
    times, zoned, fits = iso_times(values.data, values.starts, values.ends)
    fits &= values.quoted & values.plain
    if not reader.by_shape:
        fits[:] = False
    if not fits.any():
        return reader.read(values.texts())
    time = pl.Series(times).cast(RECORD_SCHEMA["timestamp"])
    is_utc = (zoned.all() or reader.zone == UTC) and times.min() >= _EARLIEST and times.max() <= _LATEST
    utc = time if is_utc else reader.utc(time, pl.Series(zoned))
    if fits.all():
        return utc
    odd = np.flatnonzero(~fits)
    return utc.scatter(odd, reader.read(values.texts(odd)))


def _customers(values: Values) -> tuple[pl.Series, Bools]:
    lengths = values.lengths
    fits = values.plain & (lengths > 0) & (lengths <= MAX_CUSTOMER_ID_CHARACTERS)
    texts, proven = _by_rule(values, fits, fields.customer_id)
    short = np.flatnonzero(lengths == 1)
    proven[short] &= values.array[values.starts[short]] != _MINUS
    if not values.naming:
        return texts, proven
    names = names_in(texts, values.naming)
    if names is not texts:  # by another key, where this one tells nobody
        proven &= ~names.is_in(fields.MISSING).fill_null(value=False).to_numpy()
    return names, proven


def _paths(values: Values) -> tuple[pl.Series, Bools]:
    return _by_rule(values, values.plain & (values.lengths > 0), fields.path)


def _by_rule(values: Values, fits: Bools, rule: Callable[[pl.Expr], pl.Expr]) -> tuple[pl.Series, Bools]:
    """The texts, and where they are right: where they fit, and else by the rule of the field."""
    texts = values.texts()
    if fits.all():
        return texts, fits
    odd = np.flatnonzero(~fits)
    ruled = pl.select(rule(pl.lit(texts.gather(odd)))).to_series()
    proven = fits.copy()
    proven[odd] = ruled.is_not_null().to_numpy()
    return texts, proven


def _statuses(values: Values) -> tuple[pl.Series, Bools]:
    words = (words_at(values.data, values.starts, "<u4") & _THREE_BYTES) | _SPACE_BEHIND
    digits, fits = pairs(words, b"000 ")
    status = digits[:, 0].astype(np.int16) * 10 + digits[:, 2] // 10
    fits &= values.plain & (values.lengths == 3) & (status >= MIN_STATUS) & (status <= MAX_STATUS)
    found = pl.Series(status)
    if fits.all():
        return found, fits
    odd = np.flatnonzero(~fits)
    ruled = pl.select(fields.status_code(pl.lit(status_text(values.texts(odd))))).to_series()
    fits[odd] = ruled.is_not_null().to_numpy()
    return found.scatter(odd, ruled), fits


def _durations(values: Values, unit: str) -> tuple[pl.Series, Bools]:
    """Null where there is none, which is right too."""
    lengths, unit = values.lengths, values.unit or unit
    duration, fits = decimals(words_at(values.data, values.ends - WORD, "<u8"), lengths)
    fits &= values.plain
    found = pl.Series(duration if unit == "s" else duration / PER_SECOND[unit])
    if fits.all():
        return found, fits
    missing = values.missing()
    odd = np.flatnonzero(~fits)
    ruled = pl.select(fields.duration(pl.lit(values.texts(odd)), unit)).to_series()
    fits |= missing
    fits[odd] |= ruled.is_not_null().to_numpy()
    return found.scatter(odd, ruled), fits
