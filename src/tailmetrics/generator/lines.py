"""Lines of the format `requests`: realistic, or each choice equally likely."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.generator.options import GeneratorOptions

CUSTOMERS = tuple(f"cust_{number}" for number in range(1, 51))
PATHS = tuple(f"/api/v1/resource{number}" for number in range(1, 5))
UNIFORM_STATUSES = (200, 201, 400, 401, 403, 404, 500)
UNIFORM_DAYS = 30

# Shares of the statuses in the realistic mode, in per mille.
_STATUS_SHARES = {
    200: 860, 201: 45, 204: 15, 301: 3, 304: 22, 400: 12, 401: 8, 403: 4, 404: 16, 429: 4, 500: 5, 502: 2,
    503: 4,
}  # fmt: skip
_PATH_SHARES = (0.45, 0.30, 0.17, 0.08)
_PATH_MEDIAN_SECONDS = (0.045, 0.090, 0.180, 0.420)
LATENCY_SIGMA = 0.55  # of the log-normal distribution: p99 is 3.6 times the median
_POPULARITY_EXPONENT = 0.9  # of the Zipf-like law: the first customer sends some 12 per cent of the requests
_MAX_MILLISECONDS = 30_000

BLOCK_LINES = 16_384  # rendered at a time; fixed, so that a seed gives the same lines with any batch size


class Lines:
    """Renders lines a block at a time and hands them out a batch at a time."""

    def __init__(self, options: GeneratorOptions) -> None:
        self.options = options
        self._days = options.days or (UNIFORM_DAYS if options.mode == "uniform" else None)
        self._random = np.random.default_rng(options.seed)
        self._is_stamped = not self._days and options.format_name != "results"
        self._zone = ZoneInfo(options.zone)
        self._begin = options.now or datetime.now(self._zone)
        self._durations = pl.Series(
            [f"{ms // 1000}.{ms % 1000:03d}" for ms in range(_MAX_MILLISECONDS + 1)], dtype=pl.String
        )
        self._block: list[bytes] = []
        self._rendered = 0
        self._at = 0

    def batch_size(self, now: float) -> int:  # noqa: ARG002  # the pace of this mode is even
        """How many lines the batch of that time has."""
        return self.options.batch_size

    def is_complete(self, written: int) -> bool:
        """Whether these are all lines that are asked for."""
        return 0 < self.options.max_lines <= written

    def take(self, count: int, now: float) -> bytes:
        """The next `count` lines, as written at `now`, in seconds since 1970."""
        parts = self._block[self._at : self._at + count]
        self._at += len(parts)
        while len(parts) < count:
            self._block = self._render(BLOCK_LINES)
            self._at = count - len(parts)
            parts += self._block[: self._at]
        stamp = _stamp(int(now), self._zone) if self._is_stamped else b""
        return stamp + stamp.join(parts)

    def _render(self, count: int) -> list[bytes]:
        """Lines with their ends; without the timestamp where that is the time of the append."""
        named = [column.alias(str(number)) for number, column in enumerate(self._columns(count))]
        self._rendered += count
        text = pl.select(pl.concat_str(named, separator=" ").str.join("\n")).item()
        return f"{text}\n".encode().splitlines(keepends=True)

    def _columns(self, count: int) -> list[pl.Series]:
        choose = self._uniform if self.options.mode == "uniform" else self._realistic
        columns = self._requests(*choose(count))
        return [self._timestamps(self._seconds(count, self._days)), *columns] if self._days else columns

    def _requests(
        self,
        customers: npt.NDArray[np.int64],
        paths: npt.NDArray[np.int64],
        statuses: npt.NDArray[np.int64],
        milliseconds: npt.NDArray[np.int64],
    ) -> list[pl.Series]:
        return [
            pl.Series(CUSTOMERS).gather(customers),
            pl.Series(PATHS).gather(paths),
            pl.Series(statuses).cast(pl.String),
            self._durations.gather(milliseconds),
        ]

    def _uniform(self, count: int) -> tuple[npt.NDArray[np.int64], ...]:
        return (
            self._random.integers(len(CUSTOMERS), size=count),
            self._random.integers(len(PATHS), size=count),
            self._random.choice(np.array(UNIFORM_STATUSES), size=count),
            self._random.integers(100, 2000, size=count, endpoint=True),
        )

    def _realistic(self, count: int) -> tuple[npt.NDArray[np.int64], ...]:
        customers, paths, statuses = self._choices(count)
        return customers, paths, statuses, self._milliseconds(paths, statuses)

    def _choices(self, count: int) -> tuple[npt.NDArray[np.int64], ...]:
        popularity = 1.0 / np.arange(1, len(CUSTOMERS) + 1) ** _POPULARITY_EXPONENT
        shares = np.array(list(_STATUS_SHARES.values()), dtype=float)
        customers = self._random.choice(len(CUSTOMERS), size=count, p=popularity / popularity.sum())
        paths = self._random.choice(len(PATHS), size=count, p=_PATH_SHARES)
        return (
            customers,
            paths,
            self._random.choice(np.array(list(_STATUS_SHARES)), size=count, p=shares / shares.sum()),
        )

    def _milliseconds(
        self,
        paths: npt.NDArray[np.int64],
        statuses: npt.NDArray[np.int64],
        slower: npt.NDArray[np.float64] | float = 1.0,
    ) -> npt.NDArray[np.int64]:
        seconds = np.array(_PATH_MEDIAN_SECONDS)[paths] * self._random.lognormal(
            0.0, LATENCY_SIGMA, len(paths)
        )
        # Failing servers answer late, and what is refused or not modified is answered early.
        seconds *= slower * np.select(
            [statuses >= 500, (statuses >= 300) & (statuses < 500)], [6.0, 0.4], 1.0
        )
        return np.clip(np.rint(seconds * 1000), 1, _MAX_MILLISECONDS).astype(int)

    def _seconds(self, count: int, days: int) -> npt.NDArray[np.int64]:
        """The times of the next lines, in seconds since 1970."""
        span = timedelta(days=days).total_seconds()
        if self.options.mode == "uniform":
            ages = self._random.integers(1, int(span), size=count, endpoint=True).astype(float)
        else:
            ages = span * (1.0 - (self._rendered + np.arange(count)) / max(self.options.max_lines, 1))
        return np.floor(self._begin.timestamp() - ages).astype(np.int64)

    def _timestamps(self, seconds: npt.NDArray[np.int64]) -> pl.Series:
        return (
            pl.from_epoch(pl.Series(seconds), time_unit="s")
            .dt.convert_time_zone(self.options.zone)
            .dt.strftime("%Y-%m-%d %H:%M:%S")
        )


@functools.lru_cache(maxsize=1)
def _stamp(second: int, zone: ZoneInfo) -> bytes:
    return datetime.fromtimestamp(second, zone).strftime("%Y-%m-%d %H:%M:%S ").encode()
