"""Requests and durations by customer, in the form Prometheus reads, of a bounded number of customers."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tailmetrics.sources import Batch

OTHERS = "other"  # all customers without series of their own
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")  # by the first digit of the status
_OVERTAKES = 2  # so many times the requests of one that has series another one has to have for them
_LIMITS = (*map(str, BUCKETS), "+Inf")


@dataclass(slots=True)
class _Series:
    """What was counted of one customer; `buckets` have the durations up to each bound and above the last."""

    by_class: list[int] = field(default_factory=lambda: [0] * len(_CLASSES))
    buckets: list[int] = field(default_factory=lambda: [0] * len(_LIMITS))
    seconds: float = 0.0


class CustomerMetrics(Collector):
    """Counts the requests that this process commits, from 0 on, by customer.

    `most` customers have series of their own: the first ones, and whoever comes to have twice the requests of
    the smallest of them, whose series end then; a customer's begin at 0 when it gets them. All others are
    counted together as `other`, whose counts never go back. Methods may be called from any thread.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._series: dict[str, _Series] = {OTHERS: _Series()}
        self._requests: dict[str, int] = {}  # of those with series, as long as this process counts them
        self._candidates: dict[str, int] = {}  # requests of others, of no more than have series

    @property
    def is_on(self) -> bool:
        return self._most > 0

    def committed(self, batches: Sequence[Batch]) -> None:
        """Count the requests of one commit."""
        columns = ("customer_id", "status_code", "duration")
        frames = [batch.parsed.records.select(columns) for batch in batches]
        if not self._most or not any(frame.height for frame in frames):
            return
        records = pl.concat(frames)
        with self._lock:
            self._choose(records["customer_id"].value_counts(name="requests"))
            named = pl.col("customer_id").is_in(list(self._requests))
            counted = records.group_by(
                pl.when(named).then("customer_id").otherwise(pl.lit(OTHERS)).alias("name"),
                (pl.col("status_code") // 100).alias("class"),
                pl.lit(pl.Series(BUCKETS)).search_sorted(pl.col("duration"), "left").alias("bucket"),
                pl.col("duration").is_null().alias("untimed"),
            ).agg(pl.len(), pl.col("duration").sum().alias("seconds"))
            for name, status_class, bucket, untimed, requests, seconds in counted.iter_rows():
                series = self._series[name]
                series.by_class[status_class] += requests
                if not untimed:
                    series.buckets[bucket] += requests
                    series.seconds += seconds

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "tailmetrics_customer_requests",
            "Requests that were committed, by customer and by the first digit of the status.",
            labels=["customer", "status_class"],
        )
        durations = HistogramMetricFamily(
            "tailmetrics_customer_request_duration_seconds",
            "Durations of the requests that were committed, where they are known, by customer.",
            labels=["customer"],
        )
        with self._lock:
            for name, series in self._series.items():
                for status_class, number in zip(_CLASSES, series.by_class, strict=True):
                    requests.add_metric([name, status_class], number)
                up_to = itertools.accumulate(series.buckets)
                buckets = list(zip(_LIMITS, up_to, strict=True))
                durations.add_metric([name], buckets, series.seconds)
        return requests, durations

    def _choose(self, counts: pl.DataFrame) -> None:
        """Give series to those of a commit who are to have them, and note the largest of the others."""
        own = counts["customer_id"].is_in(list(self._requests))
        for customer_id, requests in counts.filter(own).iter_rows():
            self._requests[customer_id] += requests
        # `other` may be the id of a customer, too: it is one of them.
        others = counts.filter(~own, pl.col("customer_id") != OTHERS).top_k(self._most, by="requests")
        for customer_id, requests in others.iter_rows():
            self._candidates[customer_id] = self._candidates.get(customer_id, 0) + requests
        by_size = sorted(self._candidates, key=self._candidates.__getitem__, reverse=True)
        self._candidates = {each: self._candidates[each] for each in by_size[: self._most]}
        for customer_id in by_size[: self._most]:
            if len(self._requests) >= self._most:
                least = min(self._requests, key=self._requests.__getitem__)
                if self._candidates[customer_id] < _OVERTAKES * self._requests[least]:
                    break
                self._candidates[least] = self._requests.pop(least)
                del self._series[least]
            self._requests[customer_id] = self._candidates.pop(customer_id)
            self._series[customer_id] = _Series()
