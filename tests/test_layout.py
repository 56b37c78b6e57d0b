"""How the code is laid out: few rooms, small files, imports one way, and tests where one looks for them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = ROOT / "src" / "tailmetrics"
TESTS = ROOT / "tests"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({PACKAGE, *(module.parent for module in MODULES)})

MOST_ROOMS = 23
MOST_FILES = 22
MOST_LINES = 450
MOST_CLASS_LINES = 300
MOST_FUNCTION_LINES = 50

# Modules without a test file at their path, by the one that holds them to what they promise. An entry whose
# module has a test file by now is an error.
TESTED_BY: dict[str, tuple[str, ...]] = {
    "generator/test_generator.py": (
        "generator/lines.py",
        "generator/options.py",
        "generator/results.py",
        "generator/target.py",
    ),
    "api/http/test_openapi.py": ("api/parameters.py",),
    "api/http/test_sessions.py": ("api/routes/session.py",),
    "api/routes/test_alerts.py": ("api/alerts.py", "api/evaluation.py"),
    "api/routes/test_objectives.py": ("api/objectives.py",),
    "api/status_pages/test_routes.py": ("api/status_pages/tokens.py", "stores/kept_lists.py"),
    "api/routes/test_probes.py": ("api/app.py", "api/context.py", "api/ports.py"),
    "api/routes/test_stats.py": ("api/documents.py",),
    "cli/objectives/test_alerts.py": (
        "cli/objectives/alert_tables.py",
        "cli/objectives/replay.py",
        "cli/objectives/silence.py",
    ),
    "cli/export/test_command.py": ("cli/export/files.py",),
    "cli/test_client.py": ("cli/documents.py", "client/transport.py"),
    "formats/logfmt/test_reading.py": ("formats/logfmt/keys.py",),
    "formats/templates/test_format.py": ("formats/templates/clean_records.py",),
    "formats/templates/test_nginx_variables.py": ("formats/templates/parts.py",),
    "formats/w3c/test_reading.py": ("formats/w3c/columns.py", "formats/w3c/sections.py"),
    "formats/test_detection.py": ("formats/claims.py",),
    "formats/test_formats.py": ("formats/base.py", "formats/kinds.py", "formats/text.py"),
    "formats/wrappers/test_format.py": ("formats/wrappers/wrapper.py",),
    "integration/test_processes.py": ("__main__.py",),
    "objectives/alerts/test_evaluator.py": ("objectives/alerts/alert.py", "objectives/alerts/keeper.py"),
    "queues/kafka/test_consumer.py": (
        "queues/kafka/inbox.py",
        "queues/kafka/reader.py",
    ),
    "ingest/shipping/test_store.py": ("ingest/shipping/sender.py",),
    "queues/kafka/test_producer.py": ("queues/kafka/topic.py",),
    "queues/test_publisher.py": ("cli/publish.py",),
    "stores/test_contract_notes.py": ("stores/clickhouse/notes.py",),
    "stores/influxdb/test_flux.py": ("stores/influxdb/stats_query.py",),
    "stores/test_record_pages.py": (
        "stores/clickhouse/records_query.py",
        "stores/influxdb/records_query.py",
        "stores/sql/records_query.py",
    ),
    "stores/summaries/test_model.py": ("stores/summaries/base.py", "stores/summaries/counts.py"),
    "stores/influxdb/test_writer.py": ("stores/influxdb/reader.py", "stores/influxdb/store.py"),
    "stores/test_contract.py": (
        "stores/base.py",
        "stores/clickhouse/customers_query.py",
        "stores/clickhouse/log_queries.py",
        "stores/clickhouse/writer.py",
        "stores/duckdb/queries/customers_query.py",
        "stores/duckdb/queries/reader.py",
        "stores/duckdb/queries/stats_query.py",
        "stores/server_store.py",
    ),
    "stores/test_contract_counts.py": (
        "stores/duckdb/queries/counts_query.py",
        "stores/sql/counts_query.py",
    ),
    "stores/test_contract_filters.py": (
        "stores/duckdb/queries/conditions.py",
        "stores/influxdb/filtered_query.py",
        "stores/sql/customers_query.py",
        "stores/sql/filtering.py",
    ),
    "urls/test_urls.py": ("urls/hosts.py", "urls/secrets.py"),
    "settings/test_sources.py": ("settings/toml.py",),
    "settings/test_settings.py": (
        "errors.py",
        "settings/loading.py",
        "settings/logs.py",
        "settings/model.py",
        "settings/names.py",
    ),
}


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _entries(folder: Path) -> list[str]:
    left_out = {"__init__.py", "__pycache__"}
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in left_out)


def _lines(module: Path) -> int:
    return len(module.read_text().splitlines())


def _longer_than(limit: int, kinds: tuple[type[ast.AST], ...]) -> dict[str, int]:
    """Definitions with more lines than the limit, their decorators not counted."""
    return {
        f"{_name(module)}:{node.name}": length
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, kinds) and isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > limit
    }


def test_the_package_has_few_rooms() -> None:
    assert len(_entries(PACKAGE)) <= MOST_ROOMS, _entries(PACKAGE)


def test_no_folder_holds_more_files_than_one_can_look_through() -> None:
    files = {_name(folder): [entry for entry in folder.iterdir() if entry.is_file()] for folder in FOLDERS}
    assert {name: len(found) for name, found in files.items() if len(found) > MOST_FILES} == {}


def test_no_module_is_too_long() -> None:
    lengths = {_name(module): _lines(module) for module in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_class_is_too_long() -> None:
    assert _longer_than(MOST_CLASS_LINES, (ast.ClassDef,)) == {}


def test_no_function_is_too_long() -> None:
    assert _longer_than(MOST_FUNCTION_LINES, (ast.FunctionDef, ast.AsyncFunctionDef)) == {}


# Tests at the path of what they test.


def _has_code(module: Path) -> bool:
    """Whether a module defines something with a body; constants and imports alone need no test."""
    if module.name == "__init__.py":
        return False
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return any(isinstance(node, functions) for node in ast.walk(ast.parse(module.read_text())))


def _test_of(module: Path) -> Path:
    return TESTS / module.relative_to(PACKAGE).parent / f"test_{module.stem.strip('_')}.py"


def test_each_module_has_tests_at_its_path() -> None:
    missing = {_name(module) for module in MODULES if _has_code(module) and not _test_of(module).exists()}
    assert sorted(missing) == sorted(name for names in TESTED_BY.values() for name in names)


@pytest.mark.parametrize("tests", TESTED_BY)
def test_the_tests_of_other_modules_exist(tests: str) -> None:
    assert (TESTS / tests).exists()


# The linter that holds the direction of the imports.

# A forbidden import: the module that has it, the line, the arrow that the linter shows, the contract's name.
FORBIDDEN = [
    ("formats/base.py", "from tailmetrics.api import app", "imports point one way"),
    ("ingest/committer.py", "from tailmetrics.api import app", "imports point one way"),
    ("stores/__init__.py", "from tailmetrics.cli import text", "imports point one way"),
    ("errors.py", "from tailmetrics import settings", "imports point one way"),
    (
        "stores/duckdb/store.py",
        "from tailmetrics.stores.sql import store",
        "stores know nothing of each other",
    ),
    ("api/app.py", "import duckdb", "only its store knows DuckDB"),
    ("ingest/committer.py", "import msgspec", "only formats know msgspec"),
    ("tailing/tailer.py", "import pika", "only queues know RabbitMQ's client"),
    ("service.py", "import sqlalchemy", "only the SQL store knows SQLAlchemy and its drivers"),
    ("generator.py", "import click", "only the commands know Click, Matplotlib and Rich"),
]


def _copy(folder: Path) -> Path:
    """The package of a copy of the code and of the linter's contracts."""
    ignored = shutil.ignore_patterns("__pycache__", "static")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return Path(shutil.copytree(PACKAGE, folder / "src/tailmetrics", ignore=ignored))


def _lint(package: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"{sysconfig.get_path('scripts')}/lint-imports", "--no-cache"],
        cwd=package.parent.parent,
        env=os.environ | {"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def _broken(output: str) -> set[str]:
    """Names of the contracts that are told to be broken."""
    return set(re.findall(r"^(.+?) BROKEN\b", output, re.MULTILINE))


def _arrow(module: str, line: str) -> str:
    """The import as the linter shows it."""
    importer = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    imported = line.removeprefix("from ").replace(" import ", ".").removeprefix("import ")
    return f"tailmetrics.{importer} -> {imported} "


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What the linter says of a copy of the code with all forbidden imports in it."""
    package = _copy(tmp_path_factory.mktemp("spoilt"))
    for module, line, _ in FORBIDDEN:
        with (package / module).open("a") as file:
            file.write(f"{line}\n")
    return _lint(package)


def test_the_imports_keep_the_contracts(tmp_path: Path) -> None:
    done = _lint(_copy(tmp_path))
    assert (done.returncode, _broken(done.stdout)) == (0, set()), done.stdout


@pytest.mark.parametrize(("module", "line", "contract"), FORBIDDEN)
def test_the_linter_finds_a_forbidden_import(
    spoilt: subprocess.CompletedProcess[str], module: str, line: str, contract: str
) -> None:
    said = spoilt.stdout.partition("\nBroken contracts\n")[2].partition(f"\n{contract}\n---")[2]
    assert (spoilt.returncode, contract in _broken(spoilt.stdout)) == (1, True), spoilt.stdout
    assert _arrow(module, line) in said, spoilt.stdout


def test_a_room_without_a_floor_is_found(tmp_path: Path) -> None:
    """The layers name every room, so that a new one cannot stand outside of the rule."""
    package = _copy(tmp_path)
    (package / "attic.py").write_text("")
    done = _lint(package)
    assert (done.returncode, "attic" in done.stdout + done.stderr) == (1, True), done.stdout
