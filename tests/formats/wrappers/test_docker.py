"""Lines of https://docs.docker.com/engine/logging/drivers/json-file/, and as Docker's encoder writes them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats import KINDS, open_format
from tailmetrics.formats.detection import of_whole
from tailmetrics.formats.wrappers.docker import DOCKER
from tailmetrics.formats.wrappers.wrapper import UNWRAPPED_SCHEMA
from tests.builders import format_options
from tests.formats.logs import unhurried
from tests.paths import ROOT

from .wrapping import Wrap, docker, docker_in_ascii, full

AT = "2024-12-26T16:22:13.123456789Z"
TIME = f'"time":"{AT}"}}'
FIRST = full("the first 16 KiB")
# Docker writes each byte of a character that is cut as U+FFFD.
IN_THE_MIDDLE = full("é")[:-2] + "\ufffd"
# The line, what is inside, and whether it goes on.
LINES = [
    ('{"log":"Log line is here\\n","stream":"stdout",' + TIME, "Log line is here", False),
    ('{"log":"a \\"b\\" \\u003cc\\u003e \\\\ \\u0026\\n","stream":"stderr",' + TIME, 'a "b" <c> \\ &', False),
    ('{"log":"a\\n","stream":"stdout","attrs":{"production_status":"testing","geo":"x"},' + TIME, "a", False),
    ('{"log":"' + FIRST + '","stream":"stdout",' + TIME, FIRST, True),
    ('{"log":"' + FIRST + '\\\\n","stream":"stdout",' + TIME, FIRST + "\\n", True),
    ('{"log":"ends like one \\\\n","stream":"stdout",' + TIME, "ends like one \\n", False),
    ('{"log":"the end of a run","stream":"stdout",' + TIME, "the end of a run", False),
    ('{"log":"' + IN_THE_MIDDLE + '","stream":"stdout",' + TIME, IN_THE_MIDDLE, True),
    ('{"log":"of a terminal\\r\\n","stream":"stdout",' + TIME, "of a terminal\r", False),
    ('{"log":"\\n","stream":"stdout",' + TIME, "", False),
]
OTHERS = [
    "",
    "x",
    "{}",
    "[]",
    '{"log":"a\\n","stream":"stdout"}',
    '{"log":1,"stream":"stdout",' + TIME,
    '{"log":"a\\n","stream":"stdout",' + TIME + "x",
    '{"log":"half \\ud800\\n","stream":"stdout",' + TIME,
    '{"timestamp":1,"log":"a\\n","path":"/","status_code":200}',
]


@pytest.mark.parametrize(("line", "inner", "goes_on"), LINES)
def test_a_line_of_docker_is_what_is_inside(line: str, inner: str, goes_on: bool) -> None:
    assert DOCKER.wraps(line)
    stream = line.split('"stream":"')[1][:6]
    assert DOCKER.unwrap(pl.Series([line])).rows() == [(inner, None, stream, goes_on, AT)]
    assert DOCKER.may_have_parts(f"{line}\n".encode()) is goes_on


@pytest.mark.parametrize(("text", "goes_on"), [(FIRST[1:], False), (FIRST, True)])
def test_a_piece_goes_on_when_it_is_as_long_as_one_can_be(text: str, goes_on: bool) -> None:
    assert DOCKER.unwrap(pl.Series([docker(text, goes_on=True)]))["goes_on"].item() is goes_on


@pytest.mark.parametrize("line", OTHERS)
def test_another_line_is_none_of_docker(line: str) -> None:
    unwrapped = DOCKER.unwrap(pl.Series([line, LINES[0][0]]))
    assert (unwrapped["inner"].to_list(), unwrapped.schema) == ([None, LINES[0][1]], UNWRAPPED_SCHEMA)
    assert not unwrapped["goes_on"].any()


@pytest.mark.parametrize("line", OTHERS[:-2])
def test_another_line_has_not_the_shape_of_docker(line: str) -> None:
    assert not DOCKER.wraps(line)


@pytest.mark.parametrize("wrap", [docker, docker_in_ascii])
@unhurried
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1))
def test_any_text_wrapped_and_unwrapped_is_itself(wrap: Wrap, texts: list[str]) -> None:
    lines = [wrap(text, "stdout", False) for text in texts]
    assert DOCKER.unwrap(pl.Series(lines))["inner"].to_list() == texts
    assert all(map(DOCKER.wraps, lines))


def test_what_a_program_wrote_last_is_no_part_of_what_it_writes_when_it_runs_again() -> None:
    request = '203.0.113.5 - - [20/Nov/2026:11:00:05 +0100] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.1'
    log = f"{docker('Bye', goes_on=True)}\n{docker(request)}\n".encode()
    parsed = open_format(format_options("docker")).parse(log, 0)
    assert parsed.records["customer_id"].to_list() == ["203.0.113.5"]
    assert parsed.rejects["offset"].to_list() == [0]


@pytest.mark.parametrize("name", ["nginx", "haproxy", "uvicorn", "gin", "requests", "caddy"])
def test_lines_of_a_terminal_are_known_and_read(name: str) -> None:
    log = f"{docker(KINDS[name].example + chr(13))}\n".encode()
    options = of_whole(log, format_options("auto"))
    parsed = open_format(options).parse(log, 0)
    assert (options.name, parsed.records.height, parsed.rejects.height) == ("docker", 1, 0)


def test_a_log_of_a_container_is_read_by_what_is_inside() -> None:
    log = (ROOT / "tests/data/logs/docker.log").read_bytes()
    parsed = open_format(format_options("docker")).parse(log, 0)
    assert parsed.records.select("customer_id", "path", "status_code", "duration", "offset").rows() == [
        ("198.51.100.7", "/hello", 404, None, 0),
        ("c1", "/a", 200, 0.1, log.index(b"\n") + 1),
    ]
    assert [str(time) for time in parsed.records["timestamp"]] == ["2024-12-26 16:22:13"] * 2
    assert (parsed.rejects.height, parsed.blanks) == (0, 0)
