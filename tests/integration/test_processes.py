"""The service as a process: killed, told to end, without a store, without space."""

from __future__ import annotations

import json
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

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


def test_lines_appended_in_random_pieces_give_the_expected_figures(service, log):
    content = (DATA / "requests-10k.log").read_bytes()
    random_pieces = random.Random(1)
    service.start()
    position = 0
    with log.open("ab", buffering=0) as stream:
        while position < len(content):
            size = random_pieces.choice([1, 7, 60, 1000, 30_000])
            stream.write(content[position : position + size])
            position += size
    service.await_total(10_000)
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]
    for customer, figures in expected.items():
        answer = service.client.get(f"/customers/{customer}/stats").json()
        assert {key: answer[key] for key in figures["totals"]} == pytest.approx(figures["totals"], rel=1e-9)
        daily = {window["start"][:10]: window for window in answer["windows"]}
        assert daily.keys() == figures["daily"].keys()
        for day, values in figures["daily"].items():
            assert {key: daily[day][key] for key in values} == pytest.approx(values, rel=1e-9)


def test_kill_nine_at_random_moments_while_writing_and_rotating(service, log):
    count = 20_000 * 10
    stop = threading.Event()
    moments = random.Random(7)
    written = 0

    def write() -> None:
        nonlocal written
        turn = 0
        while not stop.is_set() and written < count:
            append(log, *numbered(written, written + 500))
            written += 500
            if written % 20_000 == 0:
                turn += 1
                log.rename(log.with_name(f"x.log.{turn}"))
            stop.wait(0.03)

    writer = threading.Thread(target=write)
    service.start()
    writer.start()
    try:
        for _ in range(10):
            stop.wait(moments.uniform(0.0, 1.0))
            service.kill()
            service.start()
        writer.join()
        service.await_total(count)
    finally:
        stop.set()
        writer.join()
    assert service.end() == 0
    assert np.array_equal(service.numbers(), np.arange(count))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_under_load_ends_cleanly_within_five_seconds(service, log, number):
    append(log, *numbered(0, 300_000))
    service.start(wait=False)
    await_that(lambda: "event=following" in service.said(), 20, service.said)
    assert service.end(number, seconds=5.0) == 0
    assert "Traceback" not in service.said()
    service.start()
    service.await_total(300_000)
    service.end()
    assert np.array_equal(service.numbers(), np.arange(300_000))


def test_a_second_service_on_one_store_ends_with_an_error_that_names_the_first(service, log):
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


def test_no_space_left_and_then_space_again(service, log):
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


def test_a_store_that_is_removed_under_the_service_ends_it_with_a_clear_error(service, log):
    append(log, *numbered(0, 10))
    service.start()
    service.await_total(10)
    service.store.rename(service.store.with_suffix(".gone"))
    append(log, *numbered(10, 20))
    assert service.process is not None
    assert service.process.wait(20) != 0
    assert "was removed while it was in use" in service.said()
    assert not service.store.exists()


def test_rotation_by_rename_and_by_copy_under_a_running_service(service, log):
    service.start()
    for turn in range(6):
        append(log, *numbered(turn * 1000, turn * 1000 + 1000))
        if turn % 2:
            copy_truncate(log, log.with_name(f"x.log.{turn}"))
        else:
            log.rename(log.with_name(f"x.log.{turn}"))
    service.await_total(6000)
    service.end()
    assert service.numbers() == list(range(6000))
