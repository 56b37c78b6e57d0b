"""Which positions are forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tailmetrics import tailing
from tailmetrics.sources import Checkpoint, Source
from tests.builders import log_path

NOW = datetime(2024, 11, 6, tzinfo=timezone.utc)


def sources(folder: Path, count: int) -> list[Source]:
    """Sources 0 to `count` - 1, the first one committed to the longest ago."""
    one = Source("0", "node", 1, 1, 0, "", Checkpoint(5, 5, "head", 5, "tail"))
    return [
        replace(one, source_id=str(n), path=str(folder / f"{n}.log"), committed_at=NOW + timedelta(days=n))
        for n in range(count)
    ]


def forgettable(known: list[Source], remembered: int) -> list[str]:
    """What is forgotten when the folders of the sources are followed, whatever the names in them."""
    folders = {Path(source.path).parent for source in known}
    return tailing.forgettable(
        known,
        remembered,
        [log_path(f"{folder}/*") for folder in folders],
    )


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


def renamed(known: list[Source], *names: str) -> list[Source]:
    return [
        replace(source, path=str(Path(source.path).with_name(name)))
        for source, name in zip(known, names, strict=True)
    ]


def test_a_log_of_a_day_whose_file_is_gone_is_forgotten_while_that_of_another_day_is_there(tmp_path):
    known = renamed(sources(tmp_path, 2), "access-2024-10-10.log", "access-2024-10-11.log")
    (tmp_path / "access-2024-10-11.log").touch()
    assert forgettable(known, 0) == ["0"]


def test_a_source_of_the_same_inode_is_remembered_under_any_name(tmp_path):
    (tmp_path / "anything").touch()
    inode = (tmp_path / "anything").stat().st_ino
    known = [replace(source, inode=inode + number) for number, source in enumerate(sources(tmp_path, 2))]
    assert forgettable(known, 0) == ["1"]
