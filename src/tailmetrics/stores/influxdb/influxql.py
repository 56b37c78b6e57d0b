"""Questions in InfluxQL, for what is asked so often that a Flux text costs too much.

InfluxDB 2 answers them at `/query`, where the name of a bucket is that of a database, unless an administrator
has said that it is another bucket's. So an answer counts while Flux has given the same one not long ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

import polars as pl

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores.influxdb.csv import Tables
from tailmetrics.stores.influxdb.line_protocol import decoded

TRUSTED_SECONDS = 60.0
_TRIED_AGAIN_SECONDS = 5.0  # a commit in between makes one answer differ from the other

Ask = Callable[[str], Coroutine[Any, Any, Any]]


class Shortcut:
    """Whether InfluxQL may be asked, and when Flux is to be asked as well."""

    def __init__(self) -> None:
        self._trusted_until = float("-inf")
        self._tried_after = float("-inf")

    @property
    def is_trusted(self) -> bool:
        return time.monotonic() < self._trusted_until

    @property
    def may_be_tried(self) -> bool:
        return time.monotonic() >= self._tried_after

    def compared(self, *, same: bool) -> None:
        """Both have been asked the same."""
        now = time.monotonic()
        self._trusted_until = now + TRUSTED_SECONDS if same else float("-inf")
        self._tried_after = now if same else now + _TRIED_AGAIN_SECONDS

    def refused(self) -> None:
        """The server does not answer InfluxQL about this bucket; it is asked again when Flux is as well."""
        now = time.monotonic()
        self._trusted_until, self._tried_after = float("-inf"), now + TRUSTED_SECONDS


def database_of(bucket: str) -> dict[str, str]:
    """The parameters that name a bucket: what is behind a slash is a retention policy."""
    database, slash, policy = bucket.partition("/")
    return {"db": database, "rp": policy} if slash else {"db": database}


def tables_of(answer: Any) -> list[Tables]:
    """The rows that each statement gives, with `_time` (ns) and tags; texts as they were before they were
    written.

    Raises StoreUnavailable where a statement went wrong.
    """
    found = []
    for result in answer.get("results", ()):
        if "error" in result:
            raise StoreUnavailable(f"InfluxDB could not answer: {result['error']}")
        frames = [_frame(series) for series in result.get("series", ())]
        found.append(pl.concat(frames, how="vertical_relaxed") if frames else pl.DataFrame())
    return found


def _frame(series: dict[str, Any]) -> Tables:
    frame = pl.DataFrame(series["values"], schema=series["columns"], orient="row").rename({"time": "_time"})
    texts = [column.name for column in frame if column.dtype == pl.String]
    tags = (pl.lit(value).alias(name) for name, value in series.get("tags", {}).items())
    return frame.with_columns(*(decoded(frame[name]) for name in texts), *tags)


async def rows(ask: Ask, shortcut: Shortcut, *statements: str) -> list[Tables] | None:
    """As `tables_of`; None where the server refuses."""
    try:
        return tables_of(await ask("; ".join(statements)))
    except StoreError:
        shortcut.refused()
        return None
