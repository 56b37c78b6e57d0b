"""What one customer's questions take over InfluxDB, beside the best Flux by hand for each.

Needs a server: INFLUXDB_TEST_URL, INFLUXDB_TEST_TOKEN and INFLUXDB_TEST_ORG. A bucket of its own is filled
with records of 30 days, and the service asked over HTTP in turn with the server itself. By hand means one
text that gives what the answer is made of, or the answer itself; of several such texts the fastest counts.
Medians, and the least in brackets, which is what a machine with other work still shows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import polars as pl

from influxdb import BUCKET, ORG, TOKEN, URL, remove_buckets, through_the_store
from running import ServiceProcess
from tailmetrics.records import RECORD_SCHEMA
from tailmetrics.settings import load_settings
from tailmetrics.telemetry.log import configure_logging

START = datetime.fromisoformat("2026-10-28")
DAYS = 30
CUSTOMER = "cust_1"
RANGE = "from=2026-10-28&to=2026-11-27"
_NEAR = "range(start: 2026-10-28T00:00:00Z, stop: 2026-11-27T00:00:00Z)"
_EVER = "range(start: 1970-01-01T00:00:00Z, stop: 2262-01-01T00:00:00Z)"
_MEASUREMENTS = "r._measurement =~ /^requests_(s|ms|us)$/"


def _points(field: str) -> str:
    condition = f'{_MEASUREMENTS} and r.customer_id == "{CUSTOMER}" and r._field == "{field}"'
    return f"from(bucket: BUCKET) |> {_NEAR} |> filter(fn: (r) => {condition})"


_ALL = f'from(bucket: BUCKET) |> {_EVER} |> filter(fn: (r) => {_MEASUREMENTS} and r._field == "path")'
_EDGES = f"""
{_ALL} |> group() |> first() |> yield(name: "first")
{_ALL} |> group() |> last() |> yield(name: "last")
"""
_ROWS = f'{_points("duration")} |> keep(columns: ["_time", "_value", "status_code"]) |> yield(name: "rows")\n'
_PATHS = f'{_points("path")} |> keep(columns: ["_value", "status_code"]) |> yield(name: "paths")\n'
_GROUPED_PATHS = (
    f'{_points("path")} |> duplicate(column: "_value", as: "path")'
    ' |> group(columns: ["path", "status_code"]) |> count()'
)


def _aggregates(window: str) -> str:
    quantile = 'quantile(q: {}, method: "exact_mean")'
    return f"""
{_points("duration")} |> group(columns: ["status_code"]){window} |> count() |> yield(name: "counts")
durations = {_points("duration")} |> group() |> keep(columns: ["_time", "_value"]){window}
durations |> mean() |> yield(name: "average")
durations |> {quantile.format(0.5)} |> yield(name: "median")
durations |> {quantile.format(0.99)} |> yield(name: "p99")
"""


# What is asked of the service, and by hand for the answer (none for a page) and for rows.
QUESTIONS = {
    "no windows": (f"/stats?customer_id={CUSTOMER}&every=none&{RANGE}", _aggregates(""), _ROWS),
    "daily": (f"/stats?customer_id={CUSTOMER}&every=1d&{RANGE}", _aggregates(" |> window(every: 1d)"), _ROWS),
    "hourly": (
        f"/stats?customer_id={CUSTOMER}&every=1h&{RANGE}",
        _aggregates(" |> window(every: 1h)"),
        _ROWS,
    ),
    "breakdown": (f"/breakdown?customer_id={CUSTOMER}&{RANGE}", _GROUPED_PATHS, _PATHS),
    "page": (f"/view?customer_id={CUSTOMER}&every=auto&{RANGE}", None, f"{_EDGES}{_ROWS}{_PATHS}"),
}


def records_of_days(number: int, customers: int) -> pl.DataFrame:
    """Records by time in whole milliseconds, spread evenly."""
    chance = np.random.default_rng(1)
    milliseconds = np.sort(chance.integers(0, DAYS * 86_400_000, number))
    return pl.DataFrame(
        {
            "timestamp": pl.Series(np.datetime64(START, "us") + milliseconds.astype("timedelta64[ms]")),
            "customer_id": [f"cust_{n}" for n in chance.integers(customers, size=number)],
            "path": [f"/api/v1/resource{n}" for n in chance.integers(5, size=number)],
            "status_code": chance.choice([200, 201, 404, 500, 503], number, p=[0.8, 0.1, 0.05, 0.03, 0.02]),
            "duration": np.round(chance.exponential(0.3, number), 3),
            "offset": np.arange(number) * 54,
        }
    ).cast(dict(RECORD_SCHEMA))


def in_turn(sides: list[Callable[[], object]], rounds: int) -> list[tuple[float, float]]:
    """Median and least milliseconds of each side."""
    took: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 2):
        for ask, each in zip(sides, took, strict=True):
            began = time.perf_counter()
            ask()
            if turn > 1:
                each.append(1000 * (time.perf_counter() - began))
    return [(statistics.median(each), min(each)) for each in took]


def compare(bucket: str, rounds: int) -> None:
    headers = {"Authorization": f"Token {TOKEN}", "Accept-Encoding": "identity"}
    settings = {
        "STORE_URL": "influxdb://",
        "INFLUXDB_URL": URL,
        "INFLUXDB_ORG": ORG,
        "INFLUXDB_TOKEN": TOKEN,
        "INFLUXDB_BUCKET": bucket,
        "CACHE_SECONDS": "0",
    }
    with (
        tempfile.TemporaryDirectory() as name,
        httpx.Client(base_url=URL, headers=headers, timeout=60) as server,
    ):
        log = Path(name) / "empty.log"
        log.touch()
        service = ServiceProcess(Path(name), str(log), **settings)
        service.start()

        def by_hand(text: str) -> None:
            body = {"query": text.replace("BUCKET", f'"{bucket}"'), "type": "flux"}
            server.post("/api/v2/query", params={"org": ORG}, json=body).raise_for_status()

        def ours(path: str) -> None:
            service.client.get(path).raise_for_status()

        try:
            for question, (path, *texts) in QUESTIONS.items():
                hands = {name: text for name, text in zip(("answer", "rows"), texts, strict=True) if text}
                own, *others = in_turn(
                    [partial(ours, path), *(partial(by_hand, text) for text in hands.values())], rounds
                )
                print(f"{question:12} {own[0]:6.1f} ({own[1]:.1f}) ms", end="")
                for kind, (median, least) in zip(hands, others, strict=True):
                    ratios = f"{own[0] / median:.2f} times ({own[1] / least:.2f})"
                    print(f"; {kind} by hand {median:.1f} ({least:.1f}): {ratios}", end="")
                print(flush=True)
        finally:
            service.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, nargs="*", default=[50, 5_000])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    if not (URL and TOKEN and ORG):
        raise SystemExit(
            "INFLUXDB_TEST_URL, INFLUXDB_TEST_TOKEN and INFLUXDB_TEST_ORG say which server to ask"
        )
    configure_logging(load_settings(None, logging_level="ERROR"))
    try:
        for customers in arguments.customers:
            bucket = f"{BUCKET}-{customers}"
            print(f"{arguments.points:,} points of {customers:,} customers", flush=True)
            through_the_store(records_of_days(arguments.points, customers), bucket)
            compare(bucket, arguments.rounds)
    finally:
        remove_buckets()


if __name__ == "__main__":
    main()
