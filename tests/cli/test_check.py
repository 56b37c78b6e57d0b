"""`tailmetrics check`."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest
from click.testing import Result

from tailmetrics.cli import check as checks
from tests.cli.running import LOG, Run
from tests.compressing import each_no_log
from tests.integration.running import Service, free_port


def texts(result: Result) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(f"{finding['level']} {finding['subject']}", []).append(finding["text"])
    return found


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
    assert [text.split(":")[0] for text in texts(result)["wrong settings"]] == ["LOG_TIMEZONE", "WORKERS"]


def test_check_notices_a_mistyped_key_of_the_file(run: Run) -> None:
    Path(".env.local").write_text("LOG_BATCHSIZE=3\n")
    assert texts(run("check", "--json"))["note settings"] == [
        ".env.local: LOG_BATCHSIZE is no setting of this program; is LOG_BATCH_SIZE meant?"
    ]


def test_check_refuses_a_pattern_that_cannot_be_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "regex")
    monkeypatch.setenv("LOG_REGEX", "(unclosed")
    result = run("check", "--json")
    assert (result.exit_code, "LOG_REGEX" in texts(result)["wrong format"][0]) == (78, True)


def test_check_counts_the_files_of_a_glob(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.log", "b.log"):
        Path(name).touch()
    monkeypatch.setenv("LOG_FILE_PATH", "*.log")
    assert texts(run("check", "--json"))["ok log"] == ["*.log matches 2 files, 2 can be read"]


def test_check_takes_a_missing_log_for_one_to_come(run: Run) -> None:
    result = run("check", "--json", "--log-file-path", "later.log")
    assert (result.exit_code, texts(result)["note log"][0].startswith("later.log: No such file")) == (
        0,
        True,
    )


def test_check_refuses_a_folder_as_log(run: Run, tmp_path: Path) -> None:
    result = run("check", "--json", "--log-file-path", tmp_path)
    assert (result.exit_code, "is a folder" in texts(result)["wrong log"][0]) == (78, True)


def test_check_connects_to_the_store(run: Run, stored: str) -> None:
    assert texts(run("check", "--json", "--store-url", stored))["ok store"] == [
        f"{stored} answers: 10,000 records, 0 rejects"
    ]


def test_check_writes_events_as_other_commands_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUXDB_TOKEN", "token")
    result = run("check", "--json", "--store-url", f"influxdb://127.0.0.1:{free_port()}/bucket?org=shop")
    assert re.fullmatch(r"timestamp=\S+ level=warning event=.*the store is not ready.*\n", result.stderr)


def test_check_refuses_a_store_that_is_none(run: Run) -> None:
    Path("x.duckdb").write_bytes(b"no database at all" * 1000)
    result = run("check", "--json", "--store-url", "duckdb:///x.duckdb")
    assert (result.exit_code, len(texts(result)["wrong store"])) == (78, 1)


def test_check_refuses_a_taken_port(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("check", "--json", "--port", other.getsockname()[1])
    assert (result.exit_code, "cannot be listened on" in texts(result)["wrong port"][0]) == (78, True)


def test_check_is_content_with_a_running_service(run: Run, service: Service) -> None:
    result = run("check", "--json", "--port", service.port, "--store-url", f"duckdb:///{service.store}")
    assert result.exit_code == 0
    assert texts(result)["ok store"][0].endswith(f"a service answers at http://127.0.0.1:{service.port}")


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_check_deep_reads_every_block(run: Run, tmp_path: Path, scheme: str) -> None:
    file = tmp_path / f"x.{scheme}"
    url = f"{scheme}:///{file}"
    run("load", LOG, "--store-url", url)
    assert texts(run("check", "--deep", "--json", "--store-url", url))["ok store"] == [
        f"{url} answers: 10,000 records, 0 rejects",
        f"{url}: every block was read, and none is damaged",
    ]
    with file.open("r+b") as stream:
        for place in range(20_000, file.stat().st_size, 65_536):
            stream.seek(place)
            stream.write(b"damaged" * 500)
    result = run("check", "--deep", "--json", "--store-url", url)
    assert (result.exit_code, "is damaged" in texts(result)["wrong store"][0]) == (78, True)


def test_check_deep_says_that_a_service_has_the_store(run: Run, service: Service) -> None:
    result = run(
        "check", "--deep", "--json", "--port", service.port, "--store-url", f"duckdb:///{service.store}"
    )
    assert texts(result)["note store"] == ["its blocks were not read: stop the service for that"]


@pytest.mark.parametrize(
    "command",
    [("stats",), ("customers",), ("report",), ("status",), ("check",), ("load", LOG)],
)
@pytest.mark.parametrize("size", [0, 100_000])
def test_a_damaged_store_is_said_by_every_command(
    run: Run, tmp_path: Path, command: tuple[object, ...], size: int
) -> None:
    url = f"duckdb:///{tmp_path}/x.duckdb"
    run("load", LOG, "--store-url", url)
    os.truncate(tmp_path / "x.duckdb", size)
    result = run(*command, "--store-url", url)
    assert result.exit_code in {69, 78}
    assert "is damaged" in result.stdout + result.stderr
    assert isinstance(result.exception, SystemExit)


REQUEST = "2024-10-01 00:00:00 shop /cart 200 0.25\n"


def test_check_tries_the_first_lines_of_each_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.log").write_text(REQUEST * 3)
    Path("b.log").write_text(REQUEST[:20])
    monkeypatch.setenv("LOG_FILE_PATH", "*.log")
    result = run("check", "--json")
    assert result.exit_code == 0
    assert sorted(texts(result)["ok lines"]) == [
        "a.log: requests (detected): 3 first lines, 3 records, 0 rejects",
        "b.log has no whole line yet",
    ]


def test_check_notes_rejects_and_the_first_of_them(run: Run) -> None:
    Path("a.log").write_text(REQUEST * 2 + "junk\n" + REQUEST.replace("200", "abc"))
    result = run("check", "--json", "--log-file-path", "a.log", "--log-format", "requests")
    (note,) = texts(result)["note lines"]
    assert result.exit_code == 0
    assert note.startswith(
        "a.log: requests (named): 4 first lines, 2 records, 2 rejects; line 3: line: found 1"
    )


def test_check_shows_a_wrong_format_by_the_first_lines(run: Run) -> None:
    Path("a.log").write_text(REQUEST * 3)
    result = run("check", "--json", "--log-file-path", "a.log", "--log-format", "json")
    (wrong,) = texts(result)["wrong lines"]
    assert result.exit_code == 78
    assert wrong.startswith("a.log: json (named): 3 first lines, 0 records, 3 rejects; line 1: ")
    assert wrong.endswith("; by its lines it is requests")


def test_check_tells_of_durations_that_a_named_format_does_not_read(run: Run) -> None:
    line = '{"timestamp":1727740801,"customer_id":"a","path":"/","status_code":200,"tookMs":12}\n'
    Path("a.log").write_text(line)
    result = run("check", "--json", "--log-file-path", "a.log", "--log-format", "json")
    fields = "timestamp=timestamp,customer_id=customer_id,path=path,status_code=status_code,duration=tookMs"
    assert texts(result)["note lines"] == [f"a.log: no duration is read; LOG_JSON_FIELDS={fields} reads them"]


def test_check_tells_of_a_field_that_tells_no_customer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_CUSTOMER", "tenant,customer_id")
    Path("a.log").write_text(
        '{"timestamp":1727740801,"customer_id":"a","path":"/","status_code":200,"duration":1}\n'
    )
    result = run("check", "--json", "--log-file-path", "a.log", "--log-format", "json")
    said = "a.log: no first line tells a customer by tenant of LOG_CUSTOMER"
    assert texts(result)["note lines"] == [said]


def test_check_refuses_a_log_whose_format_cannot_be_told(run: Run) -> None:
    Path("a.log").write_text("nothing that is known\n")
    result = run("check", "--json", "--log-file-path", "a.log")
    (wrong,) = texts(result)["wrong lines"]
    assert result.exit_code == 78
    assert "a.log: format: found 'nothing that is known', expected a line of a known format" in wrong


def test_check_notes_durations_of_hours(run: Run) -> None:
    Path("a.log").write_text(REQUEST.replace("0.25", "40000"))
    result = run("check", "--json", "--log-file-path", "a.log")
    (note,) = texts(result)["note lines"]
    assert (result.exit_code, "LOG_DURATION_UNIT" in note) == (0, True)


def test_check_tries_the_newest_files_of_a_glob_and_says_how_many_it_did_not(run: Run) -> None:
    for number in range(23):
        file = Path(f"{number}.log")
        file.write_text(REQUEST)
        os.utime(file, (number, number))
    lines = texts(run("check", "--json", "--log-file-path", "*.log"))
    assert lines["note lines"] == ["*.log: the first lines of the 20 newest files were tried, not of 3"]
    assert [text.partition(":")[0] for text in lines["ok lines"]] == [f"{n}.log" for n in range(22, 2, -1)]


def test_check_reads_a_file_as_the_first_entry_says_that_matches_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.log").write_text(REQUEST)
    monkeypatch.setenv("LOG_FILE_PATH", "requests=a.log,json=*.log")
    lines = texts(run("check", "--json"))
    assert len(lines["ok lines"]) == 1
    assert "wrong lines" not in lines


def test_check_says_which_table_of_the_sources_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sources.toml").write_text('source = [{path = "a.log"}, {path = "b.log", pattern = "(unclosed"}]')
    monkeypatch.setenv("LOG_SOURCES", "sources.toml")
    result = run("check", "--json")
    assert (result.exit_code, "sources.toml was read, 2 sources" in texts(result)["ok settings"]) == (
        78,
        True,
    )
    (wrong,) = texts(result)["wrong format"]
    assert wrong.startswith("LOG_SOURCES: sources.toml, source 2: LOG_REGEX: found '(unclosed'")


def test_check_lists_every_wrong_key_of_the_sources(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sources.toml").write_text('source = [{path = "a.log", fromat = "x"}, {}]')
    monkeypatch.setenv("LOG_SOURCES", "sources.toml")
    result = run("check", "--json")
    assert (result.exit_code, len(texts(result)["wrong settings"])) == (78, 2)


@each_no_log
def test_check_refuses_a_log_that_holds_no_lines(run: Run, name: str, content: bytes, found: str) -> None:
    Path(name).write_bytes(content)
    result = run("check", "--json", "--log-file-path", name)
    [text] = texts(result)["wrong log"]
    assert (result.exit_code, f"found {found}" in text or "compressed, and does not grow" in text) == (
        78,
        True,
    )


def test_check_says_what_becomes_of_standard_input(run: Run) -> None:
    result = run("check", "--json", "--log-file-path", "-")
    assert (result.exit_code, "is kept in data/stdin-" in texts(result)["ok log"][0]) == (0, True)


@pytest.mark.parametrize(("options", "noted"), [(("--host", "0.0.0.0"), True), ((), False)])  # noqa: S104
def test_check_notes_a_service_that_other_machines_would_reach_without_a_key(
    run: Run, options: tuple[str, ...], noted: bool
) -> None:
    result = run("check", "--json", *options)
    found = texts(result).get("note access", [])
    assert [text.partition(":")[0] for text in found] == (
        ["API_HOST is 0.0.0.0 and there is no API_KEY"] if noted else []
    )


def test_keys_are_told_by_what_they_are_for_and_never_shown(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = tmp_path / "readers"
    readers.write_text("s3cret-1 screen\ns3cret-2\n")
    readers.chmod(0o644)
    monkeypatch.setenv("API_KEY", "s3cret-3")
    monkeypatch.setenv("API_READ_KEY_FILE", str(readers))
    monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "none"))
    result = run("check")
    assert [line for line in result.stdout.splitlines() if "keys:" in line] == [
        "ok    keys: API_KEY is set: who has it may change something and read",
        f"wrong keys: API_KEY_FILE: {tmp_path}/none cannot be used (No such file or directory)",
        f"ok    keys: API_READ_KEY_FILE: {readers} holds 2 keys, by which one may read",
        f"note  keys: {readers} has mode 0644: every user of this machine may read it; chmod o-r",
    ]
    assert "s3cret" not in result.output


OBJECTIVE = '[[objective]]\nname = "shop"\ntarget = 99.9\n'


def test_check_says_what_the_objectives_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("o.toml").write_text(f'{OBJECTIVE}[[receiver]]\nname = "a"\nkind = "command"\ncommand = ["a"]')
    monkeypatch.setenv("OBJECTIVES", "o.toml")
    result = run("check", "--json")
    assert (result.exit_code, texts(result)["ok objectives"]) == (0, ["1 objective, 1 receiver in o.toml"])


def test_check_lists_every_wrong_thing_of_the_objectives(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("o.toml").write_text(OBJECTIVE.replace("99.9", "100") + 'period = "year"')
    monkeypatch.setenv("OBJECTIVES", "o.toml")
    result = run("check", "--json")
    assert result.exit_code == 78
    assert [text.partition(": found")[0] for text in texts(result)["wrong objectives"]] == [
        "OBJECTIVES: o.toml, line 3: objective 'shop': target",
        "OBJECTIVES: o.toml, line 4: objective 'shop': period",
    ]


def test_check_notes_customers_of_objectives_that_the_store_does_not_know(
    run: Run, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("o.toml").write_text(f'{OBJECTIVE}customers = ["cust_1*", "shop_*"]')
    monkeypatch.setenv("OBJECTIVES", "o.toml")
    result = run("check", "--json", "--store-url", stored)
    assert (result.exit_code, texts(result)["note objectives"]) == (
        0,
        ["o.toml, line 4: objective 'shop': 'shop_*' matches no customer of the store"],
    )
