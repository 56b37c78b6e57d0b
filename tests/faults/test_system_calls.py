"""System calls of the whole service that fail at random under load, as strace injects it; each night only.

Short writes are not among them: strace can only pretend that a call has done less than it was asked to.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.faults.test_processes import Writer
from tests.integration.running import Service, await_that

LINES = 60_000
TURNS = 6
# What fails, by the calls of Linux; `?` where not every machine has the call.
FAILURES = [
    ("pwrite64,pwritev,write,ftruncate", "ENOSPC"),
    ("pwrite64,pwritev,write", "EIO"),
    ("fsync,fdatasync", "EIO"),
    ("read,pread64,preadv", "EIO"),
    ("?open,openat", "EMFILE"),
    ("?open,openat", "EACCES"),
    ("?stat,?lstat,fstat,newfstatat,statx", "EACCES"),
    ("?getdents,getdents64,inotify_add_watch", "ENOSPC"),
    ("mmap", "ENOMEM"),
]


@contextlib.contextmanager
def failing(pid: int, calls: str, injected: str, trace: Path) -> Iterator[None]:
    """These calls of a process fail as `injected` says, in the words of strace."""
    strace = shutil.which("strace") or pytest.fail(
        "Found no strace. On Debian and Ubuntu: apt-get install strace"
    )
    command = [
        strace,
        "-f",
        "-qq",
        "-A",
        "-o",
        str(trace),
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{injected}",
        "-p",
        str(pid),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGTERM)  # at which it lets go of the process


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


def start_again(service: Service) -> None:
    """As whoever looks after it does: with nothing failing any more a start has to succeed."""
    assert service.process is not None
    if service.process.poll() is not None:
        service.start()


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("calls", "error"), FAILURES)
def test_calls_that_fail_under_load_lose_and_double_no_line(service, log, tmp_path, calls, error):
    chance, trace = random.Random(f"{calls} {error}"), tmp_path / "trace"
    service.start()
    with Writer(log, LINES, 10_000, 0.1) as writer:
        for _ in range(TURNS):
            assert service.process is not None
            injected = f"error={error}:when={chance.randint(1, 20)}+{chance.randint(2, 30)}"
            with failing(service.process.pid, calls, injected, trace):
                threading.Event().wait(chance.uniform(0.5, 2.0))
            start_again(service)
        writer.wait()
    assert "(INJECTED)" in trace.read_text()
    await_that(lambda: service.answers() and service.total() >= LINES, 60, service.said)
    assert service.end() == 0
    assert np.array_equal(service.numbers(), np.arange(LINES))
