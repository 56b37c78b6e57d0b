"""docs/objectives.md: its files can be read, and its example is what the command and arithmetic say."""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from tailmetrics.cli.commands import main
from tailmetrics.objectives.file import read_objectives
from tailmetrics.settings import Settings
from tests.integration.running import free_port
from tests.paths import ROOT

PAGE = (ROOT / "docs/objectives.md").read_text()
EXAMPLE = PAGE.partition("## A worked example")[2].partition("\n## ")[0]
NOW = datetime(2024, 11, 1)  # noqa: DTZ001  # as the lines of a log have it


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("toml", PAGE))
def test_the_files_on_the_page_can_be_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "objectives.toml").write_text(text)
    read = read_objectives(str(tmp_path / "objectives.toml"))
    assert read.objectives or read.rules or read.silent or read.latency or read.sources or read.receivers


def line(before: timedelta, *, failed: bool) -> str:
    return f"{NOW - before:%Y-%m-%d %H:%M:%S} shop / {503 if failed else 200} 0.1\n"


def log_of_the_example() -> str:
    """10,000 requests, as the page tells them."""
    ages = [timedelta(seconds=150 * (number + 1)) for number in range(20)]
    ages += [timedelta(hours=1, seconds=200 * (number + 1)) for number in range(80)]
    ages += [timedelta(hours=7, seconds=258 * number) for number in range(9_900)]
    bad = {0, 30, 60, 500}
    return "".join(line(age, failed=number in bad) for number, age in enumerate(ages))


def test_the_worked_example_is_what_the_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its table, and as the entry of docs/api.md."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_PORT", str(free_port()))  # a service at the usual one would answer
    monkeypatch.setenv("OBJECTIVES", "objectives.toml")
    Path("objectives.toml").write_text(blocks("toml", EXAMPLE)[0])
    Path("requests.log").write_text(log_of_the_example())
    CliRunner().invoke(main, ["load", "requests.log"])
    ((command, _, shown),) = (block.partition("\n") for block in blocks("console", EXAMPLE))
    result, document = (
        CliRunner().invoke(main, [*shlex.split(command)[2:], *options]) for options in ((), ("--json",))
    )
    structlog.reset_defaults()
    assert result.exit_code == 0, result.stderr
    assert "".join(f"{each.rstrip()}\n" for each in result.stdout.splitlines()) == shown
    api = (ROOT / "docs/api.md").read_text().partition("\n## Objectives\n")[2]
    assert json.loads(document.stdout)["objectives"] == [json.loads(blocks("text", api)[0])]


@pytest.mark.parametrize("text", blocks("text", EXAMPLE)[0].splitlines())
def test_the_arithmetic_of_the_example_is_right(text: str) -> None:
    formula, _, result = re.split(r"\s{2,}", text)[-1].partition(" = ")
    python = formula.replace("×", "*").replace("−", "-").replace(",", "")  # noqa: RUF001  # as the page writes it
    exact = re.sub(r"[\d.]+", lambda number: f"Fraction('{number[0]}')", python)
    assert eval(exact, {"Fraction": Fraction}) == Fraction(result)  # noqa: S307  # the page's own formula
