"""Loading finished logs by this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailmetrics.ingest.load import load_files, load_jobs, total_progress, with_name
from tailmetrics.status import LoadProgress
from tests.builders import settings_of

DONE = LoadProgress("done", bytes_total=10, bytes_done=10, lines=2, records=1, rejects=1)


def test_a_sum_adds_every_figure() -> None:
    loaded = LoadProgress("done", bytes_total=5, bytes_done=5, blanks=3, already_loaded=True)
    assert total_progress([DONE, loaded]) == LoadProgress(
        "done", bytes_total=15, bytes_done=15, lines=2, records=1, rejects=1, blanks=3
    )


@pytest.mark.parametrize(
    ("states", "sum_state"),
    [
        (("done", "done"), "done"),
        (("done", "running"), "running"),
        (("failed", "running"), "running"),
        (("failed", "done"), "failed"),
    ],
)
def test_a_sum_ends_when_each_of_its_loads_has(states: tuple[str, str], sum_state: str) -> None:
    loads = [LoadProgress(state) for state in states]  # type: ignore[arg-type]
    assert total_progress(loads).state == sum_state


def test_a_sum_is_loaded_already_when_all_of_it_is_and_names_every_error() -> None:
    loaded = LoadProgress("done", already_loaded=True)
    failures = [LoadProgress("failed", error="no room"), LoadProgress("failed", error="gone")]
    assert total_progress([loaded, loaded]).already_loaded
    assert total_progress([loaded, *failures]).error == "no room; gone"


def test_files_are_summed_and_one_that_vanishes_fails_alone(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("2024-10-01 00:00:00 c / 200 1\nno request\n\n")
    settings = settings_of(tmp_path / "store.duckdb")
    total = load_files(settings, [log, tmp_path / "missing.log"], lambda _: None)
    assert (total.state, total.lines, total.records, total.rejects, total.blanks) == ("failed", 3, 1, 1, 1)
    assert "missing.log" in str(total.error)


def test_a_file_of_no_known_format_is_named_where_several_are_loaded(tmp_path: Path) -> None:
    garbage, damaged = tmp_path / "garbage.log", tmp_path / "x.log.gz"
    garbage.write_text("hello world\n")
    damaged.write_bytes(b"\x1f\x8b")
    settings = settings_of(tmp_path / "store.duckdb", log_format="auto")
    first, second = str(load_files(settings, [garbage, damaged], lambda _: None).error).split("; /")
    assert first.startswith(f"{garbage}: format: found 'hello world'")
    assert second.startswith(f"{damaged}: not a whole gzip file"[1:])


@pytest.mark.parametrize(
    ("file", "error", "expected"),
    [
        ("a.log", "no room", "a.log: no room"),
        ("a.log", "/x/a.log: no room", "/x/a.log: no room"),
        ("-", "no-room", "-: no-room"),
        ("-", "stdin: found a zip archive", "stdin: found a zip archive"),
    ],
)
def test_a_file_is_named_once(file: str, error: str, expected: str) -> None:
    assert with_name(error, Path(file)) == expected


def test_a_log_of_blank_lines_is_loaded_like_an_empty_one(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n \n")
    loaded = load_files(settings_of(tmp_path / "store.duckdb", log_format="auto"), [log], lambda _: None)
    assert (loaded.state, loaded.blanks) == ("done", 2)


def test_each_file_has_a_job_of_its_own(tmp_path: Path) -> None:
    logs = [tmp_path / name for name in ("a.log", "b.log")]
    for log in logs:
        log.write_text(f"2024-10-01 00:00:00 {log.stem} / 200 1\n")
    with load_jobs(settings_of(tmp_path / "store.duckdb"), logs) as jobs:
        assert all(job.wait(30) for job in jobs)
        assert [job.progress().records for job in jobs] == [1, 1]
