"""Options and settings of the commands, and what each help ends with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from tailmetrics.cli.commands import main
from tests.cli.running import Run

COMMANDS = sorted(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples(run: Run, command: str) -> None:
    assert f"Examples:\n    tailmetrics {command}" in run(command, "--help").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_explains_its_exit_status(run: Run, command: str) -> None:
    assert re.search(r"Exit status:\n    0 +done\n    1 +failed\n    2 ", run(command, "--help").stdout)


def _examples() -> list[str]:
    texts = [str(command.epilog) for command in main.commands.values()]
    return [line.strip() for text in texts for line in text.splitlines() if line.startswith("  tailmetrics")]


@pytest.mark.parametrize("example", _examples())
def test_each_example_has_options_that_exist(example: str) -> None:
    Path("production.env").touch()
    _, name, *arguments = shlex.split(example.partition(" > ")[0])
    context = main.commands[name].make_context(name, arguments)
    assert isinstance(context, click.Context)


def test_a_wrong_setting_is_named_with_its_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_BATCH_SIZE", "many")
    result = run("generate")
    assert (result.exit_code, "LOG_BATCH_SIZE: found 'many'" in result.stderr) == (78, True)


def test_an_option_wins_over_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_LOGS_TO_GENERATE", "7")
    run("generate", "--file", "x.log", "--max-logs", 3, "--interval", 0)
    assert Path("x.log").read_text().count("\n") == 3


def test_the_environment_wins_over_the_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my.env").write_text("MAX_LOGS_TO_GENERATE=7\nLOG_INTERVAL_SECONDS=0\nLOG_FILE_PATH=from-file.log\n")
    monkeypatch.setenv("MAX_LOGS_TO_GENERATE", "5")
    run("generate", "--env-file", "my.env")
    assert Path("from-file.log").read_text().count("\n") == 5


def test_the_file_of_the_folder_is_read(run: Run) -> None:
    Path(".env.local").write_text("MAX_LOGS_TO_GENERATE=4\nLOG_INTERVAL_SECONDS=0\n")
    run("generate", "--file", "x.log")
    assert Path("x.log").read_text().count("\n") == 4


def test_an_unknown_option_is_a_usage_error(run: Run) -> None:
    assert run("stats", "cust_1", "--nope").exit_code == 2
