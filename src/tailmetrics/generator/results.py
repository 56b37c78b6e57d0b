"""Tests of the format `results` in place of lines."""

from __future__ import annotations

import numpy as np

from tailmetrics.generator.lines import LATENCY_SIGMA, Lines

# The tests of a round of the format results, and the share of their runs that fail, in per mille.
TESTS = {
    "sign_in": 2, "sign_up": 4, "password reset": 12, "search": 1, "search with typos": 8, "cart": 2,
    "checkout": 6, "checkout by invoice": 25, "payment refused": 3, "refund": 5, "upload of a picture": 60,
    "export as CSV": 4, "webhook is sent again": 150, "rate limit": 30, "two users edit one page": 280,
    "migration": 1,
}  # fmt: skip
_TEST_MEDIAN_SECONDS = 0.8


class Tests(Lines):
    """Blocks of the format `results` in place of lines: rounds of all tests, or tests at random."""

    def _render(self, count: int) -> list[bytes]:
        numbers = self._rendered + np.arange(count)
        self._rendered += count
        tests, failing = numbers % len(TESTS), np.array(list(TESTS.values())) / 1000
        if self.options.mode == "uniform":
            tests, failing = self._random.integers(len(TESTS), size=count), np.full(len(TESTS), 0.5)
        failed = self._random.random(count) < failing[tests]
        seconds = _TEST_MEDIAN_SECONDS * self._random.lognormal(0.0, LATENCY_SIGMA, count)
        rows = zip(numbers.tolist(), tests.tolist(), seconds.tolist(), failed.tolist(), strict=True)
        names = list(TESTS)
        return [_block(number, names[test], took, failed=bad) for number, test, took, bad in rows]


def _block(number: int, name: str, seconds: float, *, failed: bool) -> bytes:
    iteration = "" if number % len(TESTS) else f"# Iteration {number // len(TESTS) + 1}\n"
    detail = "# Expected status 200, found 503\n" if failed else ""
    result = "FAIL" if failed else "PASS"
    return f'{iteration}# Test: "{name}"\n# Took {seconds:.3f} s\n{detail}# Result: {result}\n'.encode()
