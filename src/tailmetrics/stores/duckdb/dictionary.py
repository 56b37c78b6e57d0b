"""Dictionary encoding of customers and paths, which repeat in many records: numbers are sooner written."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import polars as pl

from tailmetrics.sources import Batch

BULK_RECORDS = 8192  # fewer are written sooner as they are
MOST_ENTRIES = 8192  # with more nothing is encoded any more: queries about unsorted records look them up
_SAMPLE_RECORDS = 1024
_MOST_DIFFERENT = 7 / 8  # of a sample: some four thousand texts, if all are as frequent


@dataclass(frozen=True, slots=True)
class EncodedRecords:
    """The records `made_of` with customer_number and path_number in place of their texts.

    The numbers begin with 0, and all are below `end`.
    """

    made_of: pl.DataFrame
    records: pl.DataFrame
    end: int


class Dictionary:
    """Numbers for texts, the same ones for as long as it lives. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._held = pl.Series(dtype=self._type)  # Polars forgets the texts of a type that has no column
        self._end = 0
        # While one thread adds a text, another one may have a greater number than can be looked up.
        self._lock = threading.Lock()

    def encode(self, records: pl.DataFrame) -> EncodedRecords | None:
        """The records with numbers for texts; None when they are few, or their texts do not repeat."""
        if records.height < BULK_RECORDS or self._end > MOST_ENTRIES:
            return None
        texts = [records["customer_id"], records["path"]]
        if not all(map(_repeats, texts)):
            return None
        with self._lock:
            customers, paths = (column.cast(self._type).to_physical() for column in texts)
        end = 1 + int(max(customers.to_numpy().max(), paths.to_numpy().max()))
        self._end = max(self._end, end)
        columns = [column for column in records if column.dtype != pl.String]
        columns += [customers.alias("customer_number"), paths.alias("path_number")]
        return EncodedRecords(records, pl.DataFrame(columns), end)

    def between(self, first: int, end: int) -> pl.DataFrame:
        """The texts of the numbers from `first` on and below `end`, as columns number and name."""
        numbers = pl.Series("number", range(first, end), pl.UInt32)
        with self._lock:
            names = numbers.cat.to(self._type).cast(pl.String)
        return pl.DataFrame([numbers, names.alias("name")])


def encoded_records(batch: Batch) -> EncodedRecords | None:
    """Those of a batch, unless they were made of other records than are in it now."""
    made = batch.prepared
    return made if isinstance(made, EncodedRecords) and made.made_of is batch.parsed.records else None


def _repeats(texts: pl.Series) -> bool:
    """Whether few texts are there many times, by a sample of all parts."""
    sample = texts.gather_every(max(1, len(texts) // _SAMPLE_RECORDS))
    return sample.n_unique() <= _MOST_DIFFERENT * len(sample)
