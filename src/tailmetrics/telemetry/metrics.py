"""Figures about the service itself, in the form Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tailmetrics.records import RECORD_SCHEMA
from tailmetrics.sources import Batch
from tailmetrics.status import FAULTY_STATES, SourceStatus
from tailmetrics.telemetry.customers import CustomerMetrics

REJECT_REASONS = frozenset({*RECORD_SCHEMA, "line"} - {"offset"})
OTHER_REASON = "other"

_COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_QUERY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one service, in a registry of their own; those by customer are in another one.

    `most_customers` have series of their own; 0: nothing is counted by customer.
    """

    def __init__(self, most_customers: int = 0) -> None:
        self.registry = CollectorRegistry()
        self.customers = CustomerMetrics(most_customers)
        self._lines = Counter("tailmetrics_lines", "Lines committed, of any kind.", registry=self.registry)
        self._records = Counter("tailmetrics_records", "Lines committed as requests.", registry=self.registry)
        self._blanks = Counter(
            "tailmetrics_blank_lines", "Lines of white space only.", registry=self.registry
        )
        self._bytes = Counter(
            "tailmetrics_bytes", "Bytes of the logs up to the committed positions.", registry=self.registry
        )
        self._rejects = Counter(
            "tailmetrics_rejects",
            "Lines that could not be read, by the field that was wrong.",
            ["reason"],
            registry=self.registry,
        )
        for reason in (*sorted(REJECT_REASONS), OTHER_REASON):
            self._rejects.labels(reason)  # a series that begins at 0 shows its first increase
        self._commit_seconds = Histogram(
            "tailmetrics_commit_seconds",
            "Seconds that one commit to the store took.",
            buckets=_COMMIT_BUCKETS,
            registry=self.registry,
        )
        self._queries = Counter(
            "tailmetrics_queries",
            "Answered requests, by endpoint and status.",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self._query_seconds = Histogram(
            "tailmetrics_query_seconds",
            "Seconds from a request to the end of its answer, by endpoint.",
            ["endpoint"],
            buckets=_QUERY_BUCKETS,
            registry=self.registry,
        )
        self._sources = _SourceGauges()
        self.registry.register(self._sources)
        ProcessCollector(registry=self.registry)

    def committed(self, batches: Sequence[Batch], seconds: float) -> None:
        """Count what one commit to the store brought and how long it took."""
        self._commit_seconds.observe(seconds)
        self.customers.committed(batches)
        for batch in batches:
            self._lines.inc(batch.parsed.lines)
            self._records.inc(batch.parsed.records.height)
            self._blanks.inc(batch.parsed.blanks)
            self._bytes.inc(batch.bytes_read)
            if batch.parsed.rejects.is_empty():
                continue
            fields = batch.parsed.rejects["reason"].str.extract(r"^(\w+)").value_counts(name="count")
            for field, count in fields.iter_rows():
                self._rejects.labels(field if field in REJECT_REASONS else OTHER_REASON).inc(count)

    def observe_query(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request; `endpoint` is a path template, so that there are few of them."""
        self._queries.labels(endpoint, str(status)).inc()
        self._query_seconds.labels(endpoint).observe(seconds)

    def watch_sources(self, sources: Callable[[], Sequence[SourceStatus]]) -> None:
        """Show the lag of these sources, asked for at each scrape."""
        self._sources.ask = sources

    def watch_lost_bytes(self, lost_bytes: Callable[[], int]) -> None:
        """Show how many bytes were destroyed unread, asked for at each scrape."""
        self._sources.lost_bytes = lost_bytes

    def watch_alerts(self, by_state: Callable[[], Mapping[str, int]]) -> Callable[[float], None]:
        """Show how many alerts are in each state, asked for at each scrape.

        What is returned is to be told the seconds of each evaluation.
        """
        seconds = Histogram(
            "tailmetrics_alerts_evaluation_seconds",
            "Seconds that one evaluation of all alerts took.",
            buckets=_QUERY_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_AlertGauge(by_state))
        return seconds.observe

    def render(self) -> bytes:
        """All figures in Prometheus' text format, but those by customer."""
        return generate_latest(self.registry)

    def render_customers(self) -> bytes:
        """Figures by customer in the same format."""
        registry = CollectorRegistry()
        registry.register(self.customers)
        return generate_latest(registry)


_SOURCE_GAUGES: tuple[tuple[str, str, Callable[[SourceStatus], float]], ...] = (
    (
        "up",
        "Whether a source can be read: 1, else 0.",
        lambda each: each.state not in FAULTY_STATES | {"awaited"},
    ),
    ("position_bytes", "Byte up to which a source is in the store.", lambda each: each.position),
    ("lag_bytes", "Bytes of a source that are not in the store yet.", lambda each: each.lag_bytes),
    ("lag_seconds", "Seconds for which a source has been behind.", lambda each: each.lag_seconds),
)


_PARTITION_GAUGES: tuple[tuple[str, str, Callable[[SourceStatus], float]], ...] = (
    (
        "lag_messages",
        "Messages of a topic's partition that are not in the store yet.",
        lambda each: each.lag_messages or 0,
    ),
    (
        "lost_messages",
        "Messages that a topic's retention deleted before they were read.",
        lambda each: each.lost_messages,
    ),
)


class _AlertGauge(Collector):
    def __init__(self, by_state: Callable[[], Mapping[str, int]]) -> None:
        self._by_state = by_state

    def collect(self) -> Iterable[Metric]:
        gauge = GaugeMetricFamily(
            "tailmetrics_alerts", "Alerts, by state, in the process that evaluates them.", labels=["state"]
        )
        counts = self._by_state()
        for state in ("pending", "firing", "resolved"):
            gauge.add_metric([state], counts.get(state, 0))
        return [gauge]


class _SourceGauges(Collector):
    """Lag, position and warnings of each source, and what was lost.

    A collector, so that a source that is gone is not shown for ever.
    """

    def __init__(self) -> None:
        self.ask: Callable[[], Sequence[SourceStatus]] = tuple
        self.lost_bytes: Callable[[], int] = int

    def collect(self) -> Iterable[Metric]:
        statuses = self.ask()
        gauges = []
        for name, text, value in _SOURCE_GAUGES:
            gauge = GaugeMetricFamily(f"tailmetrics_source_{name}", text, labels=["source", "path"])
            for status in statuses:
                gauge.add_metric([status.source_id, status.path], value(status))
            gauges.append(gauge)
        for name, text, of_partition in _PARTITION_GAUGES:
            gauge = GaugeMetricFamily(f"tailmetrics_source_{name}", text, labels=["source", "path"])
            for status in statuses:
                if status.lag_messages is not None:
                    gauge.add_metric([status.source_id, status.path], of_partition(status))
            gauges.append(gauge)
        warning = GaugeMetricFamily(
            "tailmetrics_source_warning",
            "1 for each source whose lines are probably not read as they are meant, by what shows it.",
            labels=["source", "path", "kind"],
        )
        for status in statuses:
            for each in status.warnings:
                warning.add_metric([status.source_id, status.path, each.kind], 1)
        lost_bytes = CounterMetricFamily(
            "tailmetrics_lost_bytes",
            "Bytes that truncations destroyed before they were read, no copy having been found.",
            value=self.lost_bytes(),
        )
        return (*gauges, warning, lost_bytes)
