"""Which logs are whose where several processes divide them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import load_settings
from tailmetrics.tailing.discovery import FoundFile, find_files
from tailmetrics.tailing.shares import Shares
from tests.tailing.following import append, copy_truncate, numbered

STARTED = datetime(2024, 11, 6, tzinfo=timezone.utc)


class Processes:
    """The shares of several processes over one folder."""

    def __init__(self, folder: Path, pattern: Path | str, count: int) -> None:
        self._database = folder / "logs.sqlite"
        self._log_paths = load_settings(None, log_file_path=str(pattern)).log_paths
        self._closing = ExitStack()
        self.shares = [self.new(frozenset({number}), count) for number in range(count)]

    def new(self, held: frozenset[int], count: int) -> Shares:
        shares = Shares(self._database, count, held, STARTED)
        self._closing.callback(shares.close)
        return shares

    def found(self) -> list[FoundFile]:
        return find_files(self._log_paths)[0]

    def whose(self) -> dict[str, int]:
        """The process of each file, by its name; each has one."""
        whose: dict[str, int] = {}
        for number, shares in enumerate(self.shares):
            for file in shares.own(self.found(), {})[0]:
                assert Path(file.path).name not in whose
                whose[Path(file.path).name] = number
        assert len(whose) == len(self.found())
        return whose

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self._database)) as connection:
            connection.execute(statement)

    def close(self) -> None:
        self._closing.close()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def two(logs: Path, tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path, logs / "*", 2)
    yield processes
    processes.close()


def write(logs: Path, *names: str) -> None:
    for name in names:
        append(logs / name, *numbered(0, 3), name)


def test_each_log_is_of_one_process_and_all_have_equally_many(logs: Path, two: Processes) -> None:
    write(logs, *(f"web-{number}.log" for number in range(8)))
    assert sorted(two.whose().values()) == [0] * 4 + [1] * 4


def test_large_logs_are_not_all_of_one_process(logs: Path, two: Processes) -> None:
    append(logs / "a.log", *numbered(0, 1000))
    append(logs / "c.log", *numbered(0, 1000))
    write(logs, "b.log", "d.log")
    whose = two.whose()
    assert whose["a.log"] != whose["c.log"]


@pytest.mark.parametrize(
    ("log", "rotated"),
    [
        ("x.log", ["x.log.1", "x.log.2.gz", "x.log-20241106", "x-2024-11-06.log", "x.1.log"]),
        ("access", ["access.1", "access.2.bz2", "access-20241106"]),
        ("web-1.log", ["web-1.log.1", "web-1-2024-11-06.log"]),
        ("day-2024-11-06.log", ["day-2024-11-06.log.1", "day-2024-11-06.log.gz"]),
    ],
)
def test_what_rotation_makes_of_a_log_is_of_its_process(
    logs: Path, two: Processes, log: str, rotated: list[str]
) -> None:
    write(logs, log)
    whose = two.whose()
    write(logs, "other.log", *(name for name in rotated if not name.endswith((".gz", ".bz2"))))
    log_path = load_settings(None, log_file_path=str(logs / log)).log_paths[0]
    for name in rotated:
        write(logs, name)
        status = (logs / name).stat()
        file = FoundFile(
            str(logs / name), log_path.log_format, status.st_dev, status.st_ino, 9, status.st_mtime_ns
        )
        assert [shares.owns(file) for shares in two.shares] == [whose[log] == 0, whose[log] == 1]


def test_rotated_files_are_together_before_their_log_is_there_and_with_it(logs: Path, two: Processes) -> None:
    write(logs, "x.log.1", "x.log.2", "x.log.3")
    before = two.whose()
    assert len(set(before.values())) == 1
    write(logs, "x.log")
    assert set(two.whose().values()) == set(before.values())


def test_a_log_under_a_new_name_stays_with_its_process(logs: Path, two: Processes) -> None:
    write(logs, "a.log", "b.log")
    whose = two.whose()
    write(logs, "c.log")  # so that the other one has fewer
    (logs / "b.log").rename(logs / "new")
    assert two.whose()["new"] == whose["b.log"]


def test_a_log_that_was_rotated_stays_with_its_process_under_a_new_name(logs: Path, two: Processes) -> None:
    write(logs, "a.log", "b.log")
    whose = two.whose()
    for log in ("a.log", "b.log"):
        (logs / log).rename(logs / f"{log}.1")
        write(logs, log)
        assert two.whose()[log] == whose[log]
        (logs / log).rename(logs / f"{log[0]} renamed")
        assert two.whose()[f"{log[0]} renamed"] == whose[log]


def test_a_rotated_file_stays_with_its_process_under_a_new_name(logs: Path, two: Processes) -> None:
    write(logs, "a.log", "b.log")
    whose = two.whose()
    for log in ("a.log", "b.log"):
        for _ in range(2):
            (logs / log).rename(logs / f"{log}.1")
            write(logs, log)
            two.whose()
        (logs / f"{log}.1").rename(logs / f"{log[0]} renamed")
        [file] = [file for file in two.found() if file.path.endswith(f"{log[0]} renamed")]
        assert [shares.owns(file) for shares in two.shares] == [whose[log] == 0, whose[log] == 1]


def test_a_file_that_was_given_the_inode_of_another_log_is_of_the_process_that_its_name_tells(
    logs: Path, two: Processes
) -> None:
    write(logs, "a.log", "b.log")
    whose = two.whose()
    (logs / "b.log").rename(logs / "b.log.1")
    (logs / "a.log").rename(logs / "b.log")
    write(logs, "a.log")
    assert {name: process for name, process in two.whose().items() if name in whose} == whose


def test_who_takes_over_a_share_has_the_logs_that_it_had(logs: Path, two: Processes) -> None:
    write(logs, *(f"{number}.log" for number in range(5)))
    whose = two.whose()
    both = two.new(frozenset({0, 1}), 2)
    assert len(both.own(two.found(), {})[0]) == 5
    taken = two.new(frozenset({1}), 2)
    assert {Path(file.path).name for file in taken.own(two.found(), {})[0]} == {
        name for name, process in whose.items() if process == 1
    }


def test_what_a_file_held_at_the_start_is_told_and_what_came_later_begins_at_0(
    logs: Path, two: Processes
) -> None:
    write(logs, "a.log", "b.log")
    size = (logs / "a.log").stat().st_size
    two.whose()
    append(logs / "a.log", *numbered(3, 9))
    write(logs, "later.log")
    (logs / "b.log").rename(logs / "b.log.1")
    write(logs, "b.log")
    whose = two.whose()
    sizes = {
        name: two.shares[whose[name]].size_at_start(file)
        for file in two.found()
        if (name := Path(file.path).name) != "b.log.1"
    }
    assert sizes == {"a.log": size, "b.log": 0, "later.log": 0}


def test_an_entry_without_files_is_told_of_by_one_process(two: Processes) -> None:
    missing = {f"/none/{number}.log": "no file" for number in range(9)}
    told = [shares.own([], dict(missing))[1] for shares in two.shares]
    assert sorted([*told[0], *told[1]]) == sorted(missing)
    assert all(told)


def test_while_nothing_can_be_written_what_is_decided_is_followed_and_what_is_new_is_told_of_by_one(
    logs: Path, two: Processes
) -> None:
    write(logs, *(f"{number}.log" for number in range(4)))
    whose = two.whose()
    full = "BEFORE INSERT ON logs BEGIN SELECT RAISE(ROLLBACK, 'disk is full'); END"
    two.execute(f"CREATE TRIGGER full {full}")
    write(logs, "new.log", "0.log.1")
    restarted = [two.new(frozenset({number}), 2) for number in range(2)]
    for processes in (two.shares, restarted):
        told = [shares.own(two.found(), {}) for shares in processes]
        assert [{Path(file.path).name for file in found} for found, _ in told] == [
            {name for name, process in whose.items() if process == number} for number in range(2)
        ]
        undecided = told[0][1] | told[1][1]
        assert undecided.keys() == {str(logs / "new.log"), str(logs / "0.log.1")}
        assert all("disk is full" in reason for reason in undecided.values())
        assert not told[0][1].keys() & told[1][1].keys()
    two.execute("DROP TRIGGER full")
    assert two.whose().items() > whose.items()


def test_a_list_that_cannot_be_made_is_a_store_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        Shares(tmp_path / "none" / "logs.sqlite", 2, frozenset({0}), STARTED)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_to_files_each_has_one_process_and_a_log_keeps_its_own(
    logs: Path, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    processes = Processes(tmp_path, logs / "*", 3)
    log_names = [f"{letter}.log" for letter in "abcdef"]
    first: dict[str, int] = {}
    for _ in range(60):
        name = dice.choice(log_names)
        path, rotated = logs / name, logs / f"{name}.{dice.randrange(1, 4)}"
        match dice.randrange(4):
            case 0:
                write(logs, name)
            case 1 if path.exists():
                path.rename(rotated)
            case 2 if path.exists():
                copy_truncate(path, rotated)
            case 3 if path.exists():
                path.unlink()
        # In any order, each process may be the first to see what happened.
        dice.shuffle(processes.shares)
        for shares in processes.shares:
            shares.own(processes.found(), {})
        now = processes.new(frozenset(range(3)), 3)
        now.own(processes.found(), {})
        for file in processes.found():
            log = Path(file.path).name[:5]
            assert first.setdefault(log, now.share_of(file.path)) == now.share_of(file.path)
        processes.whose()
    processes.close()
