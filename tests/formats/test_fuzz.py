"""Millions of damaged lines: no exception, and each line is a record, a reject or blank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tailmetrics.formats import KINDS, open_format
from tailmetrics.settings import load_settings

from .test_formats import LINES, PATTERN

_BLOCK_LINES = 10_000
_LONG_BLOCK_LINES = 50_000
_ENDS = np.frombuffer(b"\n\r\n", dtype=np.uint8)


def blocks(name: str, seed: int, lines: int) -> Iterator[bytes]:
    """For ever: right lines with one byte in 20, 200 or 2,000 replaced, and now and then random bytes alone.

    The bytes that are put in are of any value, of ASCII, of the line itself, or ends of lines.
    """
    random = np.random.default_rng(seed)
    line = LINES[name].encode()
    right = np.frombuffer((line + b"\n") * lines, dtype=np.uint8)
    while True:
        for one_in in (20, 200, 2000):
            block = right.copy()
            count = len(block) // one_in
            places = random.integers(0, len(block), count)
            kinds = random.integers(0, 4, count)
            block[places] = np.select(
                [kinds == 0, kinds == 1, kinds == 2],
                [
                    random.integers(0, 256, count),
                    random.integers(0, 128, count),
                    np.frombuffer(line, dtype=np.uint8)[random.integers(0, len(line), count)],
                ],
                _ENDS[random.integers(0, len(_ENDS), count)],
            )
            yield block.tobytes()
        yield random.integers(0, 256, 10 * lines, dtype=np.uint8).tobytes()


def check(name: str, lines: int, seed: int, block_lines: int) -> None:
    read = open_format(load_settings(None, log_regex=PATTERN, max_line_bytes=1000).format_options(name))
    seen = 0
    for data in blocks(name, seed, block_lines):
        expected = data.count(b"\n") + (not data.endswith(b"\n"))
        parsed = read.parse(data, seen)
        assert parsed.records.height + parsed.rejects.height + parsed.blanks == expected
        assert parsed.records["offset"].n_unique() == parsed.records.height
        seen += expected
        if seen >= lines:
            return


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_forty_thousand_damaged_lines(name: str) -> None:
    check(name, 40_000, seed=1, block_lines=_BLOCK_LINES)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", KINDS)
def test_three_million_damaged_lines(name: str) -> None:
    check(name, 3_000_000, seed=2, block_lines=_LONG_BLOCK_LINES)
