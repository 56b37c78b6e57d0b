"""The summary of the store, or of files alone."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tailmetrics.cli.commands import main
from tailmetrics.cli.report import as_markdown
from tests.cli.running import LOG, report, report_of, result_logs
from tests.paths import DATA

EXPECTED = json.loads((DATA / "requests-10k.expected.json").read_text())


COUNTED_BY_HAND = {"apples": (3, 0), "pears": (2, 1), "plums": (0, 3)}


def counts(document: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {
        each["customer_id"]: (each["successful_requests"], each["failed_requests"])
        for each in document["customers"]
    }


def test_result_logs_without_a_store_are_counted_as_by_hand(tmp_path: Path) -> None:
    answer = report(*result_logs(tmp_path), "--log-format", "results", "--format", "json")
    document = json.loads(answer.stdout)
    assert counts(document) == COUNTED_BY_HAND
    assert (document["total"]["total_requests"], document["total"]["failed_requests"]) == (9, 4)
    assert not (tmp_path / "data").exists()


def test_the_figures_of_files_are_the_expected_ones() -> None:
    document = json.loads(report(LOG, "--format", "json").stdout)
    expected = EXPECTED["customers"]
    assert len(document["customers"]) == 50
    for found in document["customers"]:
        known = expected[found["customer_id"]]["totals"]
        assert found["total_requests"] == known["total_requests"]
        assert found["p99_latency"] == pytest.approx(known["p99_latency"], abs=1e-9)


def test_the_store_gives_every_page(tmp_path: Path) -> None:
    log = tmp_path / "many.log"
    log.write_text("".join(f"2024-10-10 08:00:00 c{number:04} / 200 0.1\n" for number in range(2500)))
    CliRunner().invoke(main, ["load", str(log)])
    document = json.loads(report("--format", "json").stdout)
    assert [each["customer_id"] for each in document["customers"]] == [f"c{n:04}" for n in range(2500)]


def test_a_range_and_an_order_are_those_of_customers(tmp_path: Path) -> None:
    files = result_logs(tmp_path)
    answer = report(*files, "--log-format", "results", "--from", "2023-11-15T12:00:00Z", "--sort=-failures")
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert [row[:4] for row in rows if row and row[0] in COUNTED_BY_HAND] == [
        ["plums", "2", "0", "2"],
        ["pears", "2", "1", "1"],
        ["apples", "2", "2", "0"],
    ]


def test_lines_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    log = tmp_path / "test_1.log"
    log.write_text("Test: a\nTest: b\nResult: PASS\n")
    answer = report(log, "--log-format", "results")
    assert "1 line of 3 could not be read" in answer.stderr
    assert answer.exit_code == 0


def test_markdown_has_a_row_each_and_a_total(tmp_path: Path) -> None:
    answer = report(*result_logs(tmp_path), "--log-format", "results", "--format", "markdown")
    assert answer.stdout.splitlines() == [
        "| customer | requests | passed | failed | uptime % | average s | median s | p99 s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| apples | 3 | 3 | 0 | 100.00 | - | - | - |",
        "| pears | 3 | 2 | 1 | 66.67 | - | - | - |",
        "| plums | 3 | 0 | 3 | 0.00 | - | - | - |",
        "| **total** | **9** | **5** | **4** | **55.56** | **-** | **-** | **-** |",
    ]


def test_a_name_cannot_upset_markdown() -> None:
    row = as_markdown(report_of("a|b <i>_x_</i>\n`c` a_b")).splitlines()[2]
    assert row.startswith(r"| a\|b \<i\>\_x\_\</i\>\n\`c\` a_b |".replace(r"\n", r"\\n"))


def test_csv_has_the_names_of_the_api_and_no_formulas(tmp_path: Path) -> None:
    log = tmp_path / "formula.log"
    log.write_text("2024-10-10 08:00:00 =1+1 / 200 0.1\n")
    rows = list(csv.DictReader(io.StringIO(report(log, "--format", "csv").stdout)))
    assert (rows[0]["customer_id"], rows[0]["average_latency"]) == ("'=1+1", "0.1")


@pytest.mark.parametrize(("name", "shown"), [("=x", "'=x"), ("'=x", "''=x"), ("'x", "'x"), ("x", "x")])
def test_csv_tells_names_apart_that_differ_in_an_apostrophe(tmp_path: Path, name: str, shown: str) -> None:
    log = tmp_path / "formula.log"
    log.write_text(f"2024-10-10 08:00:00 {name} / 200 0.1\n")
    [row, *_] = csv.DictReader(io.StringIO(report(log, "--format", "csv").stdout))
    assert row["customer_id"] == shown


def test_a_file_that_cannot_be_read_is_named() -> None:
    answer = report("nowhere.log")
    assert (answer.exit_code, "nowhere.log cannot be read" in answer.stderr) == (66, True)
    assert answer.stderr.endswith("\nNothing was reported.\n")


def test_files_of_which_no_line_can_be_read_are_a_failure_told_with_the_reasons(tmp_path: Path) -> None:
    log = tmp_path / "bad.log"
    log.write_text("garbage\nnonsense\n")
    answer = report(log, "--log-format", "requests")
    assert answer.exit_code == 65
    assert f"2 lines of 2 could not be read; `tailmetrics detect {log}` tells their format" in answer.stderr
    assert "  2 x line: found 1 fields, expected 6" in answer.stderr
