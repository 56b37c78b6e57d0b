"""The README, the pages of docs/ and .env.local say what is true."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
import structlog
from click.testing import CliRunner
from dotenv import dotenv_values

from tailmetrics.cli.commands import main
from tailmetrics.settings import Settings, load_settings
from tests.integration.running import free_port
from tests.paths import ROOT

README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs/settings.md").read_text()
PAGES = {
    str(page.relative_to(ROOT)): page.read_text()
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
MOST_LINES = {"README.md": 150, "docs/architecture.md": 150}

_COMPUTED = {
    "node_id",
    "api_key",
    "api_read_key",
    "influxdb_token",
}  # the one is the host's name, the others are secrets


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _shown_runs() -> list[tuple[str, str]]:
    """Each command of the README's console blocks with the output that it shows."""
    parts = [part for block in _blocks("console") for part in block.split("$ ")[1:]]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_outputs_of_the_readme_are_real(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "tests/data", empty_folder / "tests/data")
    port = str(free_port())  # a service at the usual one would answer instead of the store
    monkeypatch.setenv("API_PORT", port)
    shown = _shown_runs()
    given = []
    for command, _ in shown:
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        lines = [line.rstrip() for line in result.stdout.replace(port, "8000").splitlines()]
        given.append((command, "\n".join(lines) + "\n"))
    structlog.reset_defaults()  # logging was bound to the stream of a command
    assert given == shown


def _mentioned_commands() -> set[str]:
    """Every `tailmetrics …` line of the pages that is shown without its output."""
    lines = [line for page in PAGES.values() for block in _blocks("sh", page) for line in block.splitlines()]
    return {line for line in lines if line.startswith("tailmetrics ")}


@pytest.mark.parametrize("command", sorted(_mentioned_commands()))
def test_commands_have_options_that_exist(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    known = main.commands[name]
    if isinstance(known, click.Group):
        name, *arguments = arguments
        known = known.commands[name]
    assert known.make_context(name, arguments).params


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"^\| .*`tailmetrics {command}\b", README, re.MULTILINE)


@pytest.mark.parametrize("script", ["start.sh", "run_tests.sh", "cleanup.sh", ".ci/run"])
def test_scripts_of_the_readme_exist(script: str) -> None:
    assert script in README and (ROOT / script).stat().st_mode & 0o100


def test_what_start_says_is_what_the_readme_shows() -> None:
    addresses = re.search(r'say "\n(.*?)"\n', (ROOT / "scripts/environment.sh").read_text(), re.DOTALL)
    closing = re.search(r'\nshow_addresses.*?say "\n(.*?)"\n', (ROOT / "start.sh").read_text(), re.DOTALL)
    assert addresses is not None and closing is not None
    said = f"{addresses[1]}\n\n{closing[1]}".replace("$LOG_FILE_PATH", "$demo/requests.log")
    assert f"```text\n{said.replace('$1', '8000').replace('$demo', 'demo')}\n```" in README


def _table_row(name: str) -> str:
    field = Settings.model_fields[name]
    value = field.get_default()
    if isinstance(value, tuple):
        value = ",".join(value)
    shown = "host's name" if name == "node_id" else "" if value in {None, ""} else f"`{_plain(value)}`"
    return f"| `{name.upper()}` | {shown} | {field.description} |"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_on_its_page_with_its_default_and_meaning(name: str) -> None:
    assert _table_row(name) in SETTINGS.splitlines()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_explained_in_the_env_file(name: str) -> None:
    text = (ROOT / ".env.local").read_text()
    explained = re.search(rf"((?:^# .*\n)+)(?:# )?{name.upper()}=", text, re.MULTILINE)
    assert explained is not None
    words = " ".join(line.removeprefix("# ") for line in explained[1].splitlines())
    assert words == Settings.model_fields[name].description


def test_the_env_file_holds_the_defaults_and_nothing_else(empty_folder: Path) -> None:
    values = dotenv_values(ROOT / ".env.local")
    assert {key.lower() for key in values} == Settings.model_fields.keys() - _COMPUTED
    assert load_settings(ROOT / ".env.local") == load_settings(None)


def _anchors(text: str) -> set[str]:
    """What a link to a heading of a page may say behind its #, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = sorted(
    {
        (page, target)
        for page, text in PAGES.items()
        for target in re.findall(r"(?:\]\(|src=\"|srcset=\")(?!https?:)([^)\"]+)", text)
    }
)


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_links_lead_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.exists()
    assert not anchor or anchor in _anchors(file.read_text())


def test_every_decision_is_in_the_index() -> None:
    decisions = PAGES["docs/decisions.md"]
    indexed = re.findall(r"\[([^\]]+)\]\(#", decisions.partition("\n## ")[0])
    assert sorted(indexed) == sorted(re.findall(r"^## (.*)$", decisions, re.MULTILINE))


@pytest.mark.parametrize(("page", "limit"), MOST_LINES.items())
def test_a_page_for_the_first_look_is_short(page: str, limit: int) -> None:
    assert len(PAGES[page].splitlines()) < limit


def _paths_told(page: str) -> list[str]:
    """Files and folders that a page names in its text and tables, those in blocks left out."""
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"`([\w./-]+(?:/|\.py|\.sh|\.toml|\.lock|\.md))`", text))
    return sorted(path for path in told if "NAME" not in path)


@pytest.mark.parametrize("path", _paths_told("docs/architecture.md"))
def test_a_path_of_the_architecture_exists(path: str) -> None:
    """Below the package, or the project; a name without a folder is that of a module in several."""
    package = ROOT / "src/tailmetrics"
    somewhere = "/" not in path and any(package.rglob(path))
    assert somewhere or (package / path).exists() or (ROOT / path).exists()
