"""The commands: what they print, what they answer with and without a service, and how they end."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from tailmetrics import __version__
from tailmetrics.cli import check as checks
from tailmetrics.cli import load as loading
from tailmetrics.cli.commands import main
from tailmetrics.settings import Settings
from tailmetrics.stores import open_store
from tests.builders import settings_of
from tests.integration.running import Service, await_that, free_port
from tests.paths import DATA

LOG = DATA / "requests-10k.log"
MESSY = DATA / "messy.log"
COMMANDS = sorted(main.commands)

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def nothing_but_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, no settings in the environment, and a port at which nothing answers."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("API_PORT", str(free_port()))
    yield
    structlog.reset_defaults()  # logging was bound to a stream of the command


@pytest.fixture
def run() -> Run:
    """Run a command within this process."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has read 10,000 lines, with a key for changes."""
    folder = tmp_path_factory.mktemp("service")
    service = Service(folder, str(LOG), API_KEY="secret")
    try:
        service.start()
        service.await_total(10_000)
        yield service
    finally:
        service.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a store that holds the same 10,000 lines, and that no process has open."""
    url = f"duckdb:///{tmp_path_factory.mktemp('store')}/store.duckdb"
    result = CliRunner().invoke(main, ["load", str(LOG), "--store-url", url])
    structlog.reset_defaults()
    assert result.exit_code == 0, result.stderr
    return url


def as_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


# Help


def test_every_command_of_the_contract_is_there() -> None:
    assert " ".join(COMMANDS) == (
        "check customers generate ingest load publish report serve stats status top up"
    )


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


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_line_in_the_list_of_commands(run: Run, command: str) -> None:
    assert re.search(rf"^  {command} +[A-Z].*\w\.$", run("--help").stdout, re.MULTILINE)


def test_help_imports_nothing_slow() -> None:
    code = "import sys, tailmetrics.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"polars", "numpy", "duckdb", "bytewax", "fastapi", "pydantic", "httpx"} & set(loaded.split())


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"tailmetrics {__version__}\n"


# Wrong settings and options


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


# generate


def test_generate_writes_the_configured_file(run: Run) -> None:
    run("generate", "--max-logs", 12, "--interval", 0)
    assert Path("data/requests.log").read_text().count("\n") == 12


def test_generate_says_what_it_wrote(run: Run) -> None:
    result = run("generate", "--file", "x.log", "--max-logs", 1200, "--interval", 0)
    assert result.stderr.startswith("1,200 lines, ") and "appended to x.log" in result.stderr


def test_generate_says_one_line_of_one(run: Run) -> None:
    result = run("generate", "--file", "x.log", "--max-logs", 1, "--interval", 0)
    assert result.stderr.startswith("1 line, ")


def test_generate_with_seed_and_now_gives_the_same_bytes(run: Run) -> None:
    for name in ("a.log", "b.log"):
        run("generate", "--file", name, "--max-logs", 50, "--interval", 0, "--seed", 1, "--now", "2024-11-06")
    assert Path("a.log").read_bytes() == Path("b.log").read_bytes()


def test_generate_refuses_a_glob(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FILE_PATH", "logs/*.log")
    result = run("generate")
    assert (result.exit_code, "found the glob 'logs/*.log'" in result.stderr) == (78, True)


def test_generate_over_days_needs_a_number_of_lines(run: Run) -> None:
    assert run("generate", "--days", 3).exit_code == 2


def test_generate_says_when_the_file_cannot_be_written(run: Run) -> None:
    Path("file").touch()
    result = run("generate", "--file", "file/x.log")
    assert (result.exit_code, result.stderr.startswith("tailmetrics generate: file/x.log cannot be")) == (
        74,
        True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_generate_with_status_0_after_a_whole_line(number: signal.Signals) -> None:
    log = Path("x.log")
    command = [sys.executable, "-m", "tailmetrics", "generate", "--file", str(log), "--interval", "0.01"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        await_that(lambda: log.exists() and log.stat().st_size > 0, 20)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, b"Traceback" in said, log.read_bytes()[-1:]) == (0, False, b"\n")


# load


def test_load_reads_every_line(run: Run) -> None:
    loaded = as_json(run("load", LOG, MESSY, "--json"))
    assert loaded["totals"] == {
        "bytes": LOG.stat().st_size + MESSY.stat().st_size,
        "lines": 12_042,
        "records": 12_013,
        "rejects": 26,
        "blanks": 3,
    }


def test_load_of_a_loaded_file_adds_nothing_and_says_so(run: Run) -> None:
    run("load", LOG)
    result = run("load", LOG)
    assert (result.exit_code, result.stdout) == (0, f"{LOG}: already loaded, nothing was added\n")


def test_load_says_what_became_of_each_file(run: Run) -> None:
    result = run("load", MESSY)
    assert result.stdout == f"{MESSY}: 2,042 lines loaded: 2,013 records, 26 rejects, 3 blank\n", (
        result.stderr
    )


def test_a_file_that_is_named_twice_is_loaded_once(run: Run) -> None:
    Path("another-name.log").symlink_to(LOG)
    assert as_json(run("load", LOG, LOG, "another-name.log", "--json"))["totals"]["records"] == 10_000


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
@pytest.mark.parametrize("copy", ["x.log.1", "y.log", "x.log.gz"])
def test_a_copy_adds_nothing_in_one_command_or_in_the_next(run: Run, scheme: str, copy: str) -> None:
    log = Path("x.log")
    log.write_bytes(LOG.read_bytes())
    Path(copy).write_bytes(gzip.compress(LOG.read_bytes()) if copy.endswith(".gz") else LOG.read_bytes())
    url = f"{scheme}:///data/store.{scheme}"
    together = as_json(run("load", log, copy, "--json", "--store-url", url))
    again = as_json(run("load", copy, "--json", "--store-url", url))
    assert (together["totals"]["records"], again["totals"]["records"]) == (10_000, 0)
    assert [file["already_loaded"] for file in together["files"] + again["files"]] == [False, True, True]


def test_a_log_loaded_in_a_wrong_format_is_another_one_behind_an_empty_line(run: Run) -> None:
    wrong = as_json(run("load", LOG, "--log-format", "json", "--json"))
    Path("again.log").write_bytes(b"\n" + LOG.read_bytes())
    right = as_json(run("load", "again.log", "--json"))
    assert (wrong["totals"]["rejects"], right["totals"]["records"]) == (10_000, 10_000)


def test_a_closed_standard_output_is_no_failure() -> None:
    command = f"exec '{sys.executable}' -m tailmetrics check >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_more_files_are_loaded_than_may_be_open_at_a_time() -> None:
    for number in range(300):
        Path(f"{number}.log").write_text(f"2024-10-01 00:00:00 c /{number} 200 1\n")
    command = f"ulimit -n 150; exec '{sys.executable}' -m tailmetrics load --json *.log"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["totals"]["records"] == 300


def test_however_many_files_are_loaded_the_store_is_opened_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(
        loading, "open_store", lambda settings: opened.append(settings) or open_store(settings)
    )
    for number in range(3):
        Path(f"{number}.log").write_text(f"2024-10-01 00:00:0{number} c / 200 1\n")
    loaded = as_json(run("load", *Path().glob("*.log"), "--json"))
    assert (loaded["totals"]["records"], len(opened)) == (3, 1)


def test_load_writes_plain_lines_when_not_on_a_terminal(run: Run) -> None:
    result = run("load", LOG)
    assert "\x1b" not in result.stdout + result.stderr


def test_load_without_a_terminal_does_not_import_what_draws() -> None:
    script = (
        "import sys\n"
        "from tailmetrics.cli.commands import main\n"
        f"main(['load', {str(LOG)!r}], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'rich'])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.stdout.splitlines()[-1:], result.stderr) == (["[]"], "")


def test_load_names_a_file_whose_name_is_not_utf8(run: Run) -> None:
    path = os.fsdecode(b"x\xff.log")
    Path(path).write_bytes(b"2024-10-10 00:00:00 c / 200 0.1\n")
    result = run("load", path)
    assert (result.exit_code, "x\\udcff.log cannot be read: its name is not UTF-8" in result.stderr) == (
        66,
        True,
    )


def test_load_names_every_file_that_cannot_be_read_and_loads_none(run: Run) -> None:
    result = run("load", LOG, "missing.log", ".")
    assert (
        result.exit_code,
        "missing.log cannot be read" in result.stderr,
        ". is a folder" in result.stderr,
    ) == (
        66,
        True,
        True,
    )
    assert result.stderr.endswith("\nNothing was loaded.\n")
    assert not Path("data").exists()


@pytest.mark.slow
def test_load_through_the_service_gives_the_same_document(run: Run, tmp_path: Path) -> None:
    without = as_json(run("load", MESSY, "--json"))
    service = Service(tmp_path, str(tmp_path / "nothing.log"))
    try:
        service.start()
        through = as_json(run("load", MESSY, "--json", "--port", service.port))
    finally:
        service.close()
    assert through["totals"] == without["totals"]


def test_load_through_the_service_without_the_key_is_refused(run: Run, service: Service) -> None:
    result = run("load", LOG, "--port", service.port)
    assert (result.exit_code, "X-API-Key" in result.stderr) == (77, True)


def test_load_of_what_the_service_follows_adds_nothing(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    result = run("load", LOG, "--port", service.port)
    assert (result.exit_code, result.stdout) == (0, f"{LOG}: already loaded, nothing was added\n")


def test_load_of_a_compressed_log_through_the_service_sends_its_lines(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    Path("old.log.gz").write_bytes(gzip.compress(LOG.read_bytes()))
    loaded = as_json(run("load", "old.log.gz", "--json", "--port", service.port))
    assert (loaded["files"][0]["already_loaded"], loaded["totals"]["bytes"]) == (True, LOG.stat().st_size)


def test_load_of_a_broken_compressed_log_through_the_service_adds_nothing(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    Path("old.log.gz").write_bytes(gzip.compress(b"x\n" * 10_000_000)[:-100])
    result = run("load", "old.log.gz", "--port", service.port)
    assert (result.exit_code, "old.log.gz cannot be read to its end" in result.stderr) == (66, True)
    assert service.client.get("/rejects").json()["total"] == 0


@pytest.mark.parametrize("name", ["empty.log", "empty.log.gz"])
def test_load_of_an_empty_file_through_the_service_is_no_load_of_its_own_logs(
    run: Run, service: Service, name: str
) -> None:
    Path(name).write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    loaded = as_json(run("load", name, "--json", "--port", service.port))
    assert loaded["totals"]["lines"] == 0


# stats and customers


def test_stats_of_the_store_are_those_of_the_service(run: Run, service: Service, stored: str) -> None:
    arguments = (
        "stats",
        "cust_7",
        "--from",
        "2024-09-05",
        "--every",
        "12h",
        "--tz",
        "Asia/Kolkata",
        "--json",
    )
    from_store = as_json(run(*arguments, "--store-url", stored))
    assert as_json(run(*arguments, "--port", service.port)) == from_store
    assert from_store["total_requests"] > 0


def test_customers_of_the_store_are_those_of_the_service(run: Run, service: Service, stored: str) -> None:
    arguments = ("customers", "--sort=-requests", "--limit", 3, "--search", "cust_1", "--json")
    from_store = as_json(run(*arguments, "--store-url", stored))
    assert as_json(run(*arguments, "--port", service.port)) == from_store
    assert len(from_store["customers"]) == 3


def test_stats_are_the_expected_figures(run: Run, stored: str) -> None:
    expected = json.loads((DATA / "requests-10k.expected.json").read_text())["customers"]["cust_9"]["totals"]
    answer = as_json(run("stats", "cust_9", "--json", "--store-url", stored))
    assert {name: answer[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_stats_without_a_customer_are_of_all_together(run: Run, stored: str) -> None:
    answer = as_json(run("stats", "--json", "--store-url", stored))
    assert (answer["customer_id"], answer["total_requests"]) == (None, 10_000)


def test_the_store_asked_for_wins_over_a_running_service(run: Run, service: Service, tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("2024-11-06 06:33:33 other /x 200 0.1\n")
    url = f"duckdb:///{tmp_path}/own.duckdb"
    run("load", "one.log", "--store-url", url, "--port", service.port)
    answer = as_json(run("stats", "--json", "--store-url", url, "--port", service.port))
    assert answer["total_requests"] == 1


def test_a_store_that_the_service_holds_is_asked_through_it(run: Run, service: Service) -> None:
    url = f"duckdb:///{service.store}"
    answer = as_json(run("stats", "cust_1", "--json", "--store-url", url, "--port", service.port))
    assert answer["total_requests"] == 161


def test_a_held_store_without_an_answering_service_says_who_holds_it(run: Run, service: Service) -> None:
    assert service.process is not None
    result = run("stats", "cust_1", "--store-url", f"duckdb:///{service.store}")
    assert (result.exit_code, f"process {service.process.pid}" in result.stderr) == (69, True)


def test_the_table_has_a_row_for_each_day_and_a_total(run: Run, stored: str) -> None:
    lines = run("stats", "cust_1", "--store-url", stored).stdout.splitlines()
    days = [line for line in lines if re.match(r"2024-09-\d\d ", line)]
    total = next(line.split() for line in lines if line.startswith("total "))
    assert (len(days), total) == (30, ["total", "161", "119", "26.09", "1.019", "1.024", "1.950"])


def test_the_table_says_who_answered(run: Run, service: Service) -> None:
    assert f"from http://127.0.0.1:{service.port}" in run("stats", "cust_1", "--port", service.port).stdout


def test_customers_say_how_to_get_the_next_page(run: Run, stored: str) -> None:
    first = run("customers", "--limit", 30, "--store-url", stored).stdout
    cursor = re.search(r"--cursor (\S+)", first)
    assert cursor is not None
    second = run("customers", "--limit", 30, "--cursor", cursor[1], "--store-url", stored).stdout
    assert second.count("cust_") == 20 and "--cursor" not in second


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("left\u202eright", r"left\u202eright"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_ids_cannot_upset_the_terminal(given: str, shown: str) -> None:
    from tailmetrics.cli.tables import print_customers  # noqa: PLC0415  # the command is what is under test elsewhere

    figures = dict.fromkeys(("uptime", "average_latency", "median_latency", "p99_latency"))
    customer = {"customer_id": given, "total_requests": 1, "failed_requests": 0, **figures}
    page = {
        "from": None,
        "to": None,
        "failures": "5xx",
        "total": 1,
        "next_cursor": None,
        "customers": [customer],
    }

    @click.command()
    def show() -> None:
        print_customers(page, "here")

    assert f"\n{shown} " in CliRunner().invoke(show).stdout


def test_an_unknown_customer_is_a_failure(run: Run, stored: str) -> None:
    result = run("stats", "nobody", "--store-url", stored)
    assert (result.exit_code, "nobody" in result.stderr, result.stdout) == (1, True, "")


@pytest.mark.parametrize("through_service", [True, False])
def test_a_wrong_parameter_is_named(run: Run, service: Service, stored: str, through_service: bool) -> None:
    where = ("--port", service.port) if through_service else ("--store-url", stored)
    result = run("stats", "cust_1", "--from", "2024-02-30", *where)
    assert (result.exit_code, "from: found '2024-02-30'" in result.stderr) == (2, True)


def test_without_store_and_service_nothing_is_made(run: Run, tmp_path: Path) -> None:
    result = run("stats", "cust_1")
    assert (result.exit_code, "there is no store at data/tailmetrics.duckdb" in result.stderr) == (69, True)
    assert list(tmp_path.iterdir()) == []


def test_another_program_at_the_port_is_not_taken_for_the_service(run: Run, stored: str) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            result = run("stats", "--port", server.server_port)
        finally:
            server.shutdown()
            thread.join()
    assert "there is no store" in result.stderr


# check


def found(result: Result) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        texts.setdefault(f"{finding['level']} {finding['subject']}", []).append(finding["text"])
    return texts


def test_check_is_content_with_the_defaults(run: Run) -> None:
    result = run("check", "--json")
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (0, True)


def test_check_says_each_thing_it_looked_at(run: Run) -> None:
    subjects = {line.split()[1] for line in run("check").stdout.splitlines()}
    assert subjects == {"settings:", "format:", "log:", "store:", "port:"}


def test_check_masks_passwords(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "held by process 1 (up --log-file-path amqp://guest:s3cret@127.0.0.1/?queue=x)"
    monkeypatch.setattr(checks, "check", lambda *_, **__: [checks.Finding("wrong", "store", text)])
    outputs = [run("check").stdout, run("check", "--json").stdout]
    assert ["s3cret" in output for output in outputs] == [False, False]


def test_check_changes_nothing(run: Run, tmp_path: Path) -> None:
    run("check")
    assert list(tmp_path.iterdir()) == []


def test_check_lists_every_wrong_setting(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "0")
    monkeypatch.setenv("LOG_TIMEZONE", "Mars/Olympus")
    result = run("check", "--json")
    assert result.exit_code == 78
    assert [text.split(":")[0] for text in found(result)["wrong settings"]] == ["LOG_TIMEZONE", "WORKERS"]


def test_check_notices_a_mistyped_key_of_the_file(run: Run) -> None:
    Path(".env.local").write_text("LOG_BATCHSIZE=3\n")
    assert found(run("check", "--json"))["note settings"] == [
        ".env.local: LOG_BATCHSIZE is no setting of this program; is LOG_BATCH_SIZE meant?"
    ]


def test_check_refuses_a_pattern_that_cannot_be_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "regex")
    monkeypatch.setenv("LOG_REGEX", "(unclosed")
    result = run("check", "--json")
    assert (result.exit_code, "LOG_REGEX" in found(result)["wrong format"][0]) == (78, True)


def test_check_counts_the_files_of_a_glob(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.log", "b.log"):
        Path(name).touch()
    monkeypatch.setenv("LOG_FILE_PATH", "*.log")
    assert found(run("check", "--json"))["ok log"] == ["*.log matches 2 files, 2 can be read"]


def test_check_takes_a_missing_log_for_one_to_come(run: Run) -> None:
    result = run("check", "--json", "--log-file-path", "later.log")
    assert (result.exit_code, found(result)["note log"][0].startswith("later.log: No such file")) == (0, True)


def test_check_refuses_a_folder_as_log(run: Run, tmp_path: Path) -> None:
    result = run("check", "--json", "--log-file-path", tmp_path)
    assert (result.exit_code, "is a folder" in found(result)["wrong log"][0]) == (78, True)


def test_check_connects_to_the_store(run: Run, stored: str) -> None:
    assert found(run("check", "--json", "--store-url", stored))["ok store"] == [
        f"{stored} answers: 10,000 records, 0 rejects"
    ]


def test_check_writes_events_as_other_commands_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUXDB_TOKEN", "token")
    result = run("check", "--json", "--store-url", f"influxdb://127.0.0.1:{free_port()}/bucket?org=shop")
    assert re.fullmatch(r"timestamp=\S+ level=warning event=.*the store is not ready.*\n", result.stderr)


def test_check_refuses_a_store_that_is_none(run: Run) -> None:
    Path("x.duckdb").write_bytes(b"no database at all" * 1000)
    result = run("check", "--json", "--store-url", "duckdb:///x.duckdb")
    assert (result.exit_code, len(found(result)["wrong store"])) == (78, 1)


def test_check_refuses_a_taken_port(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("check", "--json", "--port", other.getsockname()[1])
    assert (result.exit_code, "cannot be listened on" in found(result)["wrong port"][0]) == (78, True)


def test_check_is_content_with_a_running_service(run: Run, service: Service) -> None:
    result = run("check", "--json", "--port", service.port, "--store-url", f"duckdb:///{service.store}")
    assert result.exit_code == 0
    assert found(result)["ok store"][0].endswith(f"a service answers at http://127.0.0.1:{service.port}")


# up, ingest, serve


@pytest.mark.parametrize("command", ["ingest", "serve"])
def test_a_file_store_is_refused_where_processes_would_share_it(run: Run, command: str) -> None:
    result = run(command)
    assert (result.exit_code, "tailmetrics up" in result.stderr) == (78, True)


def test_a_wrong_queue_is_refused_before_anything_is_started(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FILE_PATH", "a.log,amqp://guest:s3cret@127.0.0.1/")
    result = run("ingest", "--store-url", "sqlite:///x.sqlite")
    assert (result.exit_code, list(Path().iterdir())) == (78, [])
    assert result.stderr.startswith("tailmetrics ingest: LOG_FILE_PATH, entry 2: found no queue, expected")


def test_up_says_when_its_port_is_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("up", "--port", other.getsockname()[1])
    assert (result.exit_code, "API_PORT: cannot listen on" in result.stderr) == (78, True)


def test_up_says_who_holds_the_store(run: Run, service: Service) -> None:
    result = run("up", "--store-url", f"duckdb:///{service.store}")
    assert (result.exit_code, "is held by process" in result.stderr) == (69, True)


def test_a_store_is_closed_after_a_question(run: Run, stored: str) -> None:
    run("stats", "--store-url", stored)
    open_store(settings_of(Path(stored.removeprefix("duckdb:///")))).close()


def test_what_is_printed_for_a_closed_pipe_is_no_traceback(stored: str) -> None:
    command = [sys.executable, "-m", "tailmetrics", "customers", "--json", "--store-url", stored]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["customers", "--json"], ["customers"], ["--help"], ["stats", "-h"]])
def test_an_output_that_cannot_be_written_is_said_in_one_line(arguments: list[str], stored: str) -> None:
    command = [sys.executable, "-m", "tailmetrics", *arguments]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            env={**os.environ, "STORE_URL": stored},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    expected = f"tailmetrics {arguments[0]}: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (74, expected)


# status


def test_status_without_a_service_tells_how_far_each_log_is_stored(run: Run, stored: str) -> None:
    [source] = as_json(run("status", "--json", "--store-url", stored))["sources"]
    size = LOG.stat().st_size
    assert (source["path"], source["state"], source["position"]) == (str(LOG), "stored", size)


def test_status_of_a_service_tells_what_its_dataflow_does(run: Run, service: Service) -> None:
    document = as_json(run("status", "--json", "--port", str(service.port)))
    assert (document["ready"], document["ingestion"]["state"]) == (True, "running")


def test_status_without_a_store_says_how_to_make_one(run: Run) -> None:
    result = run("status")
    assert (result.exit_code, "`tailmetrics up`" in result.stderr) == (69, True)
