"""Where lines begin and end in bytes."""

from __future__ import annotations

import numpy as np
import pytest

from tailmetrics.formats.lines import Lines, odd_lines, split


def texts(lines: Lines) -> list[bytes]:
    return [lines.data[start:end] for start, end in zip(lines.starts, lines.ends, strict=True)]


@pytest.mark.parametrize(
    ("data", "expected", "offsets"),
    [
        (b"", [], []),
        (b"a\nbc\n", [b"a", b"bc"], [0, 2]),
        (b"a\r\nb", [b"a", b"b"], [0, 3]),
        (b"\n\r\n\r", [b"", b"", b""], [0, 1, 3]),
        (b"\xef\xbb\xbfa\nb\n", [b"a", b"b"], [0, 5]),
    ],
)
def test_lines_are_found_without_their_ends(data: bytes, expected: list[bytes], offsets: list[int]) -> None:
    lines = split(data, 0)
    assert (texts(lines), lines.offsets.tolist()) == (expected, offsets)


def test_further_on_a_byte_order_mark_is_part_of_its_line() -> None:
    assert texts(split(b"\xef\xbb\xbfa", 10)) == [b"\xef\xbb\xbfa"]


def test_some_lines_keep_their_texts_and_offsets() -> None:
    lines = split(b"a\nbb\r\nccc\nd\n", 100)
    chosen = lines.only(np.array([True, False, True, True]))
    assert (texts(chosen), chosen.offsets.tolist()) == ([b"a", b"ccc", b"d"], [100, 106, 110])
    part = lines.part(1, 2)
    assert (texts(part), part.offsets.tolist()) == ([b"bb", b"ccc"], [102, 106])


@pytest.mark.parametrize(
    ("line", "is_odd"),
    [
        (b"plain", False),
        (b"", False),
        ("é客\xa0".encode(), False),
        (b"a\tb", True),
        (b"a\x00", True),
        (b"a\rb", True),
        (b"\x7f", True),
        ("\x80".encode(), True),
        (b"\xff", True),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_is_odd_with_a_control_character_or_bytes_that_are_no_text(
    line: bytes, is_odd: bool, end: bytes
) -> None:
    assert odd_lines(split(end.join([b"right", line, b"right", b""]), 0)).tolist() == [False, is_odd, False]
