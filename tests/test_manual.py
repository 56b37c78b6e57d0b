"""The manual pages in man/ are those of the commands, and the shells complete what there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tools import manual

from tailmetrics.cli.commands import main
from tests.paths import ROOT

PAGES = manual.pages()


def test_there_is_a_page_for_each_command_and_one_for_all() -> None:
    commands = {f"tailmetrics-{name}.1" for name in main.commands}
    assert {page.name for page in (ROOT / "man").iterdir()} == {"tailmetrics.1", *commands}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_command_says_of_itself(name: str) -> None:
    assert (ROOT / "man" / name).read_text() == PAGES[name], "python tools/manual.py writes it anew"


def test_a_page_has_the_options_examples_and_exit_statuses_of_its_command() -> None:
    page = PAGES["tailmetrics-load.1"].replace("\\-", "-")
    assert re.findall(r"^\.SH (.*)$", page, re.MULTILINE) == [
        *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO")
    ]
    assert "\n\\fB--env-file\\fR FILE\nSettings are read from this file" in page
    assert "\nssh web1 cat /var/log/shop.log | tailmetrics load -\n" in page
    assert "\n\\fB66\\fR\na log cannot be read\n" in page


@pytest.mark.skipif(shutil.which("man") is None, reason="nothing here shows manual pages")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_shown_without_warnings(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["man", "--warnings", "--local-file", str(ROOT / "man" / name)],
        env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert name.removesuffix(".1") in done.stdout


def test_no_line_of_a_text_is_a_request() -> None:
    assert manual._escaped(".env.local\n'x' \\d -h") == "\\&.env.local\n\\&'x' \\ed \\-h"


# Completion by Click; the shells call the command with what was typed.


@pytest.mark.parametrize(
    ("shell", "function"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")]
)
def test_a_shell_is_given_its_script(shell: str, function: str) -> None:
    assert function in _completed(f"{shell}_source", "")


def test_commands_are_completed() -> None:
    assert _completed("bash_complete", "tailmetrics s").split() == [
        "plain,schema",
        "plain,serve",
        "plain,ship",
        "plain,silence",
        "plain,stats",
        "plain,status",
        "plain,status-page",
    ]


def test_options_and_their_values_are_completed() -> None:
    assert "plain,--log-format" in _completed("bash_complete", "tailmetrics up --log-f").split()
    assert _completed("bash_complete", "tailmetrics up --log-start e").split() == ["plain,end"]


def _completed(instruction: str, typed: str) -> str:
    program = "import sys; sys.argv[0] = 'tailmetrics'; from tailmetrics.__main__ import run; run()"
    environment = {
        "_TAILMETRICS_COMPLETE": instruction,
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
