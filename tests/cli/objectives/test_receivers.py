"""The command alerts test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run, as_json
from tests.integration.running import free_port
from tests.objectives.notifications.hook import serving

FILE = """
[[receiver]]
name = "chat"
kind = "webhook"
url_env = "CHAT_URL"
template = "slack"

[[receiver]]
name = "pager"
kind = "command"
command = ["cat"]
"""


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OBJECTIVES", "objectives.toml")
    file = Path("objectives.toml")
    file.write_text(FILE)
    return file


def test_each_receiver_gets_a_test(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as hook:
        monkeypatch.setenv("CHAT_URL", hook.url)
        result = run("alerts", "test")
    assert (result.exit_code, result.stdout) == (0, "ok    chat: delivered\nok    pager: delivered\n")
    assert "This is a test of tailmetrics" in hook.posts[0].document["text"]


def test_of_a_receiver_that_does_not_take_it_is_told_why_and_not_where_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_URL", f"http://127.0.0.1:{free_port()}/hooks/s3cr3tpath")
    result = run("alerts", "test")
    assert (result.exit_code, result.stdout) == (
        1,
        "wrong chat: failed: Connection refused\nok    pager: delivered\n",
    )
    assert "s3cr3tpath" not in result.output


def test_one_receiver_alone_as_json(run: Run) -> None:
    told = {"receiver": "pager", "kind": "command", "outcome": "delivered", "error": None}
    result = run("alerts", "test", "--receiver", "pager", "--json")
    assert as_json(result) == {"ok": True, "receivers": [told]}


def test_a_receiver_that_is_not_there_is_told_with_those_that_are(run: Run) -> None:
    result = run("alerts", "test", "--receiver", "none")
    assert (result.exit_code, "found 'none', expected one of chat, pager" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interval = 60", "objectives.toml: found no [[receiver]]"),
        ("[[receiver]]", "receiver 1: name: found none"),
    ],
)
def test_a_file_without_receivers_or_a_bad_one_is_told(run: Run, file: Path, text: str, problem: str) -> None:
    file.write_text(text)
    result = run("alerts", "test")
    assert (result.exit_code, problem in result.stderr) == (78, True), result.stderr


def test_without_a_file_it_says_which_setting_names_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OBJECTIVES")
    result = run("alerts", "test")
    assert (result.exit_code, "OBJECTIVES: found none" in result.stderr) == (78, True)
