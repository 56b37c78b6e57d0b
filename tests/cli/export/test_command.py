"""What the command export takes, and where it writes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest

from tailmetrics.records import STORED_SCHEMA
from tests.cli.running import Run
from tests.integration.running import Service

FORMATS = ("parquet", "csv", "jsonl", "arrow")


def read(path: Path) -> pl.DataFrame:
    match path.suffix:
        case ".parquet":
            return pl.read_parquet(path)
        case ".arrow":
            return pl.read_ipc_stream(path)
        case ".csv":
            frame = pl.read_csv(path, schema_overrides={"timestamp": pl.String()})
        case _:
            frame = pl.read_ndjson(path)
    times = pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC")
    return frame.with_columns(times).cast({"status_code": pl.Int16()})


@pytest.fixture
def parquet(run: Run, stored: str, tmp_path: Path) -> pl.DataFrame:
    result = run("export", "records", tmp_path / "all.parquet", "--store-url", stored)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/all.parquet: 10,000 records\n")
    return read(tmp_path / "all.parquet")


def test_a_file_has_all_records_in_order(parquet: pl.DataFrame) -> None:
    assert dict(parquet.schema) == STORED_SCHEMA
    assert parquet.height == 10_000
    assert parquet.equals(parquet.sort("timestamp", "source", "offset"))


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_holds_the_same(
    run: Run, stored: str, tmp_path: Path, parquet: pl.DataFrame, form: str
) -> None:
    target = tmp_path / f"again.{form}"
    assert run("export", "records", target, "--store-url", stored).exit_code == 0
    assert read(target).equals(parquet)


def test_a_running_service_gives_what_the_store_has(
    run: Run, service: Service, tmp_path: Path, parquet: pl.DataFrame
) -> None:
    target = tmp_path / "served.parquet"
    result = run("export", "records", target, "--port", service.port)
    assert result.exit_code == 0, result.stderr
    assert read(target).drop("source").equals(parquet.drop("source"))


def test_a_customer_and_a_range_alone(run: Run, stored: str, tmp_path: Path, parquet: pl.DataFrame) -> None:
    asked = ("--customer", "cust_1", "--from", "2024-09-03", "--to", "2024-09-05", "--store-url", stored)
    assert run("export", "records", tmp_path / "some.csv", *asked).exit_code == 0
    found = read(tmp_path / "some.csv")
    within = pl.col("timestamp").dt.date().is_between(pl.date(2024, 9, 3), pl.date(2024, 9, 4))
    assert found.height > 0
    assert found.equals(parquet.filter(within, pl.col("customer_id") == "cust_1"))


def test_requests_that_a_filter_selects_alone(
    run: Run, service: Service, stored: str, tmp_path: Path, parquet: pl.DataFrame
) -> None:
    wanted = parquet.filter(pl.col("path").str.ends_with("2"), pl.col("status_code") >= 500)
    for where in (("--store-url", stored), ("--port", service.port)):
        target = tmp_path / f"{where[0]}.parquet"
        assert run("export", "records", target, "--path", "*2", "--status", "5xx", *where).exit_code == 0
        assert read(target).drop("source").equals(wanted.drop("source"))
    days = run("export", "records", tmp_path / "days", "--status", "5xx", "--store-url", stored)
    assert days.stdout.endswith(f"{parquet.filter(pl.col('status_code') >= 500).height:,} records\n")
    again = run("export", "records", tmp_path / "days", "--store-url", stored)
    assert (again.exit_code, "filter: found 'all', expected" in again.stderr) == (2, True)


def test_standard_output_has_nothing_else_on_it(run: Run, stored: str) -> None:
    result = run("export", "records", "-", "--format", "jsonl", "--store-url", stored)
    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 10_000
    as_csv = run("export", "records", "-", "--store-url", stored).stdout
    assert [*next(csv.reader(io.StringIO(as_csv)))] == list(STORED_SCHEMA)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("records", "-", "--format", "parquet"), (2, "expected csv, jsonl or arrow")),
        (("records", "x.csv", "--every", "1d"), (2, "--every is for stats")),
        (("records", "x.csv", "--failures", "5xx"), (2, "--failures is for stats")),
        (("records", "x.csv", "--from", "noon"), (2, "from: found 'noon'")),
        (("records", "x.csv", "--customer", "nobody"), (1, "nobody")),
        (("records", "/proc/none/x.csv"), (74, "/proc/none/x.csv cannot be written")),
        (("records", "/proc/none"), (74, "/proc/none cannot be written")),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_no_file(
    run: Run, stored: str, tmp_path: Path, arguments: tuple[str, ...], expected: tuple[int, str]
) -> None:
    result = run("export", *arguments, "--store-url", stored)
    status, said = expected
    assert (result.exit_code, said in result.stderr) == (status, True), result.stderr
    assert list(tmp_path.glob("*.csv")) == []


def test_without_a_store_it_says_so(run: Run, tmp_path: Path) -> None:
    result = run("export", "records", tmp_path / "x.csv", "--store-url", f"duckdb:///{tmp_path}/none.duckdb")
    assert (result.exit_code, list(tmp_path.glob(".x*"))) == (69, [])
