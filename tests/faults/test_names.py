"""Logs whose own names end in what rotation puts behind a name, too."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests import servers
from tests.compressing import COMPRESS, each_suffix
from tests.faults.living import Living
from tests.integration.running import Service
from tests.tailing.following import append, copy_truncate, numbered

NAMES = (
    "web-1.log",
    "web-2.log",
    "app.2.log",
    "access-2024-10-10.log",
    "h2_2.log",
    "node-10.access.log.3",
    "job-7",
)
UNFINISHED = 105_000  # of the customer that it begins with
PATTERNS = {
    "exact": NAMES,
    "globs of logs": ("*.log", "node-*.log.3", "job-?"),
    "a glob of all": ("*",),
}
SCHEMES = {
    "number": lambda log, turn: f"{log.name}.{turn}",
    "date": lambda log, turn: f"{log.name}-2024-10-{turn + 10}",
    "date before the suffix": lambda log, turn: (
        f"{log.stem}-202410{turn + 10}{log.suffix}" if log.suffix == ".log" else f"{log.name}.{turn}"
    ),
}

each_scheme = pytest.mark.parametrize("scheme", sorted(SCHEMES))
each_way = pytest.mark.parametrize(
    "rotate", [Path.rename, copy_truncate], ids=["rename and create", "copy and truncate"]
)


class Logs:
    """Logs in one folder, of which each is written lines with numbers of its own."""

    def __init__(self, folder: Path, patterns: Sequence[str]) -> None:
        self.paths = [folder / name for name in NAMES]
        self.pattern = ",".join(f"{folder}/{pattern}" for pattern in patterns)
        self.count = 0
        self._written = 0

    def append(self, lines: int, to: Callable[[Path], Path] = lambda log: log) -> None:
        """Append so many lines to each log, or to another file for each."""
        for place, log in enumerate(self.paths):
            first = place * 10_000 + self._written
            append(to(log), *numbered(first, first + lines))
        self._written += lines
        self.count += lines * len(self.paths)

    def rotate(self, rotate: Callable[[Path, Path], object], scheme: str, turn: int = 1) -> None:
        for log in self.paths:
            rotate(log, log.with_name(SCHEMES[scheme](log, turn)))

    def numbers(self) -> list[int]:
        return [
            place * 10_000 + number for place in range(len(self.paths)) for number in range(self._written)
        ]


@pytest.fixture(params=sorted(PATTERNS))
def all_logs(request: pytest.FixtureRequest, logs: Path) -> Logs:
    return Logs(logs, PATTERNS[request.param])


def read_first_lines(follow: Callable[..., Living], logs: Logs, **settings: float) -> Living:
    living = follow(logs.pattern, **settings)
    logs.append(100)
    living.await_count(logs.count)
    return living


def put_away(log: Path) -> Path:
    """A name beside a log that tells nothing."""
    return log.with_name(f"put away {log.name[0]}, {log.name[-5]}")


@each_scheme
@each_way
@pytest.mark.parametrize("turns", [1, 3], ids=["once", "three times"])
def test_case_25_rotated_while_stopped(follow, all_logs, scheme, rotate, turns):
    living = read_first_lines(follow, all_logs)
    living.stop()
    for turn in range(1, turns + 1):
        all_logs.append(50)
        all_logs.rotate(rotate, scheme, turn)
    all_logs.append(200)
    living.must_have(all_logs.numbers())


@each_scheme
@each_way
def test_case_25_rotated_while_running(follow, all_logs, scheme, rotate):
    living = read_first_lines(follow, all_logs)
    for turn in range(1, 4):
        all_logs.append(50)
        all_logs.rotate(rotate, scheme, turn)
    all_logs.append(200)
    living.must_have(all_logs.numbers())


@each_suffix
@each_scheme
def test_case_25_rotated_and_compressed_while_stopped(follow, all_logs, scheme, suffix):
    living = read_first_lines(follow, all_logs)
    living.stop()
    all_logs.append(50)
    all_logs.rotate(partial(compress, suffix), scheme)
    all_logs.append(200)
    living.must_have(all_logs.numbers())


def compress(suffix: str, log: Path, rotated: Path) -> None:
    rotated.with_name(f"{rotated.name}{suffix}").write_bytes(COMPRESS[suffix](log.read_bytes()))
    log.unlink()


def test_case_25_renamed_to_any_name_while_stopped(follow, all_logs):
    living = read_first_lines(follow, all_logs)
    living.stop()
    all_logs.append(50)
    for log in all_logs.paths:
        log.rename(put_away(log))
    all_logs.append(200)
    living.start()
    living.await_count(all_logs.count)
    living.stop()
    all_logs.append(10, to=put_away)
    living.must_have(all_logs.numbers())


@pytest.mark.parametrize(
    "name", [put_away, lambda log: log.with_name(f"{log.name}.1")], ids=["any", "a mark"]
)
def test_case_25_a_write_to_the_renamed_file_after_it_was_let_go(follow, all_logs, name):
    living = read_first_lines(follow, all_logs, rotated_hold_seconds=0.0)
    for log in all_logs.paths:
        log.rename(name(log))
    all_logs.append(100)
    living.await_count(all_logs.count)
    living.await_look(2)
    all_logs.append(50, to=name)
    living.await_count(all_logs.count)


@each_way
def test_case_25_an_unfinished_line_before_a_rotation_while_stopped(follow, all_logs, rotate):
    living = read_first_lines(follow, all_logs)
    for log in all_logs.paths:
        append(log, "2024-11-06 06:33:33 cust_0 ", end=b"")
        living.await_size(log)
    living.stop()
    for place, log in enumerate(all_logs.paths):
        append(log, f"/line/{UNFINISHED + place * 7} 200 0.316")
    all_logs.rotate(rotate, "number")
    all_logs.append(200)
    living.must_have([*all_logs.numbers(), *(UNFINISHED + place * 7 for place in range(len(NAMES)))])


@pytest.mark.parametrize("all_logs", ["a glob of all"], indirect=True)
@each_scheme
def test_case_25_a_copy_in_the_glob_is_not_read_again(follow, all_logs, scheme):
    living = read_first_lines(follow, all_logs)
    all_logs.rotate(shutil.copyfile, scheme)
    living.await_look(2)
    all_logs.append(50)
    living.await_count(all_logs.count)
    for log in all_logs.paths:
        log.write_bytes(b"")
    all_logs.append(20)
    living.must_have(all_logs.numbers())


def test_case_25_logs_whose_names_differ_in_a_number_and_that_begin_alike_are_both_read(follow, logs):
    for number in (1, 2):
        append(logs / f"web-{number}.log", *numbered(7, 8))
    living = follow(f"{logs}/*.log")
    living.await_count(2)
    for number in (1, 2):
        append(logs / f"web-{number}.log", *numbered(number * 100, number * 100 + 10))
    living.must_have([7, 7, *range(100, 110), *range(200, 210)])


@each_way
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_case_25_the_process_ends_before_a_rotation(new_service, all_logs, rotate, number):
    service = new_service(all_logs.pattern)
    rotate_between_two_runs(service, all_logs, rotate, number)
    assert service.numbers() == all_logs.numbers()


@pytest.mark.servers
@pytest.mark.parametrize("all_logs", ["exact", "globs of logs"], indirect=True)
@each_way
def test_case_25_the_position_is_in_postgresql(new_service, all_logs, rotate):
    server = servers.postgresql()
    url = server.new_database()
    service = new_service(all_logs.pattern, STORE_URL=url)
    rotate_between_two_runs(service, all_logs, rotate, signal.SIGKILL)
    rows = server.execute("SELECT path FROM records", database=url.rpartition("/")[2])
    assert numbers_of(rows) == all_logs.numbers()


@pytest.mark.parametrize("all_logs", ["exact", "globs of logs"], indirect=True)
@each_way
def test_case_25_the_position_is_in_sqlite(new_service, all_logs, tmp_path, rotate):
    service = new_service(all_logs.pattern, STORE_URL=f"sqlite:///{tmp_path}/store.sqlite")
    rotate_between_two_runs(service, all_logs, rotate, signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        rows = connection.execute("SELECT path FROM records").fetchall()
    assert numbers_of(rows) == all_logs.numbers()


def rotate_between_two_runs(
    service: Service, logs: Logs, rotate: Callable[[Path, Path], object], number: signal.Signals
) -> None:
    logs.append(1000)
    service.start()
    service.await_total(logs.count)
    service.end(number)
    logs.append(100)
    logs.rotate(rotate, "number")
    logs.append(100)
    service.start()
    service.await_total(logs.count)
    assert service.end() == 0


def numbers_of(rows: list[tuple[str]]) -> list[int]:
    return sorted(int(path.rpartition("/")[2]) for (path,) in rows)
