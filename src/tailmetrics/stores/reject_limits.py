"""How many rejects a store keeps, the first and the last ones: garbage may come without end."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from tailmetrics.sources import Batch

_SOURCES_SHARE = 10  # so many sources of garbage fill what a store keeps


def kept_of_source(kept: int) -> int:
    """How many rejects of one source are kept, where `kept` are of all together."""
    return kept // _SOURCES_SHARE


def halves(kept: int) -> tuple[int, int]:
    """How many of the first and how many of the last rejects make so many."""
    return kept // 2, kept - kept // 2


def thinned(batch: Batch, kept: int) -> Batch:
    """The batch with those of its rejects that may be kept, where so many are of its source."""
    rejects = batch.parsed.rejects
    if rejects.height <= kept:
        return batch
    first, last = halves(kept)
    ends = pl.concat([rejects.head(first), rejects.tail(last)])
    return replace(batch, parsed=replace(batch.parsed, rejects=ends))
