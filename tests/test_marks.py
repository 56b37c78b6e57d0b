"""./run_tests.sh --fast starts no server and no browser: the marks say which tests do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests import kafka, servers
from tests.conftest import NEEDS
from tests.paths import ROOT

# Prints each test with what it uses, as tests/conftest.py sees it.
_COLLECT = """
import json
import sys
import pytest

class Listing:
    def pytest_collection_finish(self, session):
        from tests.conftest import _used_by  # which pytest has imported by now, after its plugins
        for item in session.items:
            marks = {mark.name for mark in item.iter_markers()}
            print("collected", json.dumps([item.originalname, sorted(marks), sorted(_used_by(item))]))

sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Listing()]))
"""


def _collected() -> list[tuple[str, set[str], set[str]]]:
    """Each test: its name, its marks, and what it uses."""
    done = subprocess.run(
        [sys.executable, "-c", _COLLECT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.removeprefix("collected ") for line in done.stdout.splitlines() if "collected [" in line]
    return [(name, set(marks), set(used)) for name, marks, used in map(json.loads, rows)]


def _marks_left_out() -> set[str]:
    found = re.search(r"set -- -m 'not ([^']+)'", (ROOT / "run_tests.sh").read_text())
    assert found is not None
    return set(found[1].split(" and not "))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_fast_test_uses_a_server_or_a_browser() -> None:
    whole, left_out = _collected(), _marks_left_out()
    starting = set().union(*NEEDS.values()) - {"influxdb"}  # of which there is one only when it is given
    assert left_out > NEEDS.keys()
    assert set().union(*(used for _, _, used in whole)) >= starting
    fast = [(name, used & starting) for name, marks, used in whole if not marks & left_out]
    assert [(name, used) for name, used in fast if used] == []
    assert len(fast) > len(whole) / 2


@pytest.mark.parametrize("start", [kafka.shared, servers.postgresql, servers.mariadb])
def test_a_server_is_not_started_by_a_test_without_the_mark(start: Callable[[], servers.Server]) -> None:
    with pytest.raises(RuntimeError, match=r"expected @pytest\.mark\.servers"):
        start()
