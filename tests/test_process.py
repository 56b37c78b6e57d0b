"""Memory of arrays is kept for the next ones, as far as the C library can, and that of code is not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading

import pytest

from tailmetrics import process
from tailmetrics.process import Pulse
from tests.integration.running import await_that

WAIT_SECONDS = 20.0

with_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings"
)

# Prints how often the system gave a page of memory while arrays of 16 MB came and went ten times. None is so
# large that NumPy asks for huge pages.
PROGRAM = """
import resource
import numpy as np
from tailmetrics.process import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_freed_memory()
for turn in range(12):
    if turn == 2:
        before = faults()
    arrays = [np.ones(200_000) for _ in range(10)]
    del arrays
print(faults() - before)
"""
PAGES_OF_A_TURN = 16_000_000 // os.sysconf("SC_PAGE_SIZE")


def page_faults(**environment: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(run.stdout)


def test_messages_that_are_taken_from_a_topic_at_once_are_not_looked_through_for_garbage() -> None:
    # In a process of its own, as what is there is taken to stay; and twice, as those before are there yet.
    program = (
        "import gc\n"
        "from tailmetrics.process import defer_garbage_collection, resume_garbage_collection\n"
        "from tailmetrics.queues.kafka.consumer import _MESSAGES_AT_ONCE\n"
        "defer_garbage_collection()\n"
        "resume_garbage_collection()\n"
        "assert gc.isenabled()\n"
        "before = gc.get_stats()[0]['collections']\n"
        "messages = [[] for _ in range(2 * _MESSAGES_AT_ONCE)]\n"
        "assert gc.get_stats()[0]['collections'] == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@with_glibc
def test_arrays_find_the_memory_of_those_before_them() -> None:
    assert page_faults() < PAGES_OF_A_TURN


@with_glibc
def test_threads_that_compute_let_others_on_soon() -> None:
    before = sys.getswitchinterval()
    try:
        process.take_short_turns()
        assert sys.getswitchinterval() == pytest.approx(0.0002)
    finally:
        sys.setswitchinterval(before)


def test_what_the_user_has_set_stays() -> None:
    assert page_faults(MALLOC_TRIM_THRESHOLD_="131072") > 5 * PAGES_OF_A_TURN


# Prints how many kB of files are in memory before and after, and what is reckoned then.
PROGRAM_WITH_CODE = """
import re
from pathlib import Path
import duckdb, polars
from tailmetrics.process import release_code_pages

def of_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def answer():
    return duckdb.sql("SELECT sum(range) FROM range(1000)").fetchall(), polars.Series([1, 2]).sum()

before = answer()
most = of_files()
release_code_pages()
print(most, of_files(), answer() == before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory")
def test_code_that_has_run_is_let_go_and_runs_again() -> None:
    command = [sys.executable, "-c", PROGRAM_WITH_CODE]
    most, left, same = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(left) < 0.7 * int(most)
    assert same == "True"


def test_as_many_files_may_be_open_as_the_hard_limit_allows_and_each_has_a_share() -> None:
    program = """
import resource
from tailmetrics import process

for soft in 1024, 256, 64:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, 4096))
    print(soft, process.room_for_logs(), process.room_for_connections())
process.raise_open_files_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), process.room_for_logs(), process.room_for_connections())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["1024 512 256", "256 64 64", "64 16 16", "4096 4096 2840 1000"]


def _overdue(pulse: Pulse, seconds: float = 0.2) -> bool:
    return pulse.overdue_seconds() > seconds


def test_a_thread_that_does_nothing_when_it_is_due_stands_still_until_it_uses_the_processor() -> None:
    pulse, works, ends = Pulse(), threading.Event(), threading.Event()

    def run() -> None:
        pulse.beat()
        works.wait()
        while works.is_set():
            pass
        ends.wait()

    thread = threading.Thread(target=run)
    thread.start()
    await_that(lambda: _overdue(pulse), WAIT_SECONDS)
    works.set()
    await_that(lambda: not _overdue(pulse), WAIT_SECONDS)
    works.clear()
    await_that(lambda: _overdue(pulse), WAIT_SECONDS)
    ends.set()
    thread.join()
    await_that(lambda: _overdue(pulse), WAIT_SECONDS)


def test_a_thread_that_rests_does_not_stand_still() -> None:
    pulse = Pulse()
    assert pulse.overdue_seconds() == 0.0  # it has not begun
    pulse.beat(3600.0)
    assert pulse.overdue_seconds() == 0.0
