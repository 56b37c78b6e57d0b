"""Customers and paths as numbers: those of many records repeat, and numbers are written sooner than texts."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tailmetrics.sources import Batch

FEW_RECORDS = 4096  # fewer are written sooner as they are
MOST_NAMES = 8192  # which questions about records that are not sorted yet have to look up
_SAMPLE_RECORDS = 1024
_REPEATED = 2  # times, that a text is there at least, on the average of a sample


@dataclass(frozen=True, slots=True)
class Numbered:
    """Records with customer_number and path_number in place of the texts of `texts`.

    The numbers begin with 0, and all are below `end`.
    """

    texts: pl.DataFrame
    records: pl.DataFrame
    end: int


class Names:
    """Numbers for texts, the same ones for as long as it lives. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._held = pl.Series(dtype=self._type)  # Polars forgets the names of a type that has no column
        self._end = 0

    def numbered(self, records: pl.DataFrame) -> Numbered | None:
        """The records with numbers; None when they are few, or their texts do not repeat."""
        if records.height < FEW_RECORDS or self._end > MOST_NAMES:
            return None
        texts = [records["customer_id"], records["path"]]
        if not all(map(_repeats, texts)):
            return None
        customers, paths = (column.cast(self._type).to_physical() for column in texts)
        end = 1 + int(max(customers.to_numpy().max(), paths.to_numpy().max()))
        self._end = max(self._end, end)
        columns = [column for column in records if column.dtype != pl.String]
        columns += [customers.alias("customer_number"), paths.alias("path_number")]
        return Numbered(records, pl.DataFrame(columns), end)

    def between(self, first: int, end: int) -> pl.DataFrame:
        """The texts of the numbers from `first` on and below `end`, as columns number and name."""
        numbers = pl.Series("number", range(first, end), pl.UInt32)
        return pl.DataFrame([numbers, numbers.cat.to(self._type).cast(pl.String).alias("name")])


def numbered_of(batch: Batch) -> Numbered | None:
    """The records of the batch with numbers, if they have been made and are still those of the batch."""
    made = batch.prepared
    return made if isinstance(made, Numbered) and made.texts is batch.parsed.records else None


def _repeats(texts: pl.Series) -> bool:
    """Whether it is likely that a text is there more than once."""
    sample = texts.head(_SAMPLE_RECORDS)
    return sample.n_unique() * _REPEATED <= len(sample)
