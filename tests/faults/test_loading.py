"""`tailmetrics load` as a process: killed, interrupted and without space, in the middle of a long log."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.integration.running import await_that, free_port
from tests.tailing.following import append, numbered

LINES = 600_000
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "x.log"
    append(path, *numbered(0, LINES))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.duckdb"


def begin(log: Path, store: Path) -> subprocess.Popen[str]:
    environment = {"STORE_URL": f"duckdb:///{store}", "API_PORT": str(free_port()), "NODE_ID": "test"}
    return subprocess.Popen(
        [sys.executable, "-m", "tailmetrics", "load", str(log)],
        cwd=store.parent,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def await_commit(store: Path, process: subprocess.Popen[str]) -> None:
    """Wait until much was committed."""
    await_that(
        lambda: process.poll() is not None or (store.exists() and store.stat().st_size > 2_000_000),
        WAIT_SECONDS,
    )


def numbers(store: Path) -> list[int]:
    with duckdb.connect(str(store), read_only=True) as connection:
        sql = "SELECT regexp_extract(path, '[0-9]+$')::BIGINT AS n FROM records ORDER BY n"
        return [number for (number,) in connection.execute(sql).fetchall()]


def counted(store: Path) -> list[tuple[int, int]]:
    """Of each source: how many records it says it has, and its position."""
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute("SELECT records, position FROM sources").fetchall()


def test_no_space_left_and_then_space_again(log, store):
    process = begin(log, store)
    limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
    assert process.stderr is not None
    said = ""
    while "the store is away, trying again" not in said:
        said = process.stderr.readline()
        assert said
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
    printed, said = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, "Traceback" in said) == (0, False)
    assert printed.strip() == f"{log}: 600,000 lines loaded: 600,000 records, 0 rejects, 0 blank"
    assert np.array_equal(numbers(store), np.arange(LINES))


def test_kill_nine_at_random_moments(log, store):
    random_source = random.Random(5)
    for _ in range(8):
        with begin(log, store) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                # It begins to read after about half a second.
                process.wait(0.4 + random_source.random() * 0.6)
            process.kill()
    process = begin(log, store)
    _, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, said
    assert np.array_equal(numbers(store), np.arange(LINES))
    assert counted(store) == [(LINES, log.stat().st_size)]


def test_an_interrupted_load_goes_on_where_it_ended(log, store):
    process = begin(log, store)
    await_commit(store, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_SECONDS)
    [(records, _)] = counted(store)
    process = begin(log, store)
    printed, _ = process.communicate(timeout=WAIT_SECONDS)
    assert np.array_equal(numbers(store), np.arange(LINES))
    rest = LINES - records
    assert f"{rest:,} lines loaded: {rest:,} records" in printed or (rest == 0 and "already" in printed)
