"""The service as a process: killed, told to end, without permission, descriptors, space or store."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.integration.running import Service, await_that, free_port
from tests.tailing.following import append, copy_truncate, numbered


@pytest.fixture
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / getattr(request, "param", "x.log")


def test_case_15_permission_taken_and_given_back(service, log):
    append(log, *numbered(0, 100))
    log.chmod(0)
    service.start(as_root=False)
    await_that(lambda: state_of(service, log) == "unreadable", 20, service.said)
    log.chmod(0o644)
    service.await_total(100)
    log.chmod(0)
    append(log, *numbered(100, 200))
    service.await_total(200)
    service.kill()
    append(log, *numbered(200, 300))
    service.start(as_root=False)
    await_that(lambda: state_of(service, log) == "unreadable", 20, service.said)
    log.chmod(0o644)
    service.await_total(300)
    service.end()
    assert service.numbers() == list(range(300))


def state_of(service: Service, log: Path) -> str:
    sources = service.client.get("/ready").json()["sources"]
    return next((source["state"] for source in sources if source["path"] == str(log)), "")


@pytest.mark.parametrize("name", ["x.log", "*.log"])
def test_case_15_a_folder_that_may_not_be_entered_and_then_may(new_service, tmp_path, name):
    logs = tmp_path / "closed/logs"
    logs.mkdir(parents=True)
    append(logs / "x.log", *numbered(0, 100))
    logs.parent.chmod(0)
    service = new_service(f"{logs}/{name}")
    service.start(as_root=False)
    await_that(lambda: state_of(service, logs / name) == "unreadable", 20, service.said)
    logs.parent.chmod(0o755)
    service.await_total(100)
    assert service.end() == 0
    assert service.numbers() == list(range(100))


def test_case_15_out_of_file_descriptors_and_then_some_again(new_service, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    service = new_service(f"{logs}/*.log")
    service.start()
    assert service.process is not None
    open_now = len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))
    limits = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (open_now + 8, limits[1]))
    for number in range(50):
        append(logs / f"{number}.log", *numbered(number * 10, number * 10 + 10))
    await_that(lambda: "Too many open files" in service.said(), 20, service.said)
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, limits)
    service.await_total(500)
    assert service.end() == 0
    assert service.numbers() == list(range(500))


class Writer:
    """Appends numbered lines and rotates the log in turn by rename and by copy + truncate, in a thread.

    It does not write between copy and truncation: what is written then is lost by whoever rotates, not by
    whoever reads.
    """

    def __init__(self, log: Path, count: int, lines_a_turn: int, pause_seconds: float) -> None:
        self._log = log
        self._count = count
        self._lines_a_turn = lines_a_turn
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        step = 500
        for written in range(0, self._count, step):
            append(self._log, *numbered(written, written + step))
            turn, rest = divmod(written + step, self._lines_a_turn)
            if not rest and turn % 2:
                self._log.rename(self._log.with_name(f"{self._log.name}.{turn}"))
            elif not rest:
                copy_truncate(self._log, self._log.with_name(f"{self._log.name}.{turn}"))
            if self._stop.wait(self._pause_seconds):
                return


def kill_at_random_moments(
    service: Service, log: Path, *, kills: int, count: int, pause_seconds: float
) -> None:
    moments = random.Random(7)
    service.start()
    with Writer(log, count, 10_000, pause_seconds) as writer:
        for _ in range(kills):
            threading.Event().wait(moments.uniform(0.0, 1.0))
            service.kill()
            service.start(wait=moments.random() < 0.7)
        writer.wait()
    await_that(lambda: service.answers() and service.total() >= count, 120, service.said)
    assert service.end() == 0
    assert np.array_equal(service.numbers(), np.arange(count))


def test_case_17_kill_nine_at_random_moments_while_writing_and_rotating(service, log):
    kill_at_random_moments(service, log, kills=6, count=150_000, pause_seconds=0.05)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("log", ["x.log", "web-1.log", "access-2024-10-10.log"], indirect=True)
def test_case_17_kill_nine_a_hundred_times_in_a_row_while_writing_and_rotating(new_service, log):
    kill_at_random_moments(new_service(str(log)), log, kills=100, count=2_000_000, pause_seconds=0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_case_18_a_signal_under_load_ends_cleanly_within_five_seconds(service, log, number):
    append(log, *numbered(0, 300_000))
    service.start(wait=False)
    await_that(lambda: "event=following" in service.said(), 20, service.said)
    assert service.end(number, seconds=5.0) == 0
    assert "Traceback" not in service.said()
    service.start()
    service.await_total(300_000)
    service.end()
    assert np.array_equal(service.numbers(), np.arange(300_000))


def test_case_19_no_space_left_and_then_space_again(service, log):
    append(log, *numbered(0, 1000))
    service.start()
    service.await_total(1000)
    assert service.process is not None
    limits = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    append(log, *numbered(1000, 200_000))
    await_that(lambda: _store_error(service) is not None, 30, service.said)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, limits)
    service.await_total(200_000)
    assert service.end() == 0
    assert np.array_equal(service.numbers(), np.arange(200_000))


def _store_error(service: Service) -> str | None:
    try:
        return service.client.get("/ready").json()["ingestion"]["store_error"]
    except httpx.TransportError:
        return None


def test_case_22_the_store_is_removed_under_the_service(service, log):
    append(log, *numbered(0, 10))
    service.start()
    service.await_total(10)
    service.store.rename(service.store.with_suffix(".gone"))
    append(log, *numbered(10, 20))
    assert service.process is not None
    assert service.process.wait(20) != 0
    assert "was removed while it was in use" in service.said()
    assert not service.store.exists()


def test_case_23_fifty_quiet_files_and_a_hot_one_stay_live_beside_a_backlog(new_service, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    backlog = logs / "backlog.log"
    block = "".join(f"2024-11-06 06:33:33 backlog /line/{n} 200 0.316\n" for n in range(100_000)).encode()
    with backlog.open("wb") as stream:
        for _ in range(40):
            stream.write(block)
    quiet = [logs / f"quiet-{number}.log" for number in range(50)]
    for file in quiet:
        append(file, f"2024-11-06 06:33:33 quiet {file} 200 0.316")
    service = new_service(f"{logs}/*.log")
    service.start()
    await_that(lambda: requests_of(service, "quiet") == 50, 20, service.said)
    for turn in range(2, 5):
        append(logs / "hot.log", *["2024-11-06 06:33:33 hot /line/0 200 0.316"] * 10_000)
        for file in quiet:
            append(file, "2024-11-06 06:33:33 quiet /line/0 200 0.316")
        await_that(lambda turn=turn: requests_of(service, "quiet") == 50 * turn, 20, service.said)
        await_that(lambda turn=turn: requests_of(service, "hot") == 10_000 * (turn - 1), 20, service.said)
        if turn == 2:
            assert requests_of(service, "backlog") < 4_000_000, "the backlog was read too fast to tell"
    assert service.end() == 0


def requests_of(service: Service, customer: str) -> int:
    answer = service.client.get(f"/customers/{customer}/stats", params={"every": "none"})
    return answer.json()["total_requests"] if answer.status_code == 200 else 0


def test_case_24_a_second_service_on_one_store_ends_with_an_error_that_names_the_first(service, log):
    append(log, "x")
    service.start()
    second = subprocess.run(
        [sys.executable, "-m", "tailmetrics", "up"],
        env={**service.environment, "API_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (second.returncode != 0, f"process {service.process.pid}" in second.stderr) == (True, True), second


def _is_in_the_file(service: Service) -> bool:
    """Whether nothing is left in the write-ahead log."""
    log = service.store.with_name(f"{service.store.name}.wal")
    return not log.exists() and service.store.stat().st_size > 1_000_000


@pytest.mark.parametrize("part", [0, 0.5], ids=["to nothing", "to half of it"])
def test_case_22_the_store_is_cut_under_the_service(service, log, part):
    append(log, *numbered(0, 150_000))
    service.start()
    service.await_total(150_000)
    await_that(lambda: _is_in_the_file(service), 30, service.said)
    size = int(service.store.stat().st_size * part)
    os.truncate(service.store, size)
    await_that(lambda: service.client.get("/ready").status_code == 503, 10, service.said)
    assert "is damaged" in service.client.get("/ready").json()["store"]["error"]
    await_that(lambda: "is damaged" in service.said(), 10, service.said)
    assert service.end() == 69
    assert service.store.stat().st_size == size
    assert "Traceback" not in service.said()


def test_case_22_a_store_that_is_cut_at_the_last_moment_is_no_clean_end(service, log):
    append(log, *numbered(0, 10))
    service.start()
    service.await_total(10)
    os.truncate(service.store, 0)
    assert service.end() == 69
    assert service.store.stat().st_size == 0
    assert "is damaged" in service.said()


def iis_lines(first: int, last: int, *, with_site: bool) -> list[str]:
    """Lines that each carry a number, behind a header of their own."""
    site, of_site = ("s-sitename ", "W3SVC1 ") if with_site else ("", "")
    fields = f"#Fields: date time {site}cs-uri-stem c-ip sc-status time-taken"
    line = f"2024-01-13 00:32:17 {of_site}/line/{{}} 203.0.113.9 200 242"
    return ["#Software: Microsoft Internet Information Services 10.0", fields] + [
        line.format(number) for number in range(first, last)
    ]


def test_case_17_kill_nine_in_the_middle_of_a_log_whose_columns_change(new_service, log):
    service = new_service(f"iis={log}", CHUNK_BYTES="65536", STREAM_MAX_SIZE="2000")
    append(log, *iis_lines(0, 20_000, with_site=False))
    service.start(wait=False)
    for first in range(20_000, 80_000, 20_000):
        await_that(lambda least=first // 2: service.answers() and service.total() >= least, 30, service.said)
        service.kill()
        append(log, *iis_lines(first, first + 20_000, with_site=first % 40_000 == 0))
        service.start(wait=False)
    await_that(lambda: service.answers() and service.total() >= 80_000, 60, service.said)
    assert service.end() == 0
    assert np.array_equal(service.numbers(), np.arange(80_000))
    assert service.rows("SELECT DISTINCT duration FROM records") == [(0.242,)]
    assert service.rows("SELECT count(*) FROM rejects") == [(0,)]
