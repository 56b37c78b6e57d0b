"""Which positions are forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tailmetrics.sources import Checkpoint, Source
from tailmetrics.tailing import forgettable

NOW = datetime(2024, 11, 6, tzinfo=timezone.utc)


def sources(folder: Path, count: int) -> list[Source]:
    """Sources 0 to `count` - 1, the first one committed to the longest ago."""
    one = Source("0", "node", 1, 1, 0, "", Checkpoint(5, 5, "head", 5, "tail"))
    return [
        replace(one, source_id=str(n), path=str(folder / f"{n}.log"), committed_at=NOW + timedelta(days=n))
        for n in range(count)
    ]


def test_nothing_is_forgotten_up_to_the_limit(tmp_path):
    assert forgettable(sources(tmp_path, 3), 3) == []


def test_the_oldest_beyond_the_limit_are_forgotten(tmp_path):
    assert forgettable(sources(tmp_path, 5), 3) == ["0", "1"]


def test_a_source_whose_file_is_there_is_remembered(tmp_path):
    (tmp_path / "0.log").touch()
    assert forgettable(sources(tmp_path, 5), 3) == ["1"]


def test_a_source_whose_rotated_file_is_there_is_remembered(tmp_path):
    (tmp_path / "1.log.2.gz").touch()
    assert forgettable(sources(tmp_path, 5), 3) == ["0"]
