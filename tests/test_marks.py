"""./run_tests.sh --fast starts no server and no browser: the marks say which tests do."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests import servers
from tests.conftest import NEEDS
from tests.paths import ROOT

# Prints each test with what it uses, as tests/conftest.py sees it.
_COLLECT = """
import json
import sys
import pytest
from tests.conftest import _used_by

class Listing:
    def pytest_collection_finish(self, session):
        for item in session.items:
            file = str(item.path.relative_to(item.config.rootpath))
            print("collected", json.dumps([file, sorted(_used_by(item))]))

sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Listing()]))
"""


def _collected(*arguments: str) -> list[tuple[str, set[str]]]:
    """Each test that pytest would run: its file, and what it uses."""
    command = [sys.executable, "-c", _COLLECT, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.removeprefix("collected ") for line in done.stdout.splitlines() if "collected [" in line]
    return [(file, set(used)) for file, used in map(json.loads, rows)]


def _fast_expression() -> str:
    found = re.search(r"set -- -m '([^']+)'", (ROOT / "run_tests.sh").read_text())
    assert found is not None
    return found[1]


def test_no_fast_test_uses_a_server_or_a_browser() -> None:
    fast, whole = _collected("-m", _fast_expression()), _collected()
    starting = set().union(*NEEDS.values()) - {"influxdb"}  # of which there is one only when it is given
    assert set().union(*(used for _, used in whole)) >= starting
    assert [(file, used & starting) for file, used in fast if used & starting] == []
    assert len(fast) > len(whole) / 2


@pytest.mark.parametrize("start", [servers.postgresql, servers.mariadb])
def test_a_server_is_not_started_by_a_test_without_the_mark(start) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RuntimeError, match=r"expected @pytest\.mark\.servers"):
        start()
