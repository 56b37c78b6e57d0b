"""The figures that are exported are those of /stats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tailmetrics.cli.export import stats
from tests.cli.running import Run, as_json


def expected(run: Run, stored: str, customer: str, *options: str) -> list[dict[str, Any]]:
    """A row for each window that the command stats gives of a customer."""
    found = as_json(run("stats", customer, "--json", "--store-url", stored, *options))
    return [{"customer_id": customer, **window} for window in found["windows"]]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_figures_are_those_of_stats(
    run: Run, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(stats, "_CUSTOMERS_A_PAGE", "7")
    monkeypatch.setattr(stats, "_ROWS_A_FRAME", 10)
    options = ("--from", "2024-09-05", "--tz", "America/New_York", "--every", "7d", "--failures", "5xx")
    target = tmp_path / f"stats.{form}"
    assert run("export", "stats", target, "--store-url", stored, *options).exit_code == 0
    read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson}[form]
    found = read(target, schema_overrides=stats.WINDOW_COLUMNS)
    asked = ("customers", "--json", "--store-url", stored, "--from", "2024-09-05")
    listed = [customer["customer_id"] for customer in as_json(run(*asked))["customers"]]
    assert len(listed) > 10
    assert found["customer_id"].unique(maintain_order=True).to_list() == listed
    for customer in (listed[0], listed[9], listed[-1]):
        assert found.filter(customer_id=customer).to_dicts() == expected(run, stored, customer, *options)


def test_parquet_has_times_in_utc_and_a_folder_gets_a_file(run: Run, stored: str, tmp_path: Path) -> None:
    asked = ("--customer", "cust_1", "--tz", "Asia/Tokyo", "--store-url", stored)
    assert run("export", "stats", tmp_path / "out", *asked).exit_code == 0
    frame = pl.read_parquet(tmp_path / "out" / "stats.parquet")
    assert (frame["start"].dtype, frame["customer_id"].unique().to_list()) == (
        pl.Datetime("us", "UTC"),
        ["cust_1"],
    )
    shown = as_json(run("stats", "cust_1", "--json", "--tz", "Asia/Tokyo", "--store-url", stored))["windows"]
    starts = frame["start"].dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%dT%H:%M:%S+09:00")
    assert starts.to_list() == [window["start"] for window in shown]
    assert frame["p99_latency"].to_list() == [window["p99_latency"] for window in shown]
