"""Which file is which: deleted, made again, alike, tiny, linked, many."""

from __future__ import annotations

import os

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.sources import Batch
from tests.faults.living import Living
from tests.faults.stores import Passing
from tests.tailing.following import append, numbered

HEADER = "# a header that all logs share " + "x" * 1024


class HeldUp(Living):
    """The store is away until `let_go` is called, so that bytes stay unread; little is read ahead."""

    held_up = True

    def wrap(self, store):
        return Passing(store, self._refuse)

    def _refuse(self, batches: list[Batch]) -> None:
        if self.held_up and any(not batch.path.endswith(".marker") for batch in batches):
            raise StoreUnavailable("held up by the test", retry_after_seconds=0.01)

    def let_go(self) -> None:
        self.held_up = False


@pytest.fixture
def held_up(follow, log):
    """Follows a log of 5,000 lines of which most are not read yet."""
    append(log, *numbered(0, 5_000))
    living = follow(log, kind=HeldUp, chunk_bytes=4096, max_line_bytes=1024, stream_max_size=200)
    living.await_size(log)
    return living


def test_case_06_deleted_with_unread_data_while_held_open(held_up, log):
    log.unlink()
    held_up.let_go()
    held_up.must_have(range(5_000))


def test_case_06_deleted_with_unread_data_and_created_again(held_up, log):
    log.unlink()
    append(log, *numbered(30_000, 31_000))
    held_up.let_go()
    held_up.must_have([*range(5_000), *range(30_000, 31_000)])


@pytest.mark.parametrize("stopped", [False, True], ids=["while running", "while stopped"])
def test_case_06_deleted_and_created_again_under_the_same_name(follow, log, stopped):
    living = follow(log)
    for turn in range(5):
        append(log, *numbered(turn * 100, turn * 100 + 100))
        living.await_count(turn * 100 + 100)
        if stopped:
            living.stop()
        log.unlink()
        if stopped:
            living.start()
    living.must_have(range(500))


@pytest.mark.parametrize("stopped", [False, True], ids=["while running", "while stopped"])
@pytest.mark.parametrize("count", [30, 100, 300], ids=["shorter", "same size", "larger"])
def test_case_07_the_inode_is_used_again_by_another_file(follow, log, stopped, count):
    living = follow(log)
    append(log, *numbered(1000, 1100))
    living.await_count(100)
    if stopped:
        living.stop()
    inode = log.stat().st_ino
    elsewhere = log.with_name("elsewhere")
    os.link(log, elsewhere)
    log.unlink()
    elsewhere.write_text("\n".join(numbered(2000, 2000 + count)) + "\n")
    elsewhere.rename(log)
    assert log.stat().st_ino == inode
    living.must_have([*range(1000, 1100), *range(2000, 2000 + count)])


@pytest.mark.parametrize("names", [("x.log", "y.log"), ("x.log", "x-2.log")], ids=["unlike", "like rotated"])
def test_case_08_two_files_with_the_same_first_kilobyte(follow, logs, names):
    living = follow(f"{logs}/*.log")
    first, second = (logs / name for name in names)
    append(first, HEADER, *numbered(0, 100))
    living.await_count(101)
    append(second, HEADER)
    living.await_look()
    append(second, *numbered(100, 200))
    living.await_count(201)
    living.restart()
    append(first, *numbered(200, 300))
    append(second, *numbered(300, 400))
    rows, rejects = living.content(402)
    assert (sorted(row.number for row in rows), len(rejects)) == (list(range(400)), 2)


def test_case_08_a_rotated_file_and_its_successor_share_the_first_kilobyte(follow, log):
    living = follow(log)
    append(log, HEADER, *numbered(0, 100))
    living.await_count(101)
    for turn in range(1, 4):
        log.rename(log.with_name(f"x.log.{turn}"))
        append(log, HEADER, *numbered(turn * 100, turn * 100 + 100))
        living.await_count(101 * (turn + 1))
    rows, rejects = living.content(404)
    assert (sorted(row.number for row in rows), len(rejects)) == (list(range(400)), 4)


def test_case_08_files_that_are_copied_and_truncated_share_the_first_kilobyte(follow, log):
    living = follow(log)
    for turn in range(4):
        append(log, HEADER, *numbered(turn * 100, turn * 100 + 100))
        living.await_count(101 * (turn + 1))
        log.with_name(f"x.log.{turn}").write_bytes(log.read_bytes())
        os.truncate(log, 0)
        living.await_look()
    rows, rejects = living.content(404)
    assert (sorted(row.number for row in rows), len(rejects)) == (list(range(400)), 4)


def test_case_09_a_file_smaller_than_a_fingerprint_grows_line_by_line(follow, log):
    living = follow(log)
    for number in range(40):
        append(log, *numbered(number, number + 1))
        living.await_count(number + 1)
        if number % 10 == 0:
            living.restart()
    living.must_have(range(40))


def test_case_09_many_small_files_that_are_rotated(follow, log):
    living = follow(log)
    for number in range(10):
        append(log, *numbered(number, number + 1))
        living.await_count(number + 1)
        log.rename(log.with_name(f"x.log.{number}"))
    living.must_have(range(10))


def test_case_09_an_empty_file(follow, log):
    log.touch()
    living = follow(log)
    living.await_look()
    living.restart()
    append(log, *numbered(0, 1))
    living.must_have(range(1))


def test_case_09_a_file_that_stays_one_byte_short_of_a_newline(follow, log):
    append(log, *numbered(0, 1), end=b"")
    living = follow(log)
    living.await_look(2)
    living.restart()
    living.await_look()
    assert living.count() == 0
    append(log, "")
    living.must_have(range(1))


def test_case_14_a_symbolic_link_swapped_thirty_times(follow, log, tmp_path):
    living = follow(log)
    for turn in range(30):
        target = tmp_path / f"target-{turn}.txt"
        append(target, *numbered(turn * 10, turn * 10 + 10))
        link = tmp_path / "link"
        link.symlink_to(target)
        link.rename(log)
        living.await_count(turn * 10 + 10)
    living.must_have(range(300))


def test_case_14_lines_written_just_before_the_swap(follow, log, tmp_path):
    living = follow(log)
    targets = [tmp_path / f"target-{turn}.txt" for turn in range(30)]
    for turn, target in enumerate(targets):
        append(target, *numbered(turn * 10, turn * 10 + 5))
        link = tmp_path / "link"
        link.symlink_to(target)
        link.rename(log)
        living.await_count(turn * 10 + 5)
        append(target, *numbered(turn * 10 + 5, turn * 10 + 10))
        living.await_count(turn * 10 + 10)
    living.must_have(range(300))


def test_case_15_files_in_a_directory_that_did_not_exist_at_start(follow, logs):
    living = follow(f"{logs}/later/deeper/*.log")
    living.await_look()
    (logs / "later" / "deeper").mkdir(parents=True)
    for number in range(3):
        append(logs / "later" / "deeper" / f"{number}.log", *numbered(number * 10, number * 10 + 10))
    living.must_have(range(30))


@pytest.mark.timeout(300)
def test_case_15_a_thousand_files_at_once(follow, logs):
    living = follow(f"{logs}/*.log")
    for number in range(1000):
        append(logs / f"{number}.log", *numbered(number * 3, number * 3 + 3))
    living.await_count(3000, 250)
    living.must_have(range(3000))


def test_case_15_more_files_than_may_be_open_at_a_time(follow, logs):
    living = follow(f"{logs}/*.log", max_open_files=10)
    for turn in range(3):
        for number in range(100):
            first = turn * 300 + number * 3
            append(logs / f"{number}.log", *numbered(first, first + 3))
        living.await_count(turn * 300 + 300)
    living.must_have(range(900))
