"""Whose logs lie on this disk."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from tailmetrics.sources import Source
from tailmetrics.tailing import nodes_here
from tailmetrics.tailing.identity import new_source, start_at
from tailmetrics.tailing.log_file import open_log
from tests.tailing.following import append, numbered


def read_by(node_id: str, path: Path) -> Source:
    """The source of a file that a node has read to its end."""
    with contextlib.closing(open_log(str(path))) as file:
        return start_at(file.size(), new_source(file, str(path), node_id, ()), file)


@pytest.fixture
def source(log: Path) -> Source:
    append(log, *numbered(0, 50))
    return read_by("one", log)


def test_a_node_whose_log_is_there_has_read_here(log: Path, source: Source) -> None:
    append(log, *numbered(50, 60))
    assert nodes_here([source, replace(source, node_id="two")]) == {"one", "two"}


def test_so_has_one_whose_log_has_another_name_by_now(log: Path, source: Source) -> None:
    log.rename(log.with_name("put away"))
    append(log, "new")
    assert nodes_here([source]) == {"one"}


def test_other_bytes_in_the_same_inode_are_of_another_machine(log: Path, source: Source) -> None:
    log.write_text("\n".join(numbered(100, 170)))
    assert nodes_here([source]) == set()


def test_equal_bytes_in_another_inode_are_of_another_machine(source: Source) -> None:
    assert nodes_here([replace(source, inode=source.inode + 1)]) == set()


def test_a_log_of_which_nothing_was_read_tells_nothing(log: Path, source: Source) -> None:
    with contextlib.closing(open_log(str(log))) as file:
        assert nodes_here([start_at(0, source, file)]) == set()


def test_a_folder_that_is_not_here_tells_nothing(source: Source) -> None:
    assert nodes_here([replace(source, path="/no/such/folder/x.log")]) == set()


@pytest.mark.parametrize(("lines", "expected"), [(50, {"one"}), (3, set())])
def test_under_another_device_number_a_kib_tells(tmp_path: Path, lines: int, expected: set[str]) -> None:
    append(tmp_path / "y.log", *numbered(0, lines))
    source = read_by("one", tmp_path / "y.log")
    assert nodes_here([replace(source, device=source.device + 1)]) == expected
