"""That memory of arrays is kept for the next ones, as far as the C library can."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings"
)

# Prints how often the system gave a page of memory while arrays of 16 MB came and went ten times. None is so
# large that NumPy asks for huge pages.
PROGRAM = """
import resource
import numpy as np
from tailmetrics.memory import keep_arrays

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_arrays()
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


def test_arrays_find_the_memory_of_those_before_them() -> None:
    assert page_faults() < PAGES_OF_A_TURN


def test_what_the_user_has_set_stays() -> None:
    assert page_faults(MALLOC_TRIM_THRESHOLD_="131072") > 5 * PAGES_OF_A_TURN
