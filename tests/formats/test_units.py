from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.units import (
    NAMES,
    PER_SECOND,
    is_of_request,
    named_with,
    seconds,
    unit_of,
    without_unit,
)


def read(text: str, unit: str = "s") -> float | None:
    return pl.select(seconds(pl.lit(text), unit)).item()


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("0.316", "s", 0.316),
        ("152340", "us", 0.15234),
        ("242", "ms", 0.242),
        ("1242000000", "ns", 1.242),
        ("1e-3", "s", 0.001),
        ("12ms", "s", 0.012),
        ("6.45837ms", "s", 6.45837 / 1e3),
        ("1.05s", "ms", 1.05),
        ("316 ms", "s", 0.316),
        ("152us", "s", 0.000152),
        ("7.5µs", "s", 7.5e-6),
        ("900ns", "s", 9e-7),
        ("1m2.5s", "s", 62.5),
        ("1h0m3s", "s", 3603.0),
        ("2m", "s", 120.0),
    ],
)
def test_a_number_is_in_the_unit_behind_it_or_in_that_of_the_log(
    text: str, unit: str, expected: float
) -> None:
    assert read(text, unit) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "-1", "+1", "1e400", "nan", "inf", "12 parsecs", "1s2m", "m", "1,5", "0x1"]
)
def test_what_is_no_such_number_is_null(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(("unit", "per_second"), [("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_of_many_numbers_each_is_the_nearest_double(unit: str, per_second: int) -> None:
    texts = pl.DataFrame({"text": [str(number) for number in range(5000)]})
    read_at_once = texts.select(seconds(pl.col("text"), unit)).to_series().to_list()
    assert read_at_once == [number / per_second for number in range(5000)]


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        *[("duration_ms", "ms"), ("took_seconds", "s"), ("x_ns", "ns"), ("elapsed-micros", "us")],
        *[("durationMs", "ms"), ("ElapsedMilliseconds", "ms"), ("tookS", "s"), ("latencyNanos", "ns")],
        *[("_ms", ""), ("params", ""), ("items", ""), ("DNS", ""), ("times", ""), ("durations", "")],
        *[("s", ""), ("ns", ""), ("us", ""), ("status", ""), ("latencys", ""), ("milliard", "")],
        *[("ms", "ms"), ("msecs", "ms"), ("elapsed.ms", "ms"), ("duration(ms)", "ms"), ("took[us]", "us")],
        *[("duration_msecs", "ms"), ("duration_usecs", "us"), ("duration_millisec", "ms")],
        *[("elapsed_millisecs", "ms"), ("latency_micro", "us"), ("latency_milli", "ms"), ("dur_µs", "us")],
        *[("latencyMicrosec", "us"), ("latencyMillisec", "ms"), ("duration_nanosec", "ns")],
        *[("time_micro_seconds", "us"), ("timems", "ms"), ("responsetimems", "ms"), ("timesec", "s")],
    ],
)
def test_the_end_of_a_name_tells_its_unit(key: str, unit: str) -> None:
    assert unit_of(key) == unit


@pytest.mark.parametrize(
    "key",
    [
        *("duration", "Latency", "responseTime", "response-time", "X-Response-Time", "execution_time", "rt"),
        *("exec_time_ms", "duration_in_ms", "durationInMs", "responseTimeInMillis", "process_time"),
        *("time_spent", "total_duration_ms", "resp_time", "runtime", "cost_ms", "service_time", "timing"),
        *("server_duration", "request_latency", "latency_total", "ttlb", "time_to_serve", "msecs", "ms"),
        *("elapsed.ms", "http.server.duration", "timing.duration_ms", "labels.duration_ms", "event.duration"),
        *("attributes.http.server.request.duration", "http.response.duration_ms", "latency.total_ms"),
        *("total_ms", "time_ms", "requesttimems", "nginx.request_time", "State.ElapsedMilliseconds"),
    ],
)
def test_a_key_may_be_called_as_the_time_that_a_request_took(key: str) -> None:
    assert is_of_request(key)


@pytest.mark.parametrize(
    "key",
    [
        *("upstream_response_time", "upstream.latency", "db.duration", "db_duration_ms", "view_duration"),
        *("view", "queue_time_ms", "queue.duration", "timeout", "timeout_ms", "request_timeout_ms", "time"),
        *("timestamp", "timestamp_ms", "uptime", "uptime_seconds", "ttl", "expires_ms", "id", "request_id"),
        *("requests", "total", "costs", "cost", "status", "items", "start_time", "startTimeMs", "requests_s"),
        *("time_to_first_byte_ms", "session_duration", "cache.latency_ms", "params", "dns_ms", "art", "cart"),
        *(
            "steps.db.duration_ms",
            "request",
            "response",
            "response_s3",
            "D",
            "T",
            "max_age_seconds",
            "process",
        ),
        *("requestTimeEpoch", "s", "us", "ns", "user.ms", "execution", "server", "http.server"),
    ],
)
def test_a_key_of_anything_else_is_not_called_so(key: str) -> None:
    assert not is_of_request(key)


@pytest.mark.parametrize("unit", PER_SECOND)
def test_a_name_with_a_unit_tells_the_unit_and_the_name(unit: str) -> None:
    for name in NAMES:
        keys = named_with(name, unit)
        assert {unit_of(key) for key in keys} == {unit}
        assert {without_unit(key).replace("_", "").lower() for key in keys} == {name.replace("_", "")}
