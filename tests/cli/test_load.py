"""`tailmetrics load`, by this process and through a service."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tailmetrics.errors import ServiceError
from tailmetrics.ingest import load as loading
from tailmetrics.ingest.load import finish
from tailmetrics.status import LoadProgress
from tailmetrics.stores import open_store
from tailmetrics.tailing import LoadJob
from tests.cli.running import LOG, MESSY, Run, as_json
from tests.compressing import COMPRESS, NAMES, each_no_log, each_suffix, zipped
from tests.integration.running import Service
from tests.paths import DATA


def test_load_reads_every_line(run: Run) -> None:
    loaded = as_json(run("load", LOG, MESSY, "--json"))
    assert loaded["totals"] == {
        "bytes": LOG.stat().st_size + MESSY.stat().st_size,
        "lines": 12_042,
        "records": 12_013,
        "rejects": 26,
        "blanks": 3,
    }


def test_requests_without_a_duration_or_an_answer_of_200_count_against_uptime(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("LOG_JSON_FIELDS", "timestamp=t,customer_id=h,path=u,status_code=s,duration=d")
    assert as_json(run("load", DATA / "json_dash_duration.log", "--json"))["totals"]["rejects"] == 0
    stats = as_json(run("stats", "shop", "--json"))
    assert (stats["total_requests"], stats["successful_requests"]) == (3, 1)
    assert stats["uptime"] == pytest.approx(33.33, abs=0.005)


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
    wrong = as_json(run("load", LOG, "--log-format", "json", "--json"), 65)
    Path("again.log").write_bytes(b"\n" + LOG.read_bytes())
    right = as_json(run("load", "again.log", "--json"))
    assert (wrong["totals"]["rejects"], right["totals"]["records"]) == (10_000, 10_000)


def test_of_several_logs_the_one_of_no_known_format_is_named(run: Run) -> None:
    Path("strange.log").write_text("10:00:00 | c | / | 200\n")
    result = run("load", LOG, "strange.log")
    assert "tailmetrics load: strange.log: format: found '10:00:00 | c" in result.stderr
    assert result.exit_code == 66


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_log_of_which_no_line_can_be_read_is_a_failure_told_with_reasons_and_what_helps(
    run: Run, options: tuple[str, ...]
) -> None:
    result = run("load", LOG, MESSY, "--log-format", "json", *options)
    hints = [
        f"{number} of {number} lines of {log} (100%) could not be read; "
        f"`tailmetrics detect {log}` tells their format"
        for log, number in ((LOG, "10,000"), (MESSY, "2,039"))
    ]
    told = result.stderr.splitlines()
    assert (result.exit_code, [line for line in told if "could not be" in line]) == (
        65,
        [f"tailmetrics load: {hint}" for hint in hints],
    )
    assert [line.split("'")[0] for line in told if " x " in line] == [
        "  10,000 x line: found ",
        "  2,039 x line: found ",
    ]
    assert f"no line of {LOG}, {MESSY} could be read." in told[-1]
    if options:
        assert [file["warning"] for file in json.loads(result.stdout)["files"]] == hints


@each_suffix
def test_what_reads_a_compressed_log_again_unpacks_it(run: Run, suffix: str) -> None:
    path = Path(f"x.log{suffix}")
    path.write_bytes(COMPRESS[suffix](b"no request\n"))
    told = run("load", path, "--log-format", "json").stderr
    unpacks = {".gz": "zcat", ".xz": "xzcat", ".bz2": "bzcat", ".zst": "zstdcat"}
    assert f"`(echo; {unpacks[suffix]} FILE) | tailmetrics load" in told


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


def _source_in_milliseconds(folder: Path) -> Path:
    """A file for LOG_SOURCES, and the log that it names."""
    log = folder / "shop.log"
    log.write_text("2024-10-01 00:00:00 shop /cart 200 250\n")
    sources = folder / "sources.toml"
    sources.write_text(f'[[source]]\npath = "{log}"\nformat = "requests"\nduration_unit = "ms"\n')
    return log


def test_load_reads_a_log_as_its_table_says(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = _source_in_milliseconds(tmp_path)
    monkeypatch.setenv("LOG_SOURCES", "sources.toml")
    run("load", log)
    assert as_json(run("stats", "shop", "--json"))["average_latency"] == 0.25


def test_load_in_a_format_that_is_named_does_not_ask_the_table(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = _source_in_milliseconds(tmp_path)
    monkeypatch.setenv("LOG_SOURCES", "sources.toml")
    loaded = as_json(run("load", log, "--log-format", "json", "--json"), 65)
    assert loaded["totals"]["rejects"] == 1


def test_a_service_reads_what_is_sent_to_it_as_its_own_table_says(run: Run, tmp_path: Path) -> None:
    log = _source_in_milliseconds(tmp_path)
    sources = tmp_path / "sources.toml"
    service = Service(tmp_path, str(tmp_path / "nothing.log"), LOG_SOURCES=str(sources))
    old = tmp_path / "shop.log.1"
    old.write_text("2024-09-30 00:00:00 old /cart 200 750\n")
    try:
        service.start()
        service.await_total(1)
        assert as_json(run("load", old, "--json", "--port", service.port))["totals"]["records"] == 1
        stats = as_json(run("stats", "old", "--json", "--port", service.port))
    finally:
        service.close()
    assert (log.name, stats["average_latency"]) == ("shop.log", 0.75)


@pytest.mark.parametrize("packed", [bytes, *COMPRESS.values()], ids=["plain", *COMPRESS])
def test_load_reads_standard_input_to_its_end(run: Run, packed) -> None:
    first = as_json(run("load", "-", "--json", input=packed(LOG.read_bytes())))
    again = as_json(run("load", LOG, "--json"))
    assert [(each["totals"]["records"], each["files"][0]["already_loaded"]) for each in (first, again)] == [
        (10_000, False),
        (0, True),
    ]
    assert first["files"][0]["name"] == "-"
    assert list(Path("data").glob(".load*")) == []


@pytest.mark.parametrize("command", ["load", "report"])
def test_standard_input_that_is_damaged_is_called_so(run: Run, command: str) -> None:
    result = run(command, "-", input=gzip.compress(LOG.read_bytes())[:-8])
    assert result.exit_code == 66
    assert f"tailmetrics {command}: stdin: not a whole gzip file" in result.stderr


@pytest.mark.parametrize("is_named", [False, True], ids=["the service", "its store"])
def test_load_of_standard_input_through_the_service_is_known_by_its_content(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    store = ["--store-url", f"duckdb:///{service.store}"] if is_named else []
    result = run("load", "-", "--port", service.port, *store, input=LOG.read_bytes())
    assert (result.exit_code, result.stdout) == (0, "-: already loaded, nothing was added\n")


def test_standard_input_that_is_named_twice_is_a_wrong_parameter(run: Run) -> None:
    result = run("load", "-", "-", input=b"")
    assert (result.exit_code, "standard input once" in result.stderr) == (2, True)


@each_no_log
def test_what_holds_no_lines_is_refused_before_anything_is_loaded(
    run: Run, name: str, content: bytes, found: str
) -> None:
    Path(name).write_bytes(content)
    for command in ("load", "report"):
        result = run(command, LOG, name)
        assert (result.exit_code, f"{name}: found {found}" in result.stderr) == (66, True)
        assert "Nothing was" in result.stderr
    assert not Path("data").exists()


@each_suffix
def test_a_compressed_log_that_is_cut_off_cannot_be_read(run: Run, suffix: str) -> None:
    name = f"x.log{suffix}"
    Path(name).write_bytes(COMPRESS[suffix](LOG.read_bytes())[:-9])
    result = run("load", name)
    assert (result.exit_code, f"not a whole {NAMES[suffix]} file" in result.stderr) == (66, True)


@pytest.mark.parametrize("content", [zipped(b"line\n"), COMPRESS[".xz"](b"line\n")[:-9]])
def test_what_the_service_refuses_of_standard_input_cannot_be_read(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    result = run("load", "-", "--port", service.port, input=content)
    assert (result.exit_code, "- cannot be loaded: body: found" in result.stderr) == (66, True)


def test_of_a_log_of_some_rejects_their_number_and_most_frequent_reasons_are_told(run: Run) -> None:
    lines = [b"2024-10-10 12:00:00 cust_1 / 200 0.1"] * 300
    lines += [b"2024-10-10 12:00:00 cust_1 / up 0.1", b"2024-10-10 12:00:00 cust_1 / down 0.1", b"garbage"]
    Path("x.log").write_bytes(b"\n".join(lines))
    result = run("load", "x.log", "--log-format", "requests")
    assert result.exit_code == 0
    total, *reasons = result.stderr.splitlines()
    assert total == "tailmetrics load: 3 of 303 lines of x.log (<1%) could not be read"
    assert [reason.partition(", expected")[0] for reason in reasons] == [
        "  2 x status_code: found 'up'",
        "  1 x line: found 1 fields",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_says_how_far_it_came_and_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(job: LoadJob, on_progress: Callable[[LoadProgress], None]) -> LoadProgress:
        while not job.progress().bytes_total:  # until it has begun
            job.wait(0.01)
        os.kill(os.getpid(), number)
        return finish(job, on_progress)

    monkeypatch.setattr("tailmetrics.ingest.load.finish", interrupted)
    before = signal.getsignal(number)
    result = run("load", LOG)
    assert (result.exit_code, signal.getsignal(number)) == (130, before)
    told, end = result.stderr.splitlines()
    begin, _, place = told.partition(" at byte ")
    assert begin == f"tailmetrics load: interrupted in {LOG}"
    assert re.fullmatch(
        r"[\d,]+ of 558,236 \(\d+%\); the same command goes on, and nothing counts twice", place
    )
    assert end == "Interrupted."
    monkeypatch.setattr("tailmetrics.ingest.load.finish", finish)
    assert run("load", LOG).exit_code == 0
    assert as_json(run("stats", "--every", "none", "--json"))["total_requests"] == 10_000


def test_a_load_whose_service_goes_away_says_that_it_can_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> LoadProgress:
        raise ServiceError("the service gave no answer", 0)

    monkeypatch.setattr("tailmetrics.client.transport.send_log", broken)
    monkeypatch.setattr("tailmetrics.cli.load.running_service", lambda _: "http://127.0.0.1:9")
    result = run("load", LOG)
    assert result.exit_code == 69
    assert "the same command goes on, and nothing counts twice" in result.stderr
