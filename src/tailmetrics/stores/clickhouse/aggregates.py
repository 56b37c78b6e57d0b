"""Counts, uptime and latencies as SQL over records.

Sums are those of Kahan, right to the last bit or the one before. Quantiles are exact, by linear interpolation
at q·(n-1), and bit for bit those of Polars.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailmetrics.stats import Failures, Summary
from tailmetrics.stores.results import failed_sql, summary_of
from tailmetrics.stores.windowing import by_piece
from tailmetrics.windows import Piece


def counts_sql(failures: Failures) -> str:
    """The columns requests, failed and average, without the costly quantiles."""
    return (
        f"count() AS requests, countIf({failed_sql(failures)}) AS failed, "
        "sumKahan(duration) / count(duration) AS average"
    )


def aggregates_sql(failures: Failures) -> str:
    """The same, and quantiles: the median and p99, which are no numbers where no record has a duration."""
    return f"{counts_sql(failures)}, quantilesExactInclusive(0.5, 0.99)(duration) AS quantiles"


def summary_of_row(requests: int, failed: int, average: float | None, quantiles: Sequence[float]) -> Summary:
    """The aggregates of a row of those columns."""
    return summary_of(requests, failed, average, *quantiles)


def window_key(pieces: Sequence[Piece]) -> str:
    """The start of the window of a record, in microseconds."""

    def start_in(piece: Piece) -> str:
        if piece.until_us - piece.start_us <= piece.step_us:  # it is one window, as days with a change are
            return f"toInt64({piece.start_us})"
        since = f"(time_us - ({piece.anchor_us}))"
        if piece.day_us is not None:
            since = f"({since} % {piece.day_us})"
        return f"time_us - {since} % {piece.step_us}"

    def choose(us: int, earlier: str, later: str) -> str:
        return f"if(time_us < {us}, {earlier}, {later})"

    return by_piece(pieces, start_in, choose)
