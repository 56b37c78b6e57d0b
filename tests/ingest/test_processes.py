"""Several processes that divide the logs: what the one that starts them does, and all of it on a server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.ingest import processes
from tailmetrics.ingest.processes import Processes, folder_of, is_locked, opened_lock, run
from tailmetrics.settings import load_settings
from tests import servers
from tests.integration.running import Service, await_that, free_port
from tests.tailing.following import append, copy_truncate, numbered

# What a child does: it says that it is there, and speaks on as long as there is no file that tells it not to.
CHILD = """
import os, pathlib, signal, socket, sys, time
folder, number = pathlib.Path({folder!r}), sys.argv[2]
with (folder / ("pids-" + number)).open("a") as pids:
    pids.write(str(os.getpid()) + "\\n")
if (folder / "gives up").exists():
    sys.exit(69)
signal.signal(signal.SIGHUP, lambda *_: (folder / ("reopened-" + number)).touch())
parent = socket.socket(fileno=int(os.environ["NOTIFY_SOCKET"][3:]))
parent.send(b"READY=1")
while True:
    time.sleep(0.02)
    if not (folder / "hangs").exists():
        parent.send(b"WATCHDOG=1")
"""


class Started:
    """Processes of that command, started in a thread."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        command = [sys.executable, "-S", "-c", CHILD.format(folder=str(folder))]
        self.processes = Processes(command, count, folder / "processes")
        self.status: int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.status = self.processes.run()

    def pids(self, number: int) -> list[int]:
        """Those that were started with a number, the last one last."""
        file = self.folder / f"pids-{number}"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []

    def await_start(self, number: int, times: int = 1) -> int:
        await_that(lambda: len(self.pids(number)) >= times, 20)
        return self.pids(number)[-1]

    def await_end(self) -> int | None:
        self._thread.join(20)
        return self.status

    def end(self) -> int | None:
        self.processes.end()
        return self.await_end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int], Started]]:
    started: list[Started] = []

    def begin(count: int) -> Started:
        started.append(Started(tmp_path, count))
        return started[-1]

    yield begin
    for each in started:
        each.end()


def lives(pid: int) -> bool:
    """Whether a process runs: one that has ended may wait for whoever asks about it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


Start = Callable[[int], Started]


def test_one_that_is_killed_is_started_again_and_all_end_when_asked_to(start: Start) -> None:
    started = start(2)
    os.kill(started.await_start(1), signal.SIGKILL)
    pids = [started.await_start(0), started.await_start(1, times=2)]
    assert started.end() == 0
    assert not any(map(lives, pids))
    assert len(started.pids(0)) == 1


def test_all_are_told_to_open_their_files_anew(start: Start, tmp_path: Path) -> None:
    started = start(2)
    reopened = [tmp_path / "reopened-0", tmp_path / "reopened-1"]

    def have_reopened() -> bool:
        started.processes.reopen()  # those that have spoken by now
        return all(file.exists() for file in reopened)

    await_that(have_reopened, 20)
    assert [len(started.pids(number)) for number in range(2)] == [1, 1]


def test_one_that_gives_up_ends_all_with_its_status(start: Start, tmp_path: Path) -> None:
    started = start(2)
    first, second = started.await_start(0), started.await_start(1)
    (tmp_path / "gives up").touch()
    os.kill(second, signal.SIGKILL)
    assert started.await_end() == 69
    assert not lives(first)


def test_what_is_wrong_from_the_start_is_said_by_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "gives up").touch()
    started = start(3)
    assert started.await_end() == 69
    assert (len(started.pids(0)), started.pids(1), started.pids(2)) == (1, [], [])


def test_one_that_was_stopped_is_killed_and_started_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_STOPPED_SECONDS", 0.1)
    started = start(2)
    os.kill(pid := started.await_start(1), signal.SIGSTOP)
    assert started.await_start(1, times=2) != pid
    assert not lives(pid)


def test_one_that_hangs_is_killed_and_started_again(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "_WATCHDOG_SECONDS", 1.0)
    started = start(1)
    pid = started.await_start(0)
    (tmp_path / "hangs").touch()
    assert started.await_start(0, times=2) != pid
    assert not lives(pid)


def test_processes_of_an_earlier_start_that_do_not_end_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_LEFT_SECONDS", 0.0)
    lock = opened_lock(tmp_path / processes.LOCK)
    os.write(lock, b"4711")
    assert is_locked(lock, fcntl.LOCK_EX)
    with pytest.raises(SettingsError, match=r"process 4711 has started.*end them"):
        Processes([], 2, tmp_path).run()
    os.close(lock)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"log_file_path": "-"}, r"PROCESSES: found 2, expected 1, as LOG_FILE_PATH has -"),
        ({"store_url": "influxdb://"}, "PROCESSES: found 2, expected 1, as STORE_URL is an InfluxDB"),
        ({"metrics_port": 65535}, "METRICS_PORT: the last of 2 processes would have 65536"),
    ],
)
def test_what_cannot_be_divided_is_refused(given: dict[str, str], expected: str) -> None:
    settings = {"store_url": "postgresql://host/database", "node_id": "test", "processes": 2, **given}
    with pytest.raises(SettingsError, match=expected):
        run(load_settings(None, **settings), [])


def test_processes_of_another_node_or_store_do_not_meet(tmp_path: Path) -> None:
    def folder(node_id: str, name: str) -> Path:
        return folder_of(load_settings(None, node_id=node_id, store_url=f"sqlite:///{tmp_path}/{name}"))

    assert len({folder("one", "x"), folder("two", "x"), folder("one", "y")}) == 3


class Ingest(Service):
    """`tailmetrics ingest` in several processes."""

    def __init__(self, folder: Path, log_file_path: str, count: int, store_url: str) -> None:
        folder.mkdir()
        port = free_port()
        super().__init__(
            folder, log_file_path, STORE_URL=store_url, METRICS_PORT=str(port), PROCESSES=str(count)
        )
        self._ports = range(port, port + count)

    def children(self) -> list[int]:
        assert self.process is not None
        with contextlib.suppress(OSError):
            pid = self.process.pid
            return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        return []

    def followed(self) -> list[list[str]]:
        """The names of the logs that each process follows; none where it does not answer."""
        return [sorted(self._followed_by(port)) for port in self._ports]

    def _followed_by(self, port: int) -> Iterator[str]:
        with contextlib.suppress(httpx.TransportError):
            for source in self.client.get(f"http://127.0.0.1:{port}/ready").json()["sources"]:
                if source["path"].endswith(".log"):
                    yield Path(source["path"]).name

    def await_logs(self, each: int, *names: str) -> None:
        """Wait until so many logs are followed by each process, of these names in all."""

        def are_followed() -> bool:
            followed = self.followed()
            every = sorted(name for some in followed for name in some)
            return {len(some) for some in followed} == {each} and every == sorted(names)

        await_that(are_followed, 60, lambda: f"{self.followed()}\n{self.said()}")


def numbers_in(url: str) -> list[int]:
    """The numbers of all lines in a database."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT path FROM records").fetchall()
    return sorted(int(path.rpartition("/")[2]) for (path,) in rows)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("count", "kills"), [(2, 2), pytest.param(3, 50, marks=[pytest.mark.nightly, pytest.mark.timeout(900)])]
)
def test_each_line_counts_once_while_processes_are_killed_and_logs_rotate(
    tmp_path: Path, count: int, kills: int
) -> None:
    url = servers.postgresql().new_database()
    service = Ingest(tmp_path / "service", f"{tmp_path}/*.log", count, url)
    logs = [tmp_path / f"web-{number}.log" for number in range(2 * count)]
    for place, log in enumerate(logs):
        append(log, *numbered(place * 100_000, place * 100_000 + 100))
    service.start(wait=False, command="ingest")

    try:
        service.await_logs(2, *(log.name for log in logs))
        dice = random.Random(1)
        last = 100
        for turn in range(3 * kills):
            if not turn % 3 and (children := service.children()):
                os.kill(dice.choice(children), signal.SIGKILL)
            for place, log in enumerate(logs):
                first = place * 100_000 + last
                append(log, *numbered(first, first + 100))
                rotated = log.with_name(f"{log.name}.{turn}")
                if (turn + place) % 2:
                    log.rename(rotated)
                else:
                    copy_truncate(log, rotated)
                append(log, *numbered(first + 100, first + 200))
            last += 200
            threading.Event().wait(dice.uniform(0, 0.5))
        expected = [place * 100_000 + number for place in range(2 * count) for number in range(last)]
        await_that(lambda: len(numbers_in(url)) >= len(expected), 60, service.said)
        service.await_logs(2, *(log.name for log in logs))
        assert service.end() == 0
        assert numbers_in(url) == expected
    finally:
        service.close()


def test_processes_end_with_the_one_that_started_them_and_the_next_start_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    service = Ingest(tmp_path / "service", f"{tmp_path}/*.log", 2, f"sqlite:///{store}")
    names = ["a.log", "b.log"]
    for place, name in enumerate(names):
        append(tmp_path / name, *numbered(place * 1000, place * 1000 + 100))

    def numbers() -> list[int]:
        with contextlib.closing(sqlite3.connect(store)) as connection:
            paths = connection.execute("SELECT path FROM records").fetchall()
        return sorted(int(path.rpartition("/")[2]) for (path,) in paths)

    def reported() -> list[str]:
        """What `serve` and `status` show."""
        with contextlib.closing(sqlite3.connect(store)) as connection:
            reports = connection.execute("SELECT statuses FROM reports").fetchall()
        return sorted(Path(source["path"]).name for (text,) in reports for source in json.loads(text))

    try:
        service.start(wait=False, command="ingest")
        service.await_logs(1, *names)
        await_that(lambda: reported() == names, 30, lambda: str(reported()))
        children = service.children()
        service.kill()
        for place, name in enumerate(names):
            append(tmp_path / name, *numbered(place * 1000 + 100, place * 1000 + 200))
        service.start(wait=False, command="ingest")
        await_that(lambda: bool(service.children()), 30, service.said)
        assert not any(map(lives, children))
        service.await_logs(1, *names)
        expected = [place * 1000 + number for place in range(2) for number in range(200)]
        await_that(lambda: numbers() == expected, 30, service.said)
        assert service.end() == 0
    finally:
        service.close()
