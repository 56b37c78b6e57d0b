"""The archives that are published, and what an environment with nothing but the wheel can do."""

from __future__ import annotations

import csv
import email
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

import pytest

from tests.paths import DATA, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STORE = ("--store-url", "duckdb:///store.duckdb")
ALONE = ("--port", "1")  # where no service answers
SERVER = ("uvicorn", "httptools")  # what only up, ingest and serve need


class Packages:
    """What scripts/package.sh has made, and the environment in which it installed the wheel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = [ROOT / "scripts/package.sh", folder / "dist", folder / "environment"]
        self.said = self._run(script, ROOT).stdout
        (self.source_archive,) = (folder / "dist").glob("*.tar.gz")
        (self.wheel,) = (folder / "dist").glob("*.whl")

    def wheel_files(self) -> dict[str, str]:
        """The names of the wheel's files behind the folder of the package or of its data."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name.partition(".data/data/")[2] or name: name for name in archive.namelist()}

    def source_files(self) -> set[str]:
        with tarfile.open(self.source_archive) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def metadata(self) -> Message:
        (name,) = (name for name in self.wheel_files() if name.endswith(".dist-info/METADATA"))
        with zipfile.ZipFile(self.wheel) as archive:
            return email.message_from_bytes(archive.read(name))

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment."""
        program, *rest = arguments
        return self._run([self.folder / "environment/bin" / program, *rest], self.folder, check=check)

    def _run(
        self, command: Sequence[str | Path], folder: Path, *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(tmp_path_factory.mktemp("packages"))


def _files(*folders: str) -> set[str]:
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in paths if "__pycache__" not in path.parts}


def test_both_archives_are_in_order(packages: Packages) -> None:
    assert packages.said.count("PASSED") == 2
    assert "No broken requirements found." in packages.said
    assert "10,000 lines loaded: 10,000 records, 0 rejects, 0 blank" in packages.said


def test_the_wheel_is_the_whole_package(packages: Packages) -> None:
    files = packages.wheel_files()
    assert {name.removeprefix("src/") for name in _files("src")} <= files.keys()
    assert "tailmetrics/py.typed" in files
    assert {name.replace("man/", "share/man/man1/", 1) for name in _files("man")} <= files.keys()
    assert {name.replace("deploy/", "share/tailmetrics/", 1) for name in _files("deploy")} <= files.keys()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files)


def test_the_source_archive_is_the_whole_project(packages: Packages) -> None:
    beside = {
        "LICENSE",
        "CHANGELOG.md",
        "README.md",
        "pyproject.toml",
        "requirements.lock",
        ".ci/run",
        "Makefile",
    }
    wanted = _files("src", "man", "deploy", "docs", "scripts", "tools", "tests") | beside
    assert wanted - packages.source_files() == set()


def test_the_source_archive_has_nothing_of_this_machine(packages: Packages) -> None:
    files = packages.source_files()
    assert not {name for name in files if name.startswith((".venv", ".git/", "data", "demo", "dist"))}


def test_the_metadata_is_whole_and_has_no_made_up_address(packages: Packages) -> None:
    metadata = packages.metadata()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "tailmetrics developers"
    assert metadata["Requires-Python"] == "<3.13,>=3.10"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Keywords"]
    assert (metadata["Author-email"], metadata.get_all("Project-URL")) == (None, None)


def _report(packages: Packages) -> dict[str, tuple[int, int]]:
    """Requests and failures of each customer."""
    text = packages.run("tailmetrics", "report", *STORE, *ALONE, "--format", "csv").stdout
    rows = csv.DictReader(line for line in text.splitlines() if line)
    return {
        row["customer_id"]: (int(row["total_requests"]), int(row["failed_requests"]))
        for row in rows
        if row["customer_id"].startswith("cust_")
    }


def test_without_the_server_every_command_but_those_that_serve_goes_on(packages: Packages) -> None:
    packages.run("pip", "uninstall", "--quiet", "--yes", *SERVER)
    log = DATA / "requests-10k.log"
    assert "10,000 records" in packages.run("tailmetrics", "load", log, *STORE, *ALONE).stdout
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]
    assert _report(packages) == {
        customer: (figures["totals"]["total_requests"], figures["totals"]["failed_requests"])
        for customer, figures in expected.items()
    }
    for command in ("stats", "customers", "status"):
        assert packages.run("tailmetrics", command, *STORE, *ALONE).stdout
    assert "requests" in packages.run("tailmetrics", "detect", log).stdout
    assert "10,000 records" in packages.run("tailmetrics", "check", *STORE).stdout
    refused = packages.run("tailmetrics", "up", *STORE, check=False)
    missing = "the package uvicorn is not installed: pip install tailmetrics brings all that it needs"
    assert (refused.returncode, refused.stderr) == (78, f"tailmetrics up: {missing}\n")
