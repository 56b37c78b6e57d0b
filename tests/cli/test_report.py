"""The summary of the store, or of files alone, and its picture."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from tailmetrics.cli.commands import main
from tailmetrics.cli.plot import MOST_NAMES, draw
from tailmetrics.cli.report import markdown
from tailmetrics.settings import Settings
from tests.integration.running import free_port
from tests.paths import DATA

LOG = DATA / "requests-10k.log"
EXPECTED = json.loads((DATA / "requests-10k.expected.json").read_text())

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def nothing_but_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("API_PORT", str(free_port()))
    yield
    structlog.reset_defaults()  # logging was bound to a stream of the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *(str(argument) for argument in arguments)])


def result_logs(folder: Path) -> list[Path]:
    """Three logs: apples passed three times, pears twice of three, plums never."""
    files = []
    for number, pears in enumerate(("PASS", "FAIL", "PASS")):
        file = folder / f"test_{1_700_000_000 + 86_400 * number}.log"
        file.write_text(
            "# Iteration 1\n# Test: apples Test\n# Who is apples?\n# Result: PASS\n"
            f"# Test: pears Test\n# Result: {pears}\n# Test: plums Test\n# Result: FAIL\n"
        )
        files.append(file)
    return files


COUNTED_BY_HAND = {"apples": (3, 0), "pears": (2, 1), "plums": (0, 3)}


def counts(document: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {
        each["customer_id"]: (each["successful_requests"], each["failed_requests"])
        for each in document["customers"]
    }


def test_result_logs_without_a_store_are_counted_as_by_hand(tmp_path: Path) -> None:
    answer = run(*result_logs(tmp_path), "--log-format", "results", "--format", "json")
    document = json.loads(answer.stdout)
    assert counts(document) == COUNTED_BY_HAND
    assert (document["total"]["total_requests"], document["total"]["failed_requests"]) == (9, 4)
    assert not (tmp_path / "data").exists()


def test_the_figures_of_files_are_the_expected_ones() -> None:
    document = json.loads(run(LOG, "--format", "json").stdout)
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
    document = json.loads(run("--format", "json").stdout)
    assert [each["customer_id"] for each in document["customers"]] == [f"c{n:04}" for n in range(2500)]


def test_a_range_and_an_order_are_those_of_customers(tmp_path: Path) -> None:
    files = result_logs(tmp_path)
    answer = run(*files, "--log-format", "results", "--from", "2023-11-15T12:00:00Z", "--sort=-failures")
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert [row[:4] for row in rows if row and row[0] in COUNTED_BY_HAND] == [
        ["plums", "2", "0", "2"],
        ["pears", "2", "1", "1"],
        ["apples", "2", "2", "0"],
    ]


def test_lines_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    log = tmp_path / "test_1.log"
    log.write_text("Test: a\nTest: b\nResult: PASS\n")
    answer = run(log, "--log-format", "results")
    assert "1 line of 3 could not be read" in answer.stderr
    assert answer.exit_code == 0


def test_markdown_has_a_row_each_and_a_total(tmp_path: Path) -> None:
    answer = run(*result_logs(tmp_path), "--log-format", "results", "--format", "markdown")
    assert answer.stdout.splitlines() == [
        "| customer | requests | passed | failed | uptime % | average s | median s | p99 s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| apples | 3 | 3 | 0 | 100.00 | - | - | - |",
        "| pears | 3 | 2 | 1 | 66.67 | - | - | - |",
        "| plums | 3 | 0 | 3 | 0.00 | - | - | - |",
        "| **total** | **9** | **5** | **4** | **55.56** | **-** | **-** | **-** |",
    ]


FIGURES = {
    "total_requests": 3,
    "successful_requests": 2,
    "failed_requests": 1,
    "uptime": 66.7,
    "average_latency": None,
    "median_latency": None,
    "p99_latency": None,
}


def report_of(*names: str, **changes: object) -> dict[str, Any]:
    figures = {**FIGURES, **changes}
    customers = [{"customer_id": name, **figures} for name in names]
    return {
        "from": None,
        "to": None,
        "tz": "UTC",
        "failures": "5xx",
        "customers": customers,
        "total": figures,
    }


def test_a_name_cannot_upset_markdown() -> None:
    row = markdown(report_of("a|b <i>_x_</i>\n`c` a_b")).splitlines()[2]
    assert row.startswith(r"| a\|b \<i\>\_x\_\</i\>\n\`c\` a_b |".replace(r"\n", r"\\n"))


def test_csv_has_the_names_of_the_api_and_no_formulas(tmp_path: Path) -> None:
    log = tmp_path / "formula.log"
    log.write_text("2024-10-10 08:00:00 =1+1 / 200 0.1\n")
    rows = list(csv.DictReader(io.StringIO(run(log, "--format", "csv").stdout)))
    assert (rows[0]["customer_id"], rows[0]["average_latency"]) == ("'=1+1", "0.1")


@pytest.mark.parametrize(("name", "shown"), [("=x", "'=x"), ("'=x", "''=x"), ("'x", "'x"), ("x", "x")])
def test_csv_tells_names_apart_that_differ_in_an_apostrophe(tmp_path: Path, name: str, shown: str) -> None:
    log = tmp_path / "formula.log"
    log.write_text(f"2024-10-10 08:00:00 {name} / 200 0.1\n")
    [row, *_] = csv.DictReader(io.StringIO(run(log, "--format", "csv").stdout))
    assert row["customer_id"] == shown


def test_a_file_that_cannot_be_read_is_named() -> None:
    answer = run("nowhere.log")
    assert (answer.exit_code, "nowhere.log cannot be read" in answer.stderr) == (66, True)
    assert answer.stderr.endswith("\nNothing was reported.\n")


@pytest.mark.parametrize("name", ["picture.pdf", "picture"])
def test_only_png_and_svg_can_be_drawn(name: str) -> None:
    answer = run(LOG, "--plot", name)
    assert (answer.exit_code, "expected a name that ends in .png or .svg" in answer.stderr) == (2, True)


def texts_of(picture: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text())


def test_the_picture_of_result_logs_says_what_was_counted_by_hand(tmp_path: Path) -> None:
    picture = tmp_path / "results.svg"
    run(*result_logs(tmp_path), "--log-format", "results", "--plot", picture)
    texts = texts_of(picture)
    assert {"apples", "pears", "plums", "passed", "failed", "3 customers"} <= set(texts)
    assert "5 passed, 4 failed, uptime 55.56 %" in texts
    assert "median s" not in texts


def test_what_is_counted_has_no_fractions(tmp_path: Path) -> None:
    picture = tmp_path / "results.svg"
    draw(report_of("a", successful_requests=1, failed_requests=0), "one", picture)
    assert [text for text in texts_of(picture) if re.fullmatch(r"\d+\.\d+", text)] == []


def test_latencies_are_drawn_where_there_are_any(tmp_path: Path) -> None:
    picture = tmp_path / "requests.svg"
    draw(report_of("a", median_latency=0.5, p99_latency=1.5), "one", picture)
    assert {"median s", "p99 s"} <= set(texts_of(picture))


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels, as its header says them."""
    header = picture.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


@pytest.mark.parametrize("number", [0, 1, 5, 50, pytest.param(500, marks=pytest.mark.slow)])
def test_names_have_room_however_many_they_are(tmp_path: Path, number: int) -> None:
    picture = tmp_path / "picture.png"
    draw(report_of(*(f"customer {place}" for place in range(number))), "many", picture)
    width, height = size_of(picture)
    assert width * height >= number * 23 * 300
    assert max(width, height) < 4000


@pytest.mark.slow
def test_more_names_than_a_picture_holds_are_told(tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    draw(report_of(*map(str, range(MOST_NAMES + 1))), "many", picture)
    assert any("the first 1,000 of 1,001 names" in text for text in texts_of(picture))


@pytest.mark.parametrize("number", [2, 50, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "pattern",
    [
        "tests/integration/test_orders_and_payments.py::test_case_{:03}_with_a_long_suffix",
        "{:03}_of_the_tests_of_orders_and_payments_with_a_long_suffix",
        "a_long_name_of_tests_of_orders_and_payments_that_ends_in_{:03}",
        "case_{:03}",
    ],
)
def test_each_name_is_shown_with_what_tells_it_from_the_others(
    tmp_path: Path, pattern: str, number: int
) -> None:
    names = [pattern.format(place) for place in range(number)]
    picture = tmp_path / "picture.svg"
    draw(report_of(*names), "names", picture)
    numbers = {found for text in texts_of(picture) for found in re.findall(r"[a-z_]?(\d{3})(?=_|…|$)", text)}
    assert numbers >= {f"{place:03}" for place in range(number)}


def test_a_picture_of_nobody_has_the_colours_of_any_other(tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    draw(report_of(), "nobody", picture)
    drawn = picture.read_text()
    assert "#0072b2" in drawn and "#d55e00" in drawn


def test_a_median_is_seen_within_an_equal_p99(tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    draw(report_of("a", median_latency=0.5, p99_latency=0.5), "equal", picture)
    drawn = picture.read_text()
    assert "fill: #009e73" in drawn and "fill: #cc79a7" not in drawn


def test_odd_names_are_drawn(tmp_path: Path) -> None:
    draw(report_of("$x^$", "客\u202e", "\x1b[31m", "x" * 200, "&<"), "$odd$", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").exists()
