"""The report as a picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tailmetrics.cli.plot import MOST_NAMES, draw
from tests.cli.running import LOG, report, report_of, result_logs


@pytest.mark.parametrize("name", ["picture.pdf", "picture"])
def test_only_png_and_svg_can_be_drawn(name: str) -> None:
    answer = report(LOG, "--plot", name)
    assert (answer.exit_code, "expected a name that ends in .png or .svg" in answer.stderr) == (2, True)


def texts_of(picture: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text())


def test_the_picture_of_result_logs_says_what_was_counted_by_hand(tmp_path: Path) -> None:
    picture = tmp_path / "results.svg"
    report(*result_logs(tmp_path), "--log-format", "results", "--plot", picture)
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
