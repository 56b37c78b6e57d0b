"""Bytes of compressed logs."""

from __future__ import annotations

import contextlib
import gzip
import os
from pathlib import Path

import pytest

from tailmetrics.errors import LoadError
from tailmetrics.tailing.log_file import may_hold_more, open_log
from tests.tailing.following import (
    as_bytes,
    numbered,
)


def test_load_reads_a_compressed_file_whole(tmp_path, log, follow):
    following = follow(log)
    path = tmp_path / "old.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\nunfinished"))
    following.load(path)
    assert following.lines == [b"one", b"two", b"unfinished"]


def test_load_of_a_damaged_compressed_file_fails_with_a_reason(tmp_path, log, follow):
    path = tmp_path / "old.gz"
    path.write_bytes(gzip.compress(os.urandom(10_000))[:-500])
    assert "not a whole gzip file" in (follow(log).load(path).progress().error or "")


def test_a_gzip_is_loaded_as_one_under_any_name(tmp_path, follow):
    log = tmp_path / "finished.log"
    log.write_bytes(gzip.compress("\n".join(numbered(0, 10)).encode()))
    following = follow(tmp_path / "none.log")
    following.load(log)
    assert following.lines == as_bytes(numbered(0, 10))


def test_a_named_pipe_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.log")
    with pytest.raises(LoadError, match="no regular file"):
        open_log(str(tmp_path / "x.log"))


def test_a_compressed_log_is_read_forward_and_back(tmp_path: Path) -> None:
    (tmp_path / "x.log.gz").write_bytes(gzip.compress(b"0123456789"))
    with contextlib.closing(open_log(str(tmp_path / "x.log.gz"))) as opened:
        assert (opened.size(), opened.read(7, 9), opened.read(2, 3)) == (10, b"789", b"234")


@pytest.mark.parametrize(
    ("name", "position", "expected"),
    [("x.log", 10, True), ("x.log.gz", 10, False), ("x.log.gz", 9, True)],
)
def test_whether_a_log_may_hold_more_is_told_by_the_end_of_a_gzip(
    tmp_path: Path, name: str, position: int, expected: bool
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"0123456789"))
    assert may_hold_more(str(tmp_path / name), [position]) == expected
