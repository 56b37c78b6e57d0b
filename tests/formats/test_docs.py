from __future__ import annotations

import re

import pytest

from tailmetrics.formats import open_format
from tailmetrics.settings import Settings
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "formats.md").read_text()


def block_of(section: str, number: int = 0) -> str:
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```\n(.*?)```", text, re.DOTALL)[number]


@pytest.mark.parametrize(
    ("name", "lines"), [("requests", 1), ("nginx", 2), ("json", 1), ("logfmt", 2), ("results", 2)]
)
def test_the_lines_shown_for_a_format_are_records_in_it(name: str, lines: int) -> None:
    read = open_format(Settings(_env_file=None).format_options(name))  # type: ignore[call-arg]
    assert read.parse(block_of(name).encode(), 0).records.height == lines


@pytest.mark.parametrize(("number", "name"), [(0, "caddy"), (1, "traefik-json"), (2, "ecs"), (3, "otel")])
def test_the_lines_shown_for_servers_that_write_json_are_records(number: int, name: str) -> None:
    line = block_of("Servers that write JSON").splitlines()[number]
    read = open_format(Settings(_env_file=None).format_options(name))  # type: ignore[call-arg]
    assert read.parse(line.encode(), 0).records.select("path", "duration").rows() == [("/cart", 0.0123)]


@pytest.mark.parametrize("name", ["iis", "w3c"])
def test_the_lines_shown_for_w3c_are_records_behind_their_header(name: str) -> None:
    read = open_format(Settings(_env_file=None).format_options(name))  # type: ignore[call-arg]
    parsed = read.parse(block_of("w3c, iis and cloudfront").encode(), 0)
    assert parsed.records["customer_id"].to_list() == ["CORP\\bob"]
    assert (parsed.records["duration"].to_list(), parsed.blanks) == ([0.242], 2)


def test_the_pattern_shown_reads_lines() -> None:
    pattern = block_of("regex").removeprefix("LOG_REGEX=").strip()
    read = open_format(Settings(_env_file=None, log_regex=pattern).format_options("regex"))  # type: ignore[call-arg]
    assert read.parse(b"2024-10-01T00:00:01Z cust_40 /cart 200\n", 0).records.height == 1


def test_the_field_map_shown_reads_objects() -> None:
    field_map = block_of("json", 1).removeprefix("LOG_JSON_FIELDS=").strip()
    read = open_format(Settings(_env_file=None, log_json_fields=field_map).format_options("json"))  # type: ignore[call-arg]
    line = b'{"time": 1, "user": {"id": "a"}, "request": {"path": "/"}, "response": {"status": 200}}\n'
    assert read.parse(line, 0).records.height == 1
