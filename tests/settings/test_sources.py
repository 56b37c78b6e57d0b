"""LOG_SOURCES: each source with settings of its own, and what is wrong with them in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.errors import SettingsError
from tailmetrics.formats import open_entry
from tailmetrics.settings import LogPath, load_settings
from tests.paths import ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entries(text: str, **settings: Any) -> tuple[LogPath, ...]:
    Path("sources.toml").write_text(text)
    return load_settings(None, log_sources="sources.toml", **settings).log_entries


def problems(text: str, **settings: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        entries(text, **settings)
    prefix = "LOG_SOURCES: sources.toml"
    assert all(problem.startswith(prefix) for problem in refused.value.problems)
    return [problem.removeprefix(prefix).removeprefix(", ") for problem in refused.value.problems]


def test_each_table_has_its_own_settings() -> None:
    shop, api = entries(
        """
        [[source]]
        path = "/var/log/nginx/*.log"
        format = "nginx"
        timezone = "Europe/Berlin"
        duration_unit = "ms"
        customer = ["user", "host"]
        exclude = ["/health*", "bots"]
        path_patterns = "auto"
        keep_query = true

        [[source]]
        path = "api.log"
        format = "json"
        timestamp_format = "%s"
        json_fields = {timestamp = "time", path = "request.path", customer_id = ["sub", "user"]}
        """
    )
    assert (shop.pattern, shop.given_by) == ("/var/log/nginx/*.log", "LOG_SOURCES: sources.toml, source 1")
    read = shop.log_format
    assert (read.name, read.zone, read.duration_unit) == ("nginx", "Europe/Berlin", "ms")
    assert (read.customer, read.exclude) == (("user", "host"), ("/health*", "bots"))
    assert (read.path_patterns, read.keep_query) == (("auto",), True)
    assert api.log_format.json_fields == "timestamp=time,path=request.path,customer_id=sub|user"
    assert (api.log_format.timestamp_format, api.log_format.zone) == ("%s", "UTC")


def test_what_a_table_does_not_say_comes_from_the_settings() -> None:
    settings = {"log_format": "json", "log_timezone": "Asia/Tokyo", "log_customer": "user"}
    (entry,) = entries('source = [{path = "a.log"}]', **settings)
    assert (entry.log_format.name, entry.log_format.zone) == ("json", "Asia/Tokyo")
    assert entry.log_format.customer == ("user",)
    assert entries('source = [{path = "a.log", customer = []}]', **settings)[0].log_format.customer == ()


def test_a_list_of_paths_are_entries_of_the_same_settings() -> None:
    found = entries('source = [{path = ["a.log", "b,c=d.log"], format = "nginx"}]')
    assert [entry.pattern for entry in found] == ["a.log", "b,c=d.log"]
    assert {entry.log_format.name for entry in found} == {"nginx"}


@pytest.mark.parametrize(
    ("text", "name", "regex", "nginx_regex"),
    [
        ("pattern = '(?P<path>x)'", "regex", "(?P<path>x)", ""),
        ("format = 'regex'\npattern = 'x'", "regex", "x", ""),
        ("format = 'docker:regex'\npattern = 'x'", "docker:regex", "x", ""),
        ("format = 'nginx'\npattern = 'x'", "nginx", "", "x"),
        ("format = 'nginx:$remote_addr [$time_local]'", "nginx:$remote_addr [$time_local]", "", ""),
    ],
)
def test_a_pattern_is_that_of_its_format(text: str, name: str, regex: str, nginx_regex: str) -> None:
    (entry,) = entries(f'[[source]]\npath = "a.log"\n{text}')
    read = entry.log_format
    assert (read.name, read.regex, read.nginx_regex) == (name, regex, nginx_regex)


def test_a_queue_may_be_a_source() -> None:
    Path("sources.toml").write_text(
        'source = [{path = "amqp://user:s3cret@host/?queue=logs", format = "nginx"}, {path = "a.log"}]'
    )
    settings = load_settings(None, log_sources="sources.toml")
    assert [(queue.url.queue, queue.log_format.name) for queue in settings.log_queues] == [("logs", "nginx")]
    assert [entry.pattern for entry in settings.log_paths] == ["a.log"]
    assert "s3cret" not in repr(settings)


def test_log_file_path_counts_beside_the_file_only_when_it_is_set() -> None:
    text = 'source = [{path = "a.log"}]'
    assert [entry.pattern for entry in entries(text)] == ["a.log"]
    assert [entry.pattern for entry in entries(text, log_file_path="b.log")] == ["b.log", "a.log"]
    assert [entry.pattern for entry in load_settings(None).log_entries] == ["data/requests.log"]


KEYS = (
    "path, format, pattern, json_fields, timestamp_format, timezone, duration_unit, customer, exclude, "
    "keep_query, path_patterns"
)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("fromat = 'nginx'", f"found the key 'fromat', expected one of {KEYS}; is 'format' meant?"),
        (
            "timezone = 'Mars'",
            "timezone: found 'Mars', expected an IANA time zone such as UTC or Europe/Berlin",
        ),
        ("duration_unit = 'min'", "duration_unit: found 'min', expected '', 's', 'ms', 'us' or 'ns'"),
        ("timestamp_format = 7", "timestamp_format: found 7, expected a valid string"),
        ("keep_query = 3", "keep_query: found 3, expected true or false"),
        (
            "json_fields = {path = 1}",
            "json_fields: found {'path': 1}, expected a key without a comma for each column",
        ),
        ("format = 'json'\npattern = 'x'", "pattern: found it with format 'json', expected regex or nginx"),
        ("customer = [1]", "customer.0: found 1, expected a valid string"),
        (
            "path = 'docker:nginx=c.log'",
            "path: found 'docker:nginx=c.log', expected path = 'c.log' with format = 'docker:nginx'",
        ),
    ],
)
def test_a_wrong_key_is_named_with_its_table(table: str, problem: str) -> None:
    path = "" if table.startswith("path") else 'path = "b.log"\n'
    assert problems(f'[[source]]\npath = "a.log"\n[[source]]\n{path}{table}') == [f"source 2: {problem}"]


def test_every_wrong_key_is_told_at_once() -> None:
    found = problems("[[source]]\nkeep_query = 'x'\n[[source]]\npath = []\n[sources]\n")
    assert [problem.partition(": found")[0] for problem in found] == [
        "", "source 1: path", "source 1: keep_query", "source 2: path"
    ]  # fmt: skip


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    (problem,) = problems("source = [{path = 'a.log', format = 'ngnix'}]")
    assert problem.startswith("source 1: format: found 'ngnix', expected auto, one of requests, common, ")


@pytest.mark.parametrize("text", ["", "source = []", "[source]\npath = 'a.log'", "source = ['a.log']"])
def test_a_file_without_tables_of_sources_is_refused(text: str) -> None:
    (problem,) = problems(text)
    assert problem.endswith("expected tables [[source]]")


def test_what_is_no_toml_is_told_with_line_and_column() -> None:
    (problem,) = problems('[[source]]\npath = "a.log\n')
    assert "found what is no TOML" in problem
    assert "at line 2, column" in problem


def test_a_file_that_is_not_there_or_no_text_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"LOG_SOURCES: other.toml cannot be read: No such file"):
        load_settings(None, log_sources="other.toml")
    Path("latin.toml").write_bytes(b"# \xe4\n")
    with pytest.raises(
        SettingsError, match=r"LOG_SOURCES: latin.toml: found bytes that are not UTF-8 at byte 2"
    ):
        load_settings(None, log_sources="latin.toml")


@pytest.mark.parametrize(
    "path", ["amqp://guest:12/s3cret@host/?queue=x", "amqp:/guest:s3cret@host/vhost?queue=x"]
)
def test_a_url_of_a_queue_that_is_wrong_is_refused_and_not_shown(path: str) -> None:
    (problem,) = problems(f"source = [{{path = ['a.log', '{path}']}}]")
    assert problem.startswith("source 1: path: found ")
    assert "s3cret" not in problem


def test_the_same_pattern_with_other_settings_is_refused() -> None:
    text = "source = [{path = 'a.log', format = 'nginx'}, {path = './a.log', format = 'json'}]"
    (problem,) = problems(text)
    given = "found './a.log', which LOG_SOURCES: sources.toml, source 1 gives with other settings"
    assert problem == f"source 2: {given}, expected it once"
    text = "source = [{path = 'a.log', format = 'nginx'}]"
    assert "which LOG_FILE_PATH gives with other settings" in problems(text, log_file_path="a.log")[0]
    assert len(entries(text, log_file_path="nginx=a.log")) == 2


def test_regex_without_a_pattern_is_refused_unless_the_settings_have_one() -> None:
    text = "source = [{path = 'a.log', format = 'regex'}]"
    assert problems(text) == ["source 1: pattern: found none, expected one, as the format is regex"]
    assert entries(text, log_regex="x")[0].log_format.regex == "x"


def test_the_tables_that_the_documentation_shows_can_be_read() -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/formats.md").read_text(), re.M | re.S)
    found = entries(shown)
    assert [entry.log_format.name for entry in found] == ["nginx", "json", "json", "regex"]
    assert all(open_entry(entry) for entry in found)
