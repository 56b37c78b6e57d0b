"""Memory of arrays, which is kept for the next ones."""

from __future__ import annotations

import ctypes
import os

# https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_ARRAY_BYTES = 16 * 1024 * 1024
_KEPT_BYTES = 32 * 1024 * 1024  # of a thread
_OF_THE_USER = {"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}


def keep_arrays() -> None:
    """Have the C library keep some of the memory that arrays leave.

    glibc gives it back to the system, and gets it again, page by page, for the next question. That is a
    quarter of the time of a question about 200,000 rows. Other C libraries are left as they are, and so is
    what the user has set in the environment.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or _OF_THE_USER & os.environ.keys():
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_ARRAY_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
