"""Which lines of the format `requests` are known as clean by their bytes."""

from __future__ import annotations

import pytest

from tailmetrics.formats.lines import split
from tailmetrics.formats.scan import scan_lines

from .logs import GOOD

LIMIT = 350


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("customer", ["cust_39", "客户_7"])
def test_right_lines_are_known_as_clean_by_their_bytes(end: str, customer: str) -> None:
    line = GOOD.replace("cust_39", customer) + end
    assert scan_lines(split((line * 3).encode(), 0), LIMIT).clean.tolist() == [True] * 3


def test_one_bad_line_does_not_make_its_neighbours_unclean() -> None:
    scan = scan_lines(split(f"{GOOD}\nbad\n{GOOD}\r\n\n{GOOD}".encode(), 0), LIMIT)
    assert scan.clean.tolist() == [True, False, True, False, True]
