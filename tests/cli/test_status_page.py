from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run

LINE = "2024-11-06 06:33:33 cust_1 / 200 0.1\n"


@pytest.fixture
def url(run: Run, tmp_path: Path) -> str:
    """The URL of a store of the test's own, with a request of cust_1."""
    (tmp_path / "requests.log").write_text(LINE)
    url = f"duckdb:///{tmp_path}/store.duckdb"
    assert run("load", "requests.log", "--log-format", "requests", "--store-url", url).exit_code == 0
    return url


def test_a_page_is_made_listed_and_revoked(run: Run, url: str) -> None:
    made = run("status-page", "create", "cust_1", "--failures", "5xx", "--store-url", url)
    assert made.stdout.startswith("/status/")
    listing = run("status-page", "list", "--store-url", url).stdout
    page_id, _, failures, zone, customer = listing.split()
    assert (failures, zone, customer) == ("5xx", "UTC", "cust_1")
    revoked = run("status-page", "revoke", page_id, "--store-url", url)
    assert revoked.stdout == f"revoked {page_id}, the page of cust_1\n"
    assert run("status-page", "list", "--store-url", url).stdout == ""


def test_an_unknown_page_cannot_be_revoked(run: Run, url: str) -> None:
    result = run("status-page", "revoke", "5f0c1a2b", "--store-url", url)
    assert result.exit_code == 1
    assert "found no status page '5f0c1a2b'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"), [(["create"], "a customer"), (["list", "x"], "nothing"), (["revoke"], "an id")]
)
def test_what_is_behind_the_action_is_told(run: Run, arguments: list[str], expected: str) -> None:
    result = run("status-page", *arguments)
    assert result.exit_code == 2
    assert f"expected {expected}" in result.stderr
