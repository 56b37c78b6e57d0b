"""A folder of days: what is written, what is left, and that an interruption changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tailmetrics.cli.export.records import MANIFEST, Manifest
from tests.cli.running import LOG, Run


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def export(run: Run, url: str, folder: Path, *options: str) -> str:
    result = run("export", "records", folder, "--store-url", url, *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture
def own_store(run: Run, tmp_path: Path) -> str:
    """A store of the test's own, with the 10,000 lines."""
    url = f"duckdb:///{tmp_path}/own/store.duckdb"
    assert run("load", LOG, "--store-url", url).exit_code == 0
    return url


@pytest.mark.parametrize("tz", ["UTC", "America/New_York"])
def test_each_day_of_the_zone_is_a_file_and_together_they_hold_all(
    run: Run, stored: str, tmp_path: Path, tz: str
) -> None:
    folder = tmp_path / "days"
    export(run, stored, folder, "--tz", tz)
    frames = []
    for file in sorted(folder.rglob("*.parquet")):
        frame = pl.read_parquet(file, hive_partitioning=False)
        dates = frame["timestamp"].dt.convert_time_zone(tz).dt.strftime("%Y-%m-%d").unique().to_list()
        assert [f"day={date}" for date in dates] == [file.parent.name]
        frames.append(frame)
    export(run, stored, tmp_path / "all.parquet")
    assert pl.concat(frames).equals(pl.read_parquet(tmp_path / "all.parquet"))


def test_days_without_anything_new_are_left_as_they_are(run: Run, own_store: str, tmp_path: Path) -> None:
    folder = tmp_path / "days"
    assert export(run, own_store, folder) == f"{folder}: 30 days written, 0 unchanged; 10,000 records\n"
    before = files_in(folder)
    assert export(run, own_store, folder) == f"{folder}: 0 days written, 30 unchanged; 0 records\n"
    assert files_in(folder) == before

    late = tmp_path / "late.log"
    late.write_text("2024-09-03 12:00:00 late /late 200 0.5\n2024-12-24 12:00:00 late /new 200 0.5\n")
    assert run("load", late, "--store-url", own_store).exit_code == 0
    assert " 2 days written, 29 unchanged" in export(run, own_store, folder)
    after = files_in(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {MANIFEST, "day=2024-09-03/part-0.parquet", "day=2024-12-24/part-0.parquet"}
    assert "late" in pl.read_parquet(folder / "day=2024-09-03" / "part-0.parquet")["customer_id"]


def test_a_file_that_was_removed_is_written_again(run: Run, stored: str, tmp_path: Path) -> None:
    export(run, stored, tmp_path / "days")
    before = files_in(tmp_path / "days")
    (tmp_path / "days" / "day=2024-09-10" / "part-0.parquet").unlink()
    assert " 1 day written, 29 unchanged" in export(run, stored, tmp_path / "days")
    assert files_in(tmp_path / "days") == before


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_export_that_was_killed_goes_on_to_the_same_files(
    run: Run, stored: str, tmp_path: Path, form: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    export(run, stored, whole, "--format", form)
    command = [sys.executable, "-m", "tailmetrics", "export", "records", str(cut), "--format", form]
    for days in (1, 5, 9):
        with subprocess.Popen([*command, "--store-url", stored], env={**os.environ}) as process:
            while process.poll() is None and len(list(cut.glob("day=*"))) < days:
                pass
            process.send_signal(signal.SIGKILL)
    assert len(list(cut.glob("day=*"))) < 30
    export(run, stored, cut, "--format", form)
    assert files_in(cut) == files_in(whole)


def test_a_folder_that_was_begun_with_another_question_is_refused(
    run: Run, stored: str, tmp_path: Path
) -> None:
    export(run, stored, tmp_path / "days")
    for options in (("--customer", "cust_1"), ("--tz", "Asia/Tokyo"), ("--format", "csv")):
        result = run("export", "records", tmp_path / "days", "--store-url", stored, *options)
        assert result.exit_code == 2
        assert f"as {tmp_path}/days was begun with that; or another folder" in result.stderr


def test_a_manifest_that_is_none_is_refused(run: Run, stored: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    result = run("export", "records", tmp_path, "--store-url", stored)
    assert (result.exit_code, MANIFEST in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("requests", "median", "is_written"),
    [(3, 0.5, True), (3, 0.6, False), (4, 0.5, False), (2, 0.4, True)],
    ids=["the same", "other ones", "late ones", "some were deleted"],
)
def test_a_day_is_written_again_when_it_has_something_new(
    requests: int, median: float, is_written: bool
) -> None:
    figures = {"total_requests": 3, "failed_requests": 1, "median_latency": 0.5, "p99_latency": 0.9}
    manifest = Manifest(None, "UTC", "parquet", {"2024-10-10": json.loads(json.dumps(figures))})
    now = {**figures, "total_requests": requests, "median_latency": median}
    assert manifest.is_written("2024-10-10", now) is is_written
    assert not manifest.is_written("2024-10-11", now)
