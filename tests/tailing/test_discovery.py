"""Which files LOG_FILE_PATH names."""

from __future__ import annotations

import os
from pathlib import Path

from tailmetrics.tailing.discovery import RotatedFiles, find_files
from tailmetrics.tailing.rotation import LogNames
from tests.builders import log_path

NO_UTF8 = os.fsdecode(b"x\xff.log")


def test_a_name_that_is_not_utf8_is_told_and_leaves_the_others_alone(tmp_path: Path) -> None:
    for name in ("a.log", NO_UTF8):
        (tmp_path / name).write_bytes(b"line\n")
    found, missing = find_files([log_path(f"{tmp_path}/*.log")])
    assert ([file.path for file in found], missing) == (
        [f"{tmp_path}/a.log"],
        {f"{tmp_path}/x\\udcff.log": "its name is not UTF-8, rename it"},
    )


def test_a_rotated_name_that_is_not_utf8_is_left_alone(tmp_path: Path) -> None:
    for name in ("a.log.1", f"{NO_UTF8}.1"):
        (tmp_path / name).write_bytes(b"line\n")
    assert RotatedFiles(LogNames([log_path(f"{tmp_path}/*.log")])).find() == [f"{tmp_path}/a.log.1"]
