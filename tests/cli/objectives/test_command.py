"""The command objectives: a table of the service or of the store, JSON, CSV, and what is wrong in words."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.cli.running import Run, as_json

MOMENT = "2024-10-01"  # behind the last of 10,000 lines


@pytest.fixture(autouse=True)
def objectives(monkeypatch: pytest.MonkeyPatch, nothing_but_defaults: None) -> None:
    Path("o.toml").write_text(
        '[[objective]]\nname = "available"\ntarget = 25\nfailures = "4xx+5xx"\n'
        '[[objective]]\nname = "fast"\nkind = "latency"\nlimit_seconds = 1.9\ntarget = 90\n'
        'customers = ["cust_1*"]\n'
    )
    monkeypatch.setenv("OBJECTIVES", "o.toml")


def test_there_is_a_row_for_each_objective_and_customer(run: Run, stored: str) -> None:
    result = run("objectives", "--at", MOMENT, "--customer", "cust_1", "--store-url", stored)
    title, heading, _, *rows, origin = result.stdout.splitlines()
    assert (result.exit_code, title, origin) == (
        0,
        "2 of 2 budgets, at 2024-10-01T00:00:00Z",
        f"from {stored}",
    )
    assert heading.split()[:3] == ["customer", "objective", "state"]
    assert [row.split()[1] for row in rows] == ["available", "fast"]
    available = rows[0].split()
    # 119 of 161 requests failed, and 75 % may.
    assert available[:6] == ["cust_1", "available", "(30d)", "▲", "at", "risk"]
    assert available[6:10] == ["26.087", "25", "1.4", "1.8"]


def test_json_and_csv_are_those_of_the_api(run: Run, stored: str) -> None:
    asked = ("objectives", "--at", MOMENT, "--store-url", stored, "--objective", "available")
    document = as_json(run(*asked, "--json", "--limit", "3"))
    assert (document["total"], len(document["objectives"])) == (50, 3)
    result = run(*asked, "--csv", "--limit", "3")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["customer_id"] for row in rows] == [each["customer_id"] for each in document["objectives"]]
    assert "--cursor" in result.stderr


def test_what_is_wrong_is_said(run: Run, stored: str) -> None:
    refused = {
        ("--customer", "nobody"): (1, "no requests of customer 'nobody' in the store"),
        ("--objective", "slow"): (2, "objective: found 'slow', expected one of available, fast"),
        ("--at", "never"): (2, "at: found 'never', expected a date"),
    }
    for options, (status, text) in refused.items():
        result = run("objectives", "--store-url", stored, *options)
        assert (result.exit_code, text in result.stderr) == (status, True), result.stderr


def test_a_file_that_is_wrong_ends_the_command(run: Run, stored: str) -> None:
    Path("o.toml").write_text('[[objective]]\nname = "a"\ntarget = 100')
    result = run("objectives", "--store-url", stored)
    assert (result.exit_code, "o.toml, line 3: objective 'a': target: found 100" in result.stderr) == (
        78,
        True,
    )


def test_without_the_setting_it_says_how_to_set_it(
    run: Run, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OBJECTIVES")
    result = run("objectives", "--store-url", stored)
    assert (result.exit_code, "warning: OBJECTIVES is not set" in result.stdout) == (0, True)
