"""The scripts, in a copy of the project with a virtual environment of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tailmetrics.settings import Settings
from tests.integration.running import await_that, free_port
from tests.paths import ROOT

pytestmark = pytest.mark.slow

SCRIPTS = (
    "start.sh",
    "run_tests.sh",
    "cleanup.sh",
    ".ci/run",
    "scripts/environment.sh",
    "scripts/containers.sh",
)
START_SECONDS = 60.0

_COMMAND = """#!{python}
from tailmetrics.cli.commands import main
main()
"""
# Gives its child a terminal, so that what is written to its input is typed there: \\x03 is Ctrl-C.
_TYPIST = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Checkout:
    """A copy of what the scripts need, in which nothing has to be installed, with a demo of a slow pace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (*SCRIPTS, ".env.local", "pyproject.toml", "requirements.lock"):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        # A line a second, as a week of the default pace takes seconds to write.
        with (folder / ".env.local").open("a") as settings:
            settings.write("LOG_BATCH_SIZE=1\nLOG_INTERVAL_SECONDS=1\n")

    def install(self) -> None:
        """Make .venv with the packages of the environment in which the tests run."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=self.folder, check=True)
        paths = {"base": str(self.folder / ".venv"), "platbase": str(self.folder / ".venv")}
        packages = Path(sysconfig.get_path("purelib", "posix_prefix", vars=paths))
        packages.joinpath("shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n")
        self.put_command(_COMMAND.format(python=self.folder / ".venv/bin/python"))
        self.bash(". scripts/environment.sh; stamp_of .venv/bin/python > .venv/.installed-run")

    def put_command(self, text: str) -> None:
        command = self.folder / ".venv/bin/tailmetrics"
        command.write_text(text)
        command.chmod(0o755)

    def bash(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run("/bin/bash", "-c", code, **environment)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run(f"./{script}", *arguments, **environment)

    def _run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=_environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def processes(self) -> list[str]:
        """The command lines of the processes of this checkout."""
        listed = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True)
        return [line for line in listed.stdout.splitlines() if str(self.folder) in line]


def _environment(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
    return {**kept, **changes}


@dataclass(frozen=True)
class DemoRun:
    """What one run of ./start.sh did."""

    totals: list[int]  # requests, one look after the other
    output: str
    logs: str
    status: int
    left_over: list[str]


def run_demo(checkout: Checkout, *arguments: str, end: str) -> DemoRun:
    """Start the demo, look at its figures until they grow, and end it by `end`: ctrl-c or a signal."""
    port = free_port()
    script = ["./start.sh", "--port", str(port), *arguments]
    # The typist's child cannot be told apart by its id, so signals are for runs without a terminal.
    command = [sys.executable, "-c", _TYPIST, *script] if end == "ctrl-c" else script
    totals: list[int] = []

    def has_grown() -> bool:
        address = f"http://127.0.0.1:{port}/stats"  # of all: by night a customer may have none for a minute
        with contextlib.suppress(URLError, ConnectionError), urlopen(address, timeout=10) as answer:
            totals.append(json.load(answer)["total_requests"])
        return bool(totals) and totals[-1] > totals[0]

    with (checkout.folder / "output").open("w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=checkout.folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with process:
            try:
                await_that(
                    lambda: b"Ctrl-C ends" in Path(output.name).read_bytes() or process.poll() is not None,
                    START_SECONDS,
                )
                await_that(has_grown, 20)
                assert process.stdin is not None
                if end == "ctrl-c":
                    process.stdin.write(b"\x03")
                    process.stdin.flush()
                else:
                    process.send_signal(signal.Signals[end])
                process.wait(30)
            finally:
                process.kill()
        output.seek(0)
        said = output.read().decode()
    logs = "".join(path.read_text() for path in sorted((checkout.folder / "demo").glob("[sg]*.log")))
    return DemoRun(totals, said, logs, process.returncode, checkout.processes())


@contextlib.contextmanager
def running(checkout: Checkout) -> Iterator[subprocess.Popen[bytes]]:
    """A demo that has said where to look; what it says is in the file `output`."""
    with (checkout.folder / "output").open("wb") as output:
        script = ["./start.sh", "--port", str(free_port())]
        process = subprocess.Popen(
            script, cwd=checkout.folder, env=_environment(), stdout=output, stderr=subprocess.STDOUT
        )
    with process:
        try:
            await_that(lambda: "Ctrl-C ends" in said(checkout), START_SECONDS, lambda: said(checkout))
            yield process
            if process.poll() is None:
                process.terminate()
                process.wait(30)
        finally:
            process.kill()


def said(checkout: Checkout) -> str:
    return (checkout.folder / "output").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def installed(checkout: Checkout) -> Checkout:
    checkout.install()
    return checkout


@pytest.fixture(scope="module")
def demo_checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("demo"))
    checkout.install()
    return checkout


@pytest.fixture(scope="module")
def first(demo_checkout: Checkout) -> DemoRun:
    return run_demo(demo_checkout, end="ctrl-c")


@pytest.fixture(scope="module")
def kept(demo_checkout: Checkout, first: DemoRun) -> DemoRun:
    """A second run that goes on with the data of the first."""
    return run_demo(demo_checkout, "--keep", end="SIGTERM")


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_valid_bash(script: str) -> None:
    subprocess.run(["/bin/bash", "-n", ROOT / script], check=True)


# start.sh


def test_the_demo_shows_figures_that_grow(first: DemoRun) -> None:
    assert first.totals[-1] > first.totals[0]


def test_the_demo_begins_with_some_past_days(first: DemoRun) -> None:
    # Ten lines a second are written live: so many within the looks at the demo are of its past.
    assert first.totals[-1] > 1_000, first.output


def test_the_past_of_the_demo_has_the_pace_of_its_present(demo_checkout: Checkout, first: DemoRun) -> None:
    with (demo_checkout.folder / "demo/requests.log").open("rb") as log:
        lines = sum(1 for _ in log)
    assert 7 * 86_400 <= lines < 7.01 * 86_400, first.output


@pytest.mark.parametrize(
    ("settings", "pace"),
    [
        ("", "--batch-size 1 --interval 0.1"),
        ("LOG_BATCH_SIZE=10\n", "--batch-size 1 --interval 0.1"),
        ("LOG_BATCH_SIZE=20\n", ""),
        ("LOG_BATCH_SIZE=10\nLOG_INTERVAL_SECONDS=2\n", ""),
    ],
)
def test_the_demo_has_a_pace_of_its_own_until_another_is_set(
    checkout: Checkout, settings: str, pace: str
) -> None:
    (checkout.folder / ".env.local").write_text(settings)
    assert checkout.bash(". scripts/environment.sh; demo_pace 0.1").stdout.strip() == pace


def test_ctrl_c_ends_the_demo_with_status_0(first: DemoRun) -> None:
    assert first.status == 0, first.output


def test_ctrl_c_leaves_no_process(first: DemoRun) -> None:
    assert first.left_over == []


def test_ctrl_c_shows_no_traceback_and_no_job(first: DemoRun) -> None:
    assert not re.search(r"Traceback|Terminated|Killed", first.output + first.logs), first.output


@pytest.mark.parametrize("address", ["/", "/docs", "/customers/cust_1/stats"])
def test_the_demo_says_where_to_look(first: DemoRun, address: str) -> None:
    assert re.search(rf"http://127\.0\.0\.1:\d+{address}\W", first.output)


def test_keep_goes_on_with_the_data(first: DemoRun, kept: DemoRun) -> None:
    assert kept.totals[0] >= first.totals[-1]


def test_sigterm_ends_the_demo_with_status_0_and_no_process(kept: DemoRun) -> None:
    assert (kept.status, kept.left_over) == (0, []), kept.output


@pytest.fixture
def broken(installed: Checkout) -> Checkout:
    """A checkout with a finished demo, whose service now ends at once."""
    demo = installed.folder / "demo"
    demo.mkdir()
    (demo / ".tailmetrics-demo").touch()
    (demo / "old").touch()
    (installed.folder / "data").mkdir()
    (installed.folder / "data/mine").touch()
    installed.put_command('#!/bin/sh\n[ "$1" = generate ] || { echo "it hurts"; exit 3; }\nexec sleep 60\n')
    with (demo / "requests.log").open("w") as log:
        log.write("2024-11-06 06:33:33 cust_40 /api/v1/resource1 400 0.316\n")
    return installed


def test_a_service_that_ends_is_a_failure_that_shows_its_log(broken: Checkout) -> None:
    done = broken.run("start.sh", "--keep", "--port", str(free_port()))
    assert (done.returncode, "it hurts" in done.stderr, "status 3" in done.stderr) == (1, True, True)


def test_a_service_that_ends_leaves_no_generator(broken: Checkout) -> None:
    broken.run("start.sh", "--keep", "--port", str(free_port()))
    assert broken.processes() == []


def test_a_start_wipes_the_last_demo_and_nothing_else(broken: Checkout) -> None:
    broken.put_command("#!/bin/sh\nexit 3\n")
    broken.run("start.sh", "--port", str(free_port()))
    assert [(broken.folder / name).exists() for name in ("demo/old", "data/mine")] == [False, True]


def test_a_generator_that_fails_is_a_failure_that_shows_its_log(broken: Checkout) -> None:
    broken.put_command("#!/bin/sh\necho no room; exit 74\n")
    done = broken.run("start.sh", "--port", str(free_port()))
    assert (done.returncode, done.stderr.startswith("no room\nThe generator failed")) == (1, True)


def test_keep_wipes_nothing(broken: Checkout) -> None:
    broken.run("start.sh", "--keep", "--port", str(free_port()))
    assert (broken.folder / "demo/old").exists()


def test_a_taken_port_is_said_before_anything_starts(installed: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = installed.run("start.sh", "--port", str(other.getsockname()[1]))
    assert (done.returncode, "Nothing was started" in done.stderr) == (1, True)
    assert not (installed.folder / "demo").exists()


def test_a_folder_that_is_no_demo_is_left_alone(installed: Checkout) -> None:
    (installed.folder / "demo").mkdir()
    (installed.folder / "demo/mine").touch()
    done = installed.run("start.sh", "--port", str(free_port()))
    assert (done.returncode, (installed.folder / "demo/mine").exists()) == (1, True)


def test_a_linked_folder_is_left_alone(installed: Checkout, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".tailmetrics-demo").touch()
    (installed.folder / "demo").symlink_to(elsewhere)
    assert installed.run("start.sh", "--port", str(free_port())).returncode == 1
    assert (elsewhere / ".tailmetrics-demo").exists()


def test_a_running_demo_is_not_wiped_by_another_start(installed: Checkout) -> None:
    (installed.folder / "demo").mkdir()
    with subprocess.Popen(["/bin/bash", "-c", "sleep 60; : start.sh"]) as running:
        (installed.folder / "demo/.tailmetrics-demo").write_text(f"{running.pid}\n")
        done = installed.run("start.sh", "--port", str(free_port()))
        running.kill()
    assert (done.returncode, f"as process {running.pid}" in done.stderr) == (1, True)


@pytest.mark.parametrize(("script", "arguments"), [("start.sh", ["--port"]), ("cleanup.sh", ["--yes"])])
def test_a_folder_that_what_is_left_of_a_demo_uses_is_not_wiped(
    broken: Checkout, script: str, arguments: list[str]
) -> None:
    port = [str(free_port())] if script == "start.sh" else []
    with (broken.folder / "demo/.tailmetrics-demo").open("a") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        done = broken.run(script, *arguments, *port)
    assert (done.returncode, "The folder demo is in use" in done.stderr) == (1, True), done.stderr
    assert (broken.folder / "demo/old").exists()


@pytest.mark.parametrize("killed", ["start.sh", "the service", "the generator"])
def test_kill_nine_of_one_part_ends_all_and_the_next_start_works(installed: Checkout, killed: str) -> None:
    with running(installed) as demo:
        # Also what has just been started, and has not looked for its parent yet.
        pids = (installed.folder / "demo/.tailmetrics-demo").read_text().split()
        parts = dict(zip(("start.sh", "the service", "the generator"), map(int, pids), strict=True))
        os.kill(parts[killed], signal.SIGKILL)
        await_that(
            lambda: demo.poll() is not None and installed.processes() == [], 5, lambda: said(installed)
        )
    with running(installed):
        assert len(installed.processes()) == 2
    assert installed.processes() == []


def test_a_start_right_after_kill_nine_has_the_folder_for_itself(installed: Checkout) -> None:
    with running(installed) as demo:
        demo.kill()
    with running(installed):
        assert len(installed.processes()) == 2


def test_every_setting_holds_in_the_demo_but_those_that_it_names(broken: Checkout) -> None:
    broken.put_command("#!/bin/sh\nenv >given\nexit 3\n")
    with (broken.folder / ".env.local").open("a") as file:
        file.writelines(f"{name.upper()}=7\n" for name in Settings.model_fields)
    done = broken.run("start.sh", "--keep", "--port", str(free_port()))
    named = re.search(r"do not hold here.*: (.*)", done.stdout)
    given = {line.partition("=")[0] for line in (broken.folder / "given").read_text().splitlines()}
    assert named is not None, done.stdout
    assert {*named[1].split(), "API_PORT"} == given & {name.upper() for name in Settings.model_fields}


def test_with_the_defaults_no_setting_is_named(broken: Checkout) -> None:
    assert "do not hold" not in broken.run("start.sh", "--keep", "--port", str(free_port())).stdout


@pytest.mark.parametrize(
    "text", ["API_PORT={}", 'export API_PORT = "{}"  # mine', "API_PORT=1\nAPI_PORT='{}'"]
)
def test_the_port_is_read_as_the_service_reads_it(installed: Checkout, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (installed.folder / ".env.local").write_text(text.format(port) + "\n")
        assert f"Port {port} of 127.0.0.1 cannot be used" in installed.run("start.sh").stderr


def test_the_generator_of_the_demo_ends_after_the_lines_of_the_settings(installed: Checkout) -> None:
    with (installed.folder / ".env.local").open("a") as file:
        file.write("MAX_LOGS_TO_GENERATE=5\nLOG_TIMEZONE=Asia/Kolkata\n")
    with running(installed):
        await_that(lambda: "The generator has written" in said(installed), 20, lambda: said(installed))
    assert "5 lines, " in (installed.folder / "demo/generator.log").read_text()
    assert "do not hold" not in said(installed)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nope"],
        ["--port", "http"],
        ["--port"],
        ["--port", "123456"],
        ["--profile", "mysql"],
        ["--docker", "--profile", "oracle"],
        ["--docker", "--profile"],
    ],
)
@pytest.mark.usefixtures("checkout")
def test_wrong_arguments_are_a_usage_error(checkout: Checkout, arguments: list[str]) -> None:
    assert checkout.run("start.sh", *arguments).returncode == 2


@pytest.mark.parametrize("script", ["start.sh", "cleanup.sh"])
def test_scripts_explain_themselves(checkout: Checkout, script: str) -> None:
    done = checkout.run(script, "--help")
    assert (done.returncode, done.stdout.startswith(f"Usage: ./{script}")) == (0, True)


# The environment


def test_a_missing_python_is_explained(checkout: Checkout) -> None:
    done = checkout.bash(
        "PATH=/nonexistent HOME=/nonexistent; . scripts/environment.sh; find_python || no_python"
    )
    assert (done.returncode, "expected Python 3.10, 3.11 or 3.12" in done.stderr) == (1, True)


@pytest.mark.parametrize(("version", "found"), [("9", False), ("10", True), ("12", True), ("13", False)])
def test_only_pythons_of_the_right_versions_are_taken(checkout: Checkout, version: str, found: bool) -> None:
    fake = checkout.folder / "bin/python3"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, {version}, 0); $2"\n'
    )
    fake.chmod(0o755)
    done = checkout.bash(f"PATH={fake.parent} HOME=/nonexistent; . scripts/environment.sh; find_python")
    assert done.returncode == (0 if found else 1)


def test_an_unchanged_environment_is_not_installed_again(installed: Checkout) -> None:
    done = installed.bash(". scripts/environment.sh; prepare_environment run")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_changed_lock_is_installed(installed: Checkout) -> None:
    with (installed.folder / "requirements.lock").open("a") as lock:
        lock.write("another==1.0\n")
    done = installed.bash(
        ". scripts/environment.sh; install_packages() { echo install $1; }; prepare_environment run"
    )
    assert done.stdout.endswith("install .\n")


def test_an_installation_that_fails_shows_why(installed: Checkout) -> None:
    python = installed.folder / ".venv/bin/python"
    python.unlink()
    python.write_text("#!/bin/sh\necho no room left\nexit 1\n")
    python.chmod(0o755)
    done = installed.bash(". scripts/environment.sh; install_packages .")
    assert (done.returncode, done.stderr.startswith("no room left\nThe installation failed")) == (1, True)


def _locked() -> dict[str, list[str]]:
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split(" ;")[0].split("==")
            pins.setdefault(name, []).append(version)
    return pins


def _closure(name: str, extras: frozenset[str], seen: set[str]) -> set[str]:
    """Every distribution that an installed one needs, by way of those that are installed."""
    for requirement in metadata.requires(name) or []:
        needed = re.sub("[._]", "-", re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower())
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", requirement)
        if (extra and extra[1] not in extras) or needed in seen:
            continue
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.version(needed)
            seen.add(needed)
            _closure(needed, frozenset(), seen)
    return seen


def test_the_lock_names_every_package_that_is_needed() -> None:
    needed = _closure("tailmetrics", frozenset({"dev"}), set())
    assert len(needed) > 30
    assert needed - _locked().keys() == set()


def test_the_lock_holds_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--index|--find-links|@", text)


# run_tests.sh and .ci/run


@pytest.fixture
def tools(installed: Checkout) -> Checkout:
    """A checkout whose tools only say that they were called."""
    stamp = (installed.folder / ".venv/.installed-run").read_text()
    (installed.folder / ".venv/.installed-test").write_text(stamp)
    for name in ("ruff", "mypy", "lint-imports", "python"):
        tool = installed.folder / ".venv/bin" / name
        tool.unlink(missing_ok=True)
        real = f'case "$1" in -m) ;; *) exec {sys.executable} "$@" ;; esac\n' if name == "python" else ""
        tool.write_text(f'#!/bin/sh\n{real}echo "called {name} $*"\n')
        tool.chmod(0o755)
    return installed


def test_every_check_is_run(tools: Checkout) -> None:
    done = tools.run("run_tests.sh", "-k", "generator")
    assert [line for line in done.stdout.splitlines() if line.startswith("called")] == [
        "called ruff check",
        "called ruff format --check",
        "called mypy ",
        "called lint-imports ",
        "called python -m pytest -n 3 --dist loadfile -k generator",
    ], done.stderr


def test_the_fast_run_has_all_checks_and_leaves_out_what_needs_more_than_python(tools: Checkout) -> None:
    done = tools.run("run_tests.sh", "--fast", "-k", "generator")
    *checks, tests = [line for line in done.stdout.splitlines() if line.startswith("called")]
    assert len(checks) == 4, done.stderr
    left_out = "not servers and not browser and not containers and not nightly and not slow"
    assert tests == f"called python -m pytest -n 3 --dist loadfile -m {left_out} -k generator"


@pytest.mark.parametrize("tool", ["ruff", "mypy", "lint-imports"])
def test_a_check_that_fails_fails_the_run(tools: Checkout, tool: str) -> None:
    (tools.folder / ".venv/bin" / tool).write_text("#!/bin/sh\nexit 1\n")
    assert tools.run("run_tests.sh").returncode == 1


@pytest.mark.parametrize(
    ("closing", "status", "expected"),
    [
        ("== 3 passed in 1.00s ==", 0, 0),
        ("== 1 failed, 3 passed in 1.00s ==", 1, 1),
        ("== 3 passed, 1 skipped in 1.00s ==", 0, 1),
        ("== 3 passed, 1 xfailed in 1.00s ==", 0, 1),
        ("== 3 passed, 1 deselected in 1.00s ==", 0, 0),
        ("no tests at all", 0, 1),
    ],
)
def test_ci_passes_only_when_all_tests_ran_and_passed(
    checkout: Checkout, closing: str, status: int, expected: int
) -> None:
    assert _ci(checkout, closing, status).returncode == expected


def test_ci_closes_with_the_closing_line_of_pytest(checkout: Checkout) -> None:
    said = _ci(checkout, "== 3 passed in 1.00s ==").stdout.splitlines()
    assert said[-1] == "All checks passed: == 3 passed in 1.00s =="


@pytest.mark.parametrize("status", [0, 1])
def test_ci_tests_with_a_real_influxdb_when_there_is_one(checkout: Checkout, status: int) -> None:
    programs = checkout.folder / "programs"
    programs.mkdir()
    (programs / "influxd").touch(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    done = _ci(checkout, "== 3 passed in 1.00s ==", influxdb_status=status, PATH=path)
    assert (done.returncode, "a real InfluxDB was run" in done.stdout) == (status, True)
    assert "Found no influxd" not in done.stdout


def test_ci_says_when_it_tests_with_no_real_influxdb(checkout: Checkout) -> None:
    folders = os.environ["PATH"].split(":")
    path = ":".join(folder for folder in folders if not Path(folder, "influxd").exists())
    done = _ci(checkout, "== 3 passed in 1.00s ==", influxdb_status=1, PATH=path)
    assert (done.returncode, "Found no influxd on the path" in done.stdout) == (0, True)


def _ci(
    checkout: Checkout, closing: str, status: int = 0, *, influxdb_status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run .ci/run with tests that only say what is given."""
    (checkout.folder / "run_tests.sh").write_text(f"#!/bin/sh\necho '{closing}'\nexit {status}\n")
    (checkout.folder / "Makefile").write_text(
        f"influxdb-test:\n\t@echo 'a real InfluxDB was run'; exit {influxdb_status}\n"
    )
    jars = checkout.folder / "scripts/kafka_jars.sh"
    jars.write_text("#!/bin/sh\n")
    jars.chmod(0o755)
    return checkout.run(".ci/run", **environment)


# cleanup.sh


@pytest.fixture
def used(checkout: Checkout) -> Checkout:
    """A checkout in which everything was made that the scripts and tools make."""
    for name in (".venv", ".mypy_cache", ".pytest_cache", "demo", "data", "src/tailmetrics/__pycache__"):
        (checkout.folder / name).mkdir(parents=True)
    (checkout.folder / "demo/.tailmetrics-demo").touch()
    (checkout.folder / "src/tailmetrics/cli.py").touch()
    return checkout


def _left(checkout: Checkout) -> set[str]:
    names = (
        ".venv",
        ".mypy_cache",
        ".pytest_cache",
        "demo",
        "data",
        "src/tailmetrics/__pycache__",
        "src/tailmetrics/cli.py",
    )
    return {name for name in names if (checkout.folder / name).exists()}


def test_cleanup_keeps_sources_and_data(used: Checkout) -> None:
    used.run("cleanup.sh", "--yes")
    assert _left(used) == {"data", "src/tailmetrics/cli.py"}


def test_cleanup_removes_data_when_told_to(used: Checkout) -> None:
    used.run("cleanup.sh", "--yes", "--data")
    assert _left(used) == {"src/tailmetrics/cli.py"}


def test_cleanup_removes_nothing_without_an_answer(used: Checkout) -> None:
    before = _left(used)
    assert used.run("cleanup.sh").returncode == 1
    assert _left(used) == before


def test_cleanup_leaves_a_folder_that_is_no_demo(used: Checkout) -> None:
    (used.folder / "demo/.tailmetrics-demo").unlink()
    used.run("cleanup.sh", "--yes")
    assert "demo" in _left(used)


def test_cleanup_of_a_clean_checkout_says_so(checkout: Checkout) -> None:
    done = checkout.run("cleanup.sh")
    assert (done.returncode, done.stdout) == (0, "There is nothing to remove.\n")
