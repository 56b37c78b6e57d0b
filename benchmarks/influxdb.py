"""Points a second through the InfluxDB store, beside the floor: the same lines, made before, posted plainly.

Needs a server: INFLUXDB_TEST_URL, INFLUXDB_TEST_TOKEN and INFLUXDB_TEST_ORG. The floor is one HTTP client
that posts the line protocol that the store would make, compressed before the clock starts, in requests of the
same size, one after the other. The store makes the lines, compresses them, posts them and then the position.
Both sides write into buckets of their own, in turn, several times; figures are medians.
"""

from __future__ import annotations

import argparse
import gzip
import os
import secrets
import statistics
import time
from datetime import datetime, timedelta

import httpx
import numpy as np
import polars as pl

from tailmetrics.records import RECORD_SCHEMA, ParsedLines, no_rejects
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Batch, Checkpoint, Source, derive_source_id
from tailmetrics.stores.influxdb.line_protocol import record_lines
from tailmetrics.stores.influxdb.record_points import Progress, point_keys
from tailmetrics.stores.influxdb.server import LINES_A_REQUEST
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.telemetry.log import configure_logging

URL = os.environ.get("INFLUXDB_TEST_URL", "")
TOKEN = os.environ.get("INFLUXDB_TEST_TOKEN", "")
ORG = os.environ.get("INFLUXDB_TEST_ORG", "")
BUCKET = f"benchmark-{secrets.token_hex(4)}"
COMMIT_LINES = 250_000
LINES_A_SECOND = 5_000
CUSTOMERS = 100


def lines_of_a_log(number: int) -> pl.DataFrame:
    """What the parser makes of a log of 5,000 lines a second of 100 customers."""
    chance = np.random.default_rng(1)
    start = datetime.fromisoformat("2024-10-10")
    seconds = pl.int_range(number, eager=True) // LINES_A_SECOND
    return pl.DataFrame(
        {
            "timestamp": pl.repeat(start, number, eager=True) + seconds * timedelta(seconds=1),
            "customer_id": [f"cust_{n}" for n in chance.integers(CUSTOMERS, size=number)],
            "path": [f"/api/v1/resource{n}" for n in chance.integers(5, size=number)],
            "status_code": chance.choice([200, 201, 404, 500, 503], number, p=[0.8, 0.1, 0.05, 0.03, 0.02]),
            "duration": np.round(chance.exponential(0.3, number), 3),
            "offset": np.arange(number) * 54,
        },
        RECORD_SCHEMA,
        strict=False,
    )


def settings_of(bucket: str) -> Settings:
    given = {"influxdb_url": URL, "influxdb_org": ORG, "influxdb_token": TOKEN, "influxdb_bucket": bucket}
    return Settings(_env_file=None, store_url="influxdb://", **given)  # type: ignore[call-arg]


def through_the_store(records: pl.DataFrame, bucket: str) -> float:
    """Seconds for commits of 250,000 lines, positions included."""
    store = InfluxDBStore(settings_of(bucket))
    source_id = derive_source_id("node", 1, 1, 0, bucket)
    store.register(Source(source_id, "node", 1, 1, 0, "/log", Checkpoint(0, 0, bucket, 0, "")))
    batches = []
    for begin in range(0, records.height, COMMIT_LINES):
        part = records.slice(begin, COMMIT_LINES)
        end = Checkpoint((begin + part.height) * 54, 0, bucket, 0, "")
        batches.append(Batch(source_id, "/log", begin * 54, end, ParsedLines(part, no_rejects(), 0)))
    began = time.perf_counter()
    for batch in batches:
        store.write([batch])
    seconds = time.perf_counter() - began
    store.close()
    return seconds


def plainly(bodies: list[bytes], bucket: str) -> float:
    """Seconds for posting what was prepared."""
    InfluxDBStore(settings_of(bucket)).close()  # makes the bucket
    headers = {"Authorization": f"Token {TOKEN}", "Content-Encoding": "gzip"}
    params = {"org": ORG, "bucket": bucket, "precision": "ns"}
    with httpx.Client(base_url=URL, headers=headers, params=params, timeout=60) as client:
        began = time.perf_counter()
        for body in bodies:
            client.post("/api/v2/write", content=body).raise_for_status()
        return time.perf_counter() - began


def prepared(records: pl.DataFrame) -> list[bytes]:
    placed, _ = point_keys(ParsedLines(records, no_rejects(), 0), "benchmark-0", 0, Progress())
    lines = record_lines(pl.concat([records, placed], how="horizontal"))
    return [
        gzip.compress(lines.slice(begin, LINES_A_REQUEST).str.join("\n").item().encode(), 1)
        for begin in range(0, len(lines), LINES_A_REQUEST)
    ]


def remove_buckets() -> None:
    with httpx.Client(base_url=URL, headers={"Authorization": f"Token {TOKEN}"}, timeout=60) as client:
        found = client.get("/api/v2/buckets", params={"org": ORG, "limit": 100}).json()["buckets"]
        for bucket in found:
            if bucket["name"].startswith(BUCKET):
                client.delete(f"/api/v2/buckets/{bucket['id']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not (URL and TOKEN and ORG):
        raise SystemExit(
            "INFLUXDB_TEST_URL, INFLUXDB_TEST_TOKEN and INFLUXDB_TEST_ORG say which server to ask"
        )
    configure_logging(load_settings(None, logging_level="ERROR"))
    records = lines_of_a_log(arguments.lines)
    bodies = prepared(records)
    stored, posted = [], []
    try:
        for turn in range(arguments.rounds):
            posted.append(arguments.lines / plainly(bodies, f"{BUCKET}-floor-{turn}"))
            stored.append(arguments.lines / through_the_store(records, f"{BUCKET}-store-{turn}"))
            print(f"round {turn + 1}: floor {posted[-1]:,.0f}, store {stored[-1]:,.0f} points/s", flush=True)
    finally:
        remove_buckets()
    floor, store = statistics.median(posted), statistics.median(stored)
    print(f"floor {floor:,.0f} points/s, store {store:,.0f} points/s: {store / floor:.2f} of the floor")


if __name__ == "__main__":
    main()
