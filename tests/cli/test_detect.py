"""`tailmetrics detect`: the format of logs, and how their first lines would be read."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tailmetrics.formats import KINDS, detection
from tests.cli.running import LOG, MESSY, Run, as_json
from tests.compressing import COMPRESS, zipped

NGINX = '203.0.113.9 - bob [10/Oct/2024:13:55:36 +0200] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.25\n'


def only(result: Result) -> dict[str, Any]:
    (document,) = as_json(result)["files"]
    return document


def test_detect_says_how_a_log_is_read(run: Run) -> None:
    Path("access.log").write_text(NGINX * 12)
    found = only(run("detect", "access.log", "--json"))
    assert (found["format"], found["title"]) == ("nginx", KINDS["nginx"].title)
    assert (found["decided_by"], found["timezone"], found["unit"]) == ("its first lines", "UTC", "s")
    assert found["customer"] == list(KINDS["nginx"].customer)
    assert (found["lines"], found["records"], found["rejects"]) == (12, 12, 0)
    assert len(found["first_records"]) == 10
    assert found["first_records"][1] == {
        "line": 2,
        "time": "2024-10-10T11:55:36.000Z",
        "customer": "bob",
        "path": "/cart",
        "status": 200,
        "seconds": 0.25,
    }


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.example])
def test_detect_reads_the_example_of_every_kind(run: Run, name: str) -> None:
    Path("x.log").write_text(KINDS[name].example + "\n")
    found = only(run("detect", "x.log", "--json", "--log-format", name))
    assert (found["format"], found["title"], found["rejects"]) == (name, KINDS[name].title, 0)
    assert found["records"] > 0


@pytest.mark.parametrize(
    ("name", "title"),
    [("docker", "lines that docker wrapped"), ("docker:nginx", f"{KINDS['nginx'].title}, wrapped by docker")],
)
def test_a_wrapper_is_named_beside_what_it_wraps(run: Run, name: str, title: str) -> None:
    line = {"log": NGINX, "stream": "stdout", "time": "2024-10-10T11:55:37Z"}
    Path("x.log").write_text(json.dumps(line) + "\n")
    found = only(run("detect", "x.log", "--json", "--log-format", name))
    assert (found["title"], found["records"]) == (title, 1)


def test_detect_says_what_would_be_rejected_and_why(run: Run) -> None:
    found = only(run("detect", MESSY, "--json"))
    assert found["rejects"] > 0
    reject = found["first_rejects"][0]
    assert (reject["line"] > 0, ": found" in reject["reason"]) == (True, True)


def test_detect_prints_it_for_people(run: Run) -> None:
    result = run("detect", MESSY)
    assert result.exit_code == 0
    first, customer, counts, *_ = result.stdout.splitlines()
    assert first == f"{MESSY}: requests, {KINDS['requests'].title}; by its first lines"
    assert customer == "customer: customer_id; durations: s; times without a zone: UTC"
    assert "records" in counts
    assert "would be rejected, as" in result.stdout
    assert "LOG_FORMAT=requests" in result.stdout


def test_detect_keeps_what_could_move_the_cursor_out_of_the_output(run: Run) -> None:
    Path("x.log").write_bytes(
        b"2024-10-01 00:00:00 c /a\x1b[2J 200 0.1\n2024-10-01 00:00:00 c\x1b / 200 0.1\n"
    )
    result = run("detect", "x.log")
    assert ("\x1b" in result.stdout, result.stdout.count(r"\x1b") > 0) == (False, True)


def test_detect_fits_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailmetrics.cli.tables._WIDTH_OF_A_FILE", 40)
    Path("x.log").write_text(f"2024-10-01 00:00:00 {'K' * 80} /{'Q' * 80} 200 0.1\n")
    result = run("detect", "x.log")
    table = [line for line in result.stdout.splitlines() if "K" in line or "Q" in line]
    assert max(map(len, table)) <= 40
    assert (result.stdout.count("K"), result.stdout.count("Q")) == (80, 80)


def test_a_log_that_is_undecided_ends_with_another_status_and_what_to_set(run: Run) -> None:
    Path("x.log").write_text("nothing that is known\n")
    result = run("detect", "x.log", LOG, "--json")
    assert result.exit_code == 66
    undecided, decided = json.loads(result.stdout)["files"]
    assert (undecided["format"], decided["format"]) == (None, "requests")
    assert "found 'nothing that is known'" in undecided["problem"]
    assert any("LOG_REGEX" in setting for setting in undecided["settings"])
    shown = run("detect", "x.log").stdout
    assert "x.log: undecided: format: found 'nothing" in shown
    assert "LOG_REGEX" in shown


def test_the_nearest_formats_are_told_with_the_field_at_which_they_fail(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        detection, "nearest", lambda _line: [detection.Nearest("nginx", "status_code", "two hundred")]
    )
    Path("x.log").write_text("nothing that is known\n")
    (found,) = json.loads(run("detect", "x.log", "--json").stdout)["files"]
    assert found["nearest"] == [{"name": "nginx", "field": "status_code", "found": "two hundred"}]
    assert "status_code" in run("detect", "x.log").stdout


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_log_without_lines_is_undecided(run: Run, content: str) -> None:
    Path("x.log").write_text(content)
    assert run("detect", "x.log").exit_code == 66


def test_files_that_cannot_be_read_are_named(run: Run) -> None:
    result = run("detect", LOG, "missing.log", ".")
    assert result.exit_code == 66
    assert "missing.log cannot be read" in result.stderr
    assert ". is a folder" in result.stderr


@pytest.mark.parametrize("packed", [bytes, *COMPRESS.values()], ids=["plain", *COMPRESS])
def test_detect_reads_standard_input(run: Run, packed: Callable[[bytes], bytes]) -> None:
    found = only(run("detect", "-", "--json", input=packed(LOG.read_bytes())))
    assert (found["file"], found["format"], found["rejects"]) == ("-", "requests", 0)


def test_of_an_object_of_no_known_format_its_keys_tell_the_settings(run: Run) -> None:
    line = '{"time":"2024-10-01T00:00:01Z","host":"a","uri":"/","status":200,"latency_ms":1}\n'
    (found,) = json.loads(run("detect", "-", "--json", input=line).stdout)["files"]
    fields = "timestamp=time,customer_id=host,path=uri,status_code=status,duration=latency_ms"
    assert found["settings"] == [f"LOG_JSON_FIELDS={fields}"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"time":1727740801,"host":"a","uri":"/","status":200,"latency":1,"latency_human":"1ns"}\n',
            "all of these settings tell it",
        ),
        ("nothing that is known\n", "one of these settings tells it"),
    ],
)
def test_whether_one_setting_is_enough_or_all_are_needed_is_said(run: Run, line: str, said: str) -> None:
    assert f"{said}:" in run("detect", "-", input=line).stdout


def test_durations_that_a_named_format_does_not_read_are_told_of(run: Run) -> None:
    line = '{"timestamp":1727740801,"customer_id":"a","path":"/","status_code":200,"latency":12}\n'
    found = only(run("detect", "-", "--json", "--log-format", "json", input=line))
    fields = "timestamp=timestamp,customer_id=customer_id,path=path,status_code=status_code,duration=latency"
    assert (found["records"], len(found["settings"])) == (1, 1)
    assert found["settings"][0].startswith(f"LOG_JSON_FIELDS={fields} with LOG_DURATION_UNIT=")


def test_who_has_no_customer_is_told_what_to_set(run: Run) -> None:
    found = only(run("detect", "-", "--json", input="ts=1727740801 path=/a status=200 org=a\n"))
    assert (found["format"], found["rejects"]) == ("logfmt", 1)
    assert any(setting.startswith("LOG_CUSTOMER=FIELD") for setting in found["settings"])


def test_a_field_that_tells_no_customer_is_told_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_CUSTOMER", "usr,address")
    found = only(run("detect", "-", "--json", input=NGINX))
    assert found["settings"][-1].startswith("LOG_CUSTOMER without usr, or as the log names it: none")


def test_text_in_utf_16_is_refused(run: Run) -> None:
    result = run("detect", "-", input=NGINX.encode("utf-16"))
    assert (result.exit_code, "found text in UTF-16, and not UTF-8, expected" in result.stderr) == (66, True)


def test_what_holds_no_lines_is_refused(run: Run) -> None:
    result = run("detect", "-", input=zipped(b"line\n"))
    assert (result.exit_code, "found a zip archive, expected lines" in result.stderr) == (66, True)


@pytest.mark.parametrize("name", ["x.log.gz", "x.log"])
def test_detect_decompresses_as_load_does(run: Run, name: str) -> None:
    Path(name).write_bytes(gzip.compress(LOG.read_bytes()))
    found = only(run("detect", name, "--json"))
    assert (found["format"], found["rejects"]) == ("requests", 0)


def test_what_the_settings_say_for_a_log_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.log").write_text("2024-10-01 00:00:00 shop /cart 200 250\n")
    Path("sources.toml").write_text(
        'source = [{path = "x.log", format = "requests", duration_unit = "ms", timezone = "Asia/Tokyo"}]'
    )
    monkeypatch.setenv("LOG_SOURCES", "sources.toml")
    found = only(run("detect", "x.log", "--json"))
    assert found["decided_by"] == "LOG_SOURCES: sources.toml, source 1"
    assert (found["unit"], found["first_records"][0]["seconds"]) == ("ms", 0.25)
    assert found["first_records"][0]["time"] == "2024-09-30T15:00:00.000Z"


def test_a_format_that_is_named_is_not_looked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FILE_PATH", "requests=x.log")
    Path("x.log").write_text(NGINX)
    found = only(run("detect", "x.log", "--json", "--log-format", "json"))
    assert (found["format"], found["decided_by"], found["rejects"]) == ("json", "--log-format", 1)
    assert found["settings"] == ["LOG_FORMAT=nginx, as the lines are of that format"]
    assert only(run("detect", "x.log", "--json"))["decided_by"] == "LOG_FILE_PATH"


def test_durations_of_hours_are_told_to_be_of_another_unit(run: Run) -> None:
    Path("x.log").write_text("2024-10-01 00:00:00 shop /cart 200 40000\n")
    settings = only(run("detect", "x.log", "--json"))["settings"]
    assert any(setting.startswith("LOG_DURATION_UNIT=ms") for setting in settings)


def test_detect_imports_neither_stores_nor_a_client_of_http() -> None:
    names = {"tailmetrics.stores", "tailmetrics.api", "duckdb", "httpx", "bytewax"}
    script = (
        "import sys\n"
        "from tailmetrics.cli.commands import main\n"
        "try:\n"
        f"    main(['detect', {str(LOG)!r}, '--json'])\n"
        "except SystemExit as end:\n"
        f"    print(end.code, sorted({names} & sys.modules.keys()))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.stdout.splitlines()[-1:], result.stderr) == (["0 []"], "")
