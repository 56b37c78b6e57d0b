"""The table of faults in docs/operations.md tells of every case and of tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paths import ROOT

FAULTS = Path(__file__).parent
ROWS = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
SHOWN_BY = {int(number): set(re.findall(r"`(test_\w+)`", tests)) for number, tests in ROWS}
TESTS = {
    name
    for module in FAULTS.glob("test_*.py")
    for name in re.findall(r"def (test_case_\w+)", module.read_text())
}


@pytest.mark.parametrize("case", range(1, 26))
def test_each_case_has_a_row_with_all_its_tests(case):
    assert SHOWN_BY[case] == {name for name in TESTS if name.startswith(f"test_case_{case:02}_")} != set()
