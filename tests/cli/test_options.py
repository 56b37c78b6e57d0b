"""Options and settings of the commands, and what each help ends with."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tailmetrics.cli.commands import main
from tests.cli.running import LOG, Run
from tests.integration.running import WITHOUT_ROOTS_RIGHTS

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
    _, name, *arguments = shlex.split(re.split(r" [>|] ", example)[0])
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


@pytest.fixture
def closed(run: Run) -> Path:
    """A folder with a log and a store that a user of the machine may not enter."""
    folder = Path("closed").absolute()
    folder.mkdir()
    (folder / "x.log").write_bytes(LOG.read_bytes())
    assert run("load", folder / "x.log", "--store-url", f"duckdb:///{folder}/store.duckdb").exit_code == 0
    folder.chmod(0)
    return folder


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("load {}/x.log", 66, "{}/x.log cannot be read: Permission denied"),
        ("detect {}/x.log", 66, "{}/x.log cannot be read: Permission denied"),
        ("stats cust_1 --store-url duckdb:///{}/store.duckdb", 74, "{}/store.duckdb: Permission denied"),
        (
            "export records x.csv --store-url duckdb:///{}/store.duckdb",
            74,
            "{}/store.duckdb: Permission denied",
        ),
        ("up --store-url duckdb:///{}/store.duckdb", 74, "{}/store.duckdb: Permission denied"),
        ("check --store-url duckdb:///{}/store.duckdb", 78, "{} may not be read and written by this user"),
        ("check --log-file-path {}/x.log", 78, "{}/x.log may not be read by this user (Permission denied)"),
        ("check --log-file-path {}/*.log", 78, "{}/*.log may not be read by this user (Permission denied)"),
    ],
)
def test_what_a_user_may_not_enter_is_named(closed: Path, arguments: str, status: int, said: str) -> None:
    prefix = [] if os.getuid() else WITHOUT_ROOTS_RIGHTS
    command = [*prefix, sys.executable, "-m", "tailmetrics", *arguments.format(closed).split()]
    environment = {**os.environ, "API_PORT": "1"}  # where no service answers
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    assert said.format(closed) in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
